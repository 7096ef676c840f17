//! `runwarden`: all services in one process on embedded stores, the guided demo, and the operator's commands.

mod api;
mod audit;
mod cli;
#[cfg(feature = "demo")]
mod demo;
mod jobs;
mod terminal;
mod up;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // Policies run in processes of their own, which are this program started once more: before anything else.
    runwarden_policy::worker::run_if_requested();
    let arguments = cli::Arguments::parse();
    match arguments.command {
        cli::Command::Up(settings) => up::main(*settings),
        #[cfg(feature = "demo")]
        cli::Command::Demo(settings) => demo::main(*settings),
        cli::Command::Jobs(command) => jobs::main(&command),
        cli::Command::Audit(command) => audit::main(command),
    }
}
