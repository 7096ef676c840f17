//! The Rego engine, and what is asked of a set of modules before it may decide.
//!
//! The engine can be driven into endless loops, stack overflows and gigabytes: what anybody wrote is compiled and run in
//! a process that may be killed at any time.

mod advice;
#[cfg(test)]
mod beside_opa;
mod builtins;
mod cache;
mod compile;
mod evaluate;
mod functions;
mod graph;
mod hook;
mod inspect;
mod names;
mod uses;
mod vet;

pub use advice::{Advice, Conflict};
pub use cache::Cache;
pub use compile::{Compiled, compile};
pub use evaluate::Verdict;
pub use hook::{Mapped, compile_hook};
pub use vet::MAX_INPUT_BYTES;
