//! The HTTP side: how AWX reads a request, who it lets in, and the exact shape of what it answers.

pub(crate) mod auth;
pub(crate) mod body;
pub(crate) mod call;
pub(crate) mod control;
pub(crate) mod door;
pub(crate) mod events;
pub(crate) mod filter;
pub(crate) mod jobs;
pub(crate) mod launch;
pub(crate) mod listing;
pub(crate) mod login;
pub(crate) mod lookup;
pub(crate) mod metadata;
pub(crate) mod misc;
pub(crate) mod path;
pub(crate) mod records;
pub(crate) mod reply;
pub(crate) mod routes;
pub(crate) mod rows;
pub(crate) mod shown;
pub(crate) mod stdout;
pub(crate) mod strike;
pub(crate) mod templates;
pub(crate) mod tokens;
pub(crate) mod torn;
