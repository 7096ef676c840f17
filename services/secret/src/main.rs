//! The secret service by itself.

use std::process::ExitCode;

use clap::Parser;
use runwarden_kit::mesh::Service;
use runwarden_kit::service::{StandaloneArgs, standalone};
use runwarden_secret::Config;

/// Runwarden's secret service: sealed at rest, read by the executor alone, every read recorded
#[derive(Parser)]
#[command(name = "runwarden-secret", version)]
struct Arguments {
    #[command(flatten)]
    standalone: StandaloneArgs,
    #[command(flatten)]
    config: Config,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    standalone(Service::Secret, arguments.standalone, arguments.config, |config, kit| async move {
        runwarden_secret::build(config, &kit).await
    })
}
