//! What a request may contain, read strictly: one reader for each part of it.

pub mod authority;
pub mod basic;
pub mod bearer;
pub mod body;
pub mod form;
pub mod headers;
pub mod oauth;
pub mod path;
pub mod query;
