//! Worker processes: the only place where foreign policies are compiled and run.
//!
//! A worker is this same program, started with [`ARGUMENT`]. It limits itself, says hello, and then
//! answers length-prefixed JSON on its standard input and output until that closes. Whoever started
//! it may kill it at any moment, and does so when an answer takes too long.

mod frame;
mod limits;
mod message;
mod pool;
mod process;
mod serve;

pub use limits::WorkerLimits;
pub use pool::{Pool, Settings, Tried};
pub use process::Trouble;
pub use runwarden_rego::Mapped;
pub use runwarden_rego::set::ModuleText;

/// The first argument that makes a program a worker.
pub const ARGUMENT: &str = "policy-worker";

/// Makes this process a worker if it was started as one, and then does not come back. Programs
/// that hold the policy service call this first thing in `main`.
pub fn run_if_requested() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != ARGUMENT) {
        return;
    }
    let arguments: Vec<_> = arguments.collect();
    std::process::exit(serve::main(&arguments));
}
