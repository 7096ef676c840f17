//! gRPC: what the executor serves, and the other services as its domain's ports.

pub(crate) mod controller_access;
pub(crate) mod credential;
pub(crate) mod feed;
pub(crate) mod hint;
pub(crate) mod jobs;
pub(crate) mod policies;
pub(crate) mod policy_sets;
pub(crate) mod seals;
pub(crate) mod standings;
pub(crate) mod templates;
