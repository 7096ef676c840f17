//! The policy service as a program of its own, and the program its workers run.

use std::process::ExitCode;

use clap::Parser;
use runwarden_kit::mesh::Service;
use runwarden_kit::service::{StandaloneArgs, standalone};
use runwarden_policy::{Config, build, worker};

/// Keeps policies and decides by them.
#[derive(Parser)]
#[command(name = "runwarden-policy", version)]
struct Arguments {
    #[command(flatten)]
    standalone: StandaloneArgs,
    #[command(flatten)]
    config: Config,
}

fn main() -> ExitCode {
    worker::run_if_requested();
    let arguments = Arguments::parse();
    standalone(Service::Policy, arguments.standalone, arguments.config, |config, kit| async move {
        build(config, &kit).await
    })
}
