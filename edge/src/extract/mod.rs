//! What a request may contain, read strictly: one reader for each part of it.

pub mod accept;
pub mod bearer;
pub mod body;
pub mod form;
pub mod headers;
pub mod oauth;
pub mod path;
pub mod query;
