//! `runwarden-auth`: the auth service by itself.

use std::process::ExitCode;

use clap::Parser;
use runwarden_auth::Config;
use runwarden_kit::mesh::Service;
use runwarden_kit::service::{StandaloneArgs, standalone};

/// Who is asking: OAuth clients, caller tokens, roles and bindings
#[derive(Debug, Parser)]
#[command(name = "runwarden-auth", version)]
struct Arguments {
    #[command(flatten)]
    standalone: StandaloneArgs,
    #[command(flatten)]
    config: Config,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    standalone(Service::Auth, arguments.standalone, arguments.config, |config, kit| async move {
        runwarden_auth::build(config, &kit).await
    })
}
