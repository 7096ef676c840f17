//! Launching: from a claimed job to a run that is bound to it, whatever happens in between.
//!
//! [`launcher`] claims jobs and takes each one step further: [`sender`] checks and launches, [`reconciler`] finds out
//! what happened to a launch whose answer was lost, and [`ledger`] records the result. [`protocol`], [`judging`] and
//! [`patience`] are pure: they decide, and nothing else here does.
//!
//! May use `job`, `wait`, `store`, the ports and the clients for controllers.

pub mod authority;
pub mod first_seen;
pub mod halt;
mod holding;
pub mod judging;
pub mod launcher;
mod ledger;
pub mod looks;
pub mod patience;
pub mod prepare;
pub mod protocol;
mod reach;
mod reconciler;
pub mod resolver;
mod sender;
pub mod strays;
