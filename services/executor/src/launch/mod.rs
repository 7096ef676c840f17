//! Launching: from a claimed job to a run that is bound to it, whatever happens in between.
//!
//! May use `job`, `wait`, `store`, the ports and the clients for controllers. Of it, [`protocol`], [`judging`] and
//! [`patience`] are pure: they decide, and nothing else here does.

pub mod authority;
pub mod first_seen;
mod holding;
pub mod judging;
pub mod launcher;
mod launching;
pub mod patience;
pub mod prepare;
pub mod protocol;
mod reconcile;
pub mod resolve;
pub mod strays;
