//! The command line.

mod jobs;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use runwarden_kit::mesh::TrustDomain;
use runwarden_kit::telemetry::TelemetryArgs;

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
    /// Prove the audit log
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

/// What to do about the audit log.
#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Prove that nothing was changed, removed or reordered; exit 0 only if all is whole
    #[command(after_help = "\
Examples:
  # what GET /api/v1/audit/export and /api/v1/audit/checkpoint answered, on any machine:
  runwarden audit verify --records records.ndjson --checkpoint checkpoint.txt --key 'runwarden-audit/acme+…'
  # every log of a data folder, while it runs or not:
  runwarden audit verify --data-dir runwarden-data --since kept-elsewhere.txt")]
    Verify(Verify),
}

/// What to prove.
#[derive(Args)]
pub(crate) struct Verify {
    /// Exported records, one JSON line each from index 0; - for standard input
    #[arg(long, requires = "key", conflicts_with = "data_dir", required_unless_present = "data_dir")]
    pub(crate) records: Option<PathBuf>,
    /// The signed checkpoint that covers them; not needed if the export ends with it
    #[arg(long, requires = "records")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// The log's verifier key (`verifier_key` of a checkpoint), from a source you trust
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// The data folder of `up`, or the audit service's own: proves every log in it
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere: the log must have only grown since
    #[arg(long)]
    pub(crate) since: Vec<PathBuf>,
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
