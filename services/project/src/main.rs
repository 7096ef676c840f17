//! `runwarden-project`: the project service by itself.

use std::process::ExitCode;

use clap::Parser;
use runwarden_kit::mesh::Service;
use runwarden_kit::service::{StandaloneArgs, standalone};
use runwarden_project::{Config, build};

/// What exists: tenants, projects, controllers and the templates that stand for what may be run
#[derive(Debug, Parser)]
#[command(name = "runwarden-project", version)]
struct Arguments {
    #[command(flatten)]
    standalone: StandaloneArgs,
    #[command(flatten)]
    config: Config,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    standalone(Service::Project, arguments.standalone, arguments.config, |config, kit| async move {
        build(config, &kit).await
    })
}
