//! The Rego engine, and what is asked of a set of modules before it may decide.
//!
//! Everything here runs in a worker process only: the engine can be driven into endless loops,
//! stack overflows and gigabytes, and what runs here may be killed at any time.

mod advice;
#[cfg(test)]
mod beside_opa;
mod builtins;
mod cache;
mod compile;
mod evaluate;
mod functions;
mod graph;
mod inspect;
mod names;
mod uses;

pub use advice::{Advice, Conflict};
pub(crate) use cache::Cache;
pub(crate) use compile::compile;
pub use evaluate::Verdict;
