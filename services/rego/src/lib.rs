//! Rego for the services that decide by it: modules as text, the engine, and what is asked of both.
//!
//! It keeps nothing and reaches nothing. `policy` runs it in worker processes, where any module may do its worst.

pub mod decision;
mod engine;
pub mod local;
pub mod principal;
pub mod question;
pub mod set;
pub mod text;

pub use engine::{Advice, Cache, Compiled, Conflict, MAX_INPUT_BYTES, Mapped, Verdict, compile, compile_hook};
