//! The executor by itself.

use std::process::ExitCode;

use clap::Parser;
use runwarden_executor::Config;
use runwarden_kit::mesh::Service;
use runwarden_kit::service::{StandaloneArgs, standalone};

/// Runwarden's executor: accepts jobs, launches each exactly once, follows its run
#[derive(Parser)]
#[command(name = "runwarden-executor", version)]
struct Arguments {
    #[command(flatten)]
    standalone: StandaloneArgs,
    #[command(flatten)]
    config: Config,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    standalone(Service::Executor, arguments.standalone, arguments.config, |config, kit| async move {
        runwarden_executor::build(config, &kit).await
    })
}
