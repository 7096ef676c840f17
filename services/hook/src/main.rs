//! `runwarden-hook`: the hook service by itself.

use std::process::ExitCode;

use clap::Parser;
use runwarden_hook::{Config, build};
use runwarden_kit::mesh::Service;
use runwarden_kit::service::{StandaloneArgs, standalone};

/// Events in, results out: hooks, their deliveries, and what becomes of them
#[derive(Debug, Parser)]
#[command(name = "runwarden-hook", version)]
struct Arguments {
    #[command(flatten)]
    standalone: StandaloneArgs,
    #[command(flatten)]
    config: Config,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    standalone(
        Service::Hook,
        arguments.standalone,
        arguments.config,
        |config, kit| async move { build(config, &kit).await },
    )
}
