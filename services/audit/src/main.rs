//! `runwarden-audit`: the audit service as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use runwarden_audit::{Config, build};
use runwarden_kit::mesh::Service;
use runwarden_kit::service::{StandaloneArgs, standalone};

/// Seals what happened into a Merkle log per tenant, with signed checkpoints
#[derive(Parser)]
#[command(name = "runwarden-audit", version)]
struct Args {
    #[command(flatten)]
    standalone: StandaloneArgs,
    #[command(flatten)]
    config: Config,
}

fn main() -> ExitCode {
    let args = Args::parse();
    standalone(Service::Audit, args.standalone, args.config, |config, kit| async move { build(config, &kit).await })
}
