//! Rego as text: what can be said about a module before any engine sees it.
//!
//! The engine's parser takes exponential time on nested brackets and its evaluator can take the
//! process with it. So text is looked at here first, by a reader that takes one pass and one
//! stack frame, and only then handed to a worker process.

pub mod guard;
mod lexer;
mod problem;

pub use problem::Problem;
