//! OAuth clients: making and changing them, their secrets, how one proves itself and what is recorded when it cannot,
//! and the first administrator.
//!
//! May use `store`, `role`, `trust`, and of `key` the key file that hashes secrets. Knows nothing of tokens.

pub(crate) mod bootstrap;
pub(crate) mod change;
pub(crate) mod clients;
pub(crate) mod prove;
pub(crate) mod record;
pub(crate) mod refusals;
pub(crate) mod secret;
pub(crate) mod standing;
