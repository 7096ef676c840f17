//! The command line.

mod audit;
mod jobs;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use runwarden_kit::mesh::TrustDomain;
use runwarden_kit::telemetry::TelemetryArgs;

pub(crate) use audit::{AcceptRestore, Audit, Folder, SendAgain, SetAside, Verify};
pub(crate) use jobs::{Jobs, List, Reach, Resolution};

/// The only door between the outside world and a company's Ansible automation
#[derive(Parser)]
#[command(name = "runwarden", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run all services in one process on embedded stores
    Up(Box<Up>),
    /// See the whole way of a job: starts everything with a sandbox controller and runs one
    #[cfg(feature = "demo")]
    Demo(Box<Demo>),
    /// See to jobs: list, show and cancel them, and decide about those that are `unknown`
    #[command(after_help = "\
Example:
  # beside a `runwarden up --data-dir runwarden-data`:
  runwarden jobs list --data-dir runwarden-data --tenant acme")]
    #[command(subcommand)]
    Jobs(Box<Jobs>),
    /// Prove the audit log, and look after it
    #[command(subcommand)]
    Audit(Audit),
}

/// The settings of `up`.
#[derive(Args, Clone)]
pub(crate) struct Up {
    /// Where all state lives; made at the first start
    #[arg(long, env = "RUNWARDEN_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
    /// The trust domain of the services' SPIFFE ids
    #[arg(long, env = "RUNWARDEN_TRUST_DOMAIN", default_value = "runwarden.internal")]
    pub(crate) trust_domain: TrustDomain,
    #[command(flatten, next_help_heading = "Telemetry")]
    pub(crate) telemetry: TelemetryArgs,
    #[command(flatten, next_help_heading = "Edge")]
    pub(crate) edge: runwarden_edge::Config,
    #[command(flatten, next_help_heading = "Auth")]
    pub(crate) auth: runwarden_auth::Config,
    #[command(flatten, next_help_heading = "Policy")]
    pub(crate) policy: runwarden_policy::Config,
    #[command(flatten, next_help_heading = "Project")]
    pub(crate) project: runwarden_project::Config,
    #[command(flatten, next_help_heading = "Secret")]
    pub(crate) secret: runwarden_secret::Config,
    #[command(flatten, next_help_heading = "Audit")]
    pub(crate) audit: runwarden_audit::Config,
    #[command(flatten, next_help_heading = "Executor")]
    pub(crate) executor: runwarden_executor::Config,
}

/// The settings of `demo`.
#[cfg(feature = "demo")]
#[derive(Args, Clone)]
pub(crate) struct Demo {
    /// Where all state lives; a second start goes on with it
    #[arg(long, env = "RUNWARDEN_DATA_DIR", default_value = "runwarden-data")]
    pub(crate) data_dir: PathBuf,
    /// Exit after the story: 0 only if the job succeeded and the audit log verified
    #[arg(long)]
    pub(crate) once: bool,
    /// Address of the public listener; the next free one if it is taken
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub(crate) listen: std::net::SocketAddr,
    /// Address of the admin listener; the next free one if it is taken
    #[arg(long, default_value = "127.0.0.1:8081")]
    pub(crate) admin_listen: std::net::SocketAddr,
    /// Which log lines to write to standard error
    #[arg(long, env = "RUNWARDEN_LOG", default_value = "warn")]
    pub(crate) log: String,
    /// Where to send traces: an OTLP/gRPC endpoint such as http://127.0.0.1:4317
    #[arg(long, env = "RUNWARDEN_OTLP_ENDPOINT")]
    pub(crate) otlp_endpoint: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_settings_of_all_services_fit_one_command_line() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_setting_has_help() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }
}
