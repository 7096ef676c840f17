//! The inbox: what foreign senders deliver, from their request to the job that it becomes.
//!
//! - [`delivery`]: one event that was delivered, and the steps that were taken with it.
//! - [`receive`]: a request is verified, and its events are durable before it is answered.
//! - `ready`: hooks with their keys, kept until they change.
//! - [`refusals`]: what is recorded of requests that are refused, however many come.
//! - [`worker`]: each delivery is filtered, mapped and submitted, at most once, whatever dies.
//! - `parameters`: what is write-only is sealed before it is kept.
//! - [`look`]: deliveries are looked at, delivered again, and tried out.

pub mod delivery;
pub mod look;
pub(crate) mod parameters;
mod reach;
mod ready;
pub mod receive;
mod refusals;
mod steps;
mod together;
pub mod tokens;
pub mod worker;
