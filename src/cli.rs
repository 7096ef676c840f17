//! The command line.

mod audit;
mod hooks;
mod jobs;
mod profiles;
mod reach;
mod run;
mod templates;

use std::collections::HashSet;
#[cfg(feature = "demo")]
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;
use runwarden_kit::mesh::TrustDomain;
#[cfg(feature = "demo")]
use runwarden_kit::service::listen_address;
use runwarden_kit::telemetry::TelemetryArgs;

pub(crate) use audit::{AcceptRestore, Audit, Folder, SendAgain, SetAside, Verify};
pub(crate) use hooks::{Hooks, TestHook};
pub(crate) use jobs::{Jobs, List, Output, Resolution};
pub(crate) use profiles::{Login, Logout, Profiles, ProfilesCommand};
pub(crate) use reach::{Destination, Reach, a_slug, a_url, an_id};
pub(crate) use run::Run;
pub(crate) use templates::{ListTemplates, ShowTemplate, Templates};

/// The table of exit codes, for `--help`.
const EXIT_CODES: &str = "\
Exit codes:
    0  success; a job that was waited for has succeeded
    1  the job failed: the playbook failed
    2  the command is not valid, or the parameters do not fit the template
    3  not logged in, not recognised, or not permitted
    4  refused: not found, not valid, against a policy
    5  the job was cancelled
    6  the job is unknown: an operator must decide
    7  not now: not reached, busy, or not finished in time; trying again makes sense
    8  the job ended as error: it could not be run
    9  something broke, here or there
   10  run: the job was accepted, and its end was not seen; do not run it again
  130  Ctrl-C; a job goes on";

/// What the environment of another program does to `up`.
const UP_HELP: &str = "\
Standing in for the Terraform run task proxy (docs/hooks/from-the-proxy.md):
  with AAP_AUTH, AAP_JOB_TEMPLATE_ID, AAP_HOST and HMAC_KEY in the environment, what they speak of is configured at each
  start, and POST /webhook/tfe-analytics/run-task answers as before, on 0.0.0.0:5000 with CERT_FILE and KEY_FILE, unless
  other settings are given. Also read: HELP_URL, JOB_WAIT_SECONDS, JOB_POLLING_INTERVAL_SECONDS, JOB_POLLING_INTERVAL,
  INSECURE, COMBINED_FILE; new: TFE_HOST, the only host that results are sent to";

/// Examples for `run`.
const RUN_HELP: &str = "\
Examples:
  runwarden run deploy environment=dev version=1.4.2 --follow
  runwarden run deploy environment=dev version=1.4.2 deploy_password=@password.txt --wait --output json
  JOB=$(runwarden run deploy environment=dev version=1.4.2)";

/// The only door between the outside world and a company's Ansible automation
#[derive(Parser)]
#[command(name = "runwarden", version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run all services in one process on embedded stores
    #[command(after_help = UP_HELP)]
    Up(Box<Up>),
    /// See Runwarden at work: starts everything with a sandbox controller and runs a job
    #[cfg(feature = "demo")]
    Demo(Box<Demo>),
    /// Log in: check a client's credentials and keep them in a profile
    #[command(after_help = "\
Examples:
  # asks for the secret; or give it as --client-secret-file FILE or in RUNWARDEN_CLIENT_SECRET
  runwarden login --url https://runwarden.example --client-id client_01990f9a0c6f7c52b8f54ee30bd5d1a1
  # with the answer of POST /api/v1/clients, or what the demo left
  runwarden login --url http://127.0.0.1:8080 --credentials runwarden-data/demo-client
  # as the first administrator of a `runwarden up` on this machine
  runwarden login --data-dir runwarden-data --profile admin --tenant acme

Profiles are in ~/.config/runwarden/profiles.json, readable by its owner only; RUNWARDEN_PROFILES names another file.
Without a profile: RUNWARDEN_URL, RUNWARDEN_CLIENT_ID, RUNWARDEN_CLIENT_SECRET.")]
    Login(Box<Login>),
    /// Log out: remove a profile with its secret
    Logout(Logout),
    /// List the profiles, or choose another one
    Profiles(Profiles),
    /// See what may be run
    #[command(subcommand)]
    Templates(Box<Templates>),
    /// Run a template
    #[command(after_help = format!("{RUN_HELP}\n\n{EXIT_CODES}"))]
    Run(Box<Run>),
    /// Work with jobs: list, show, watch and cancel them, and decide about those that are `unknown`
    #[command(after_help = EXIT_CODES)]
    #[command(subcommand)]
    Jobs(Box<Jobs>),
    /// Work with hooks: try out what they do
    #[command(subcommand)]
    Hooks(Box<Hooks>),
    /// Print completions for a shell
    #[command(after_help = "\
Examples:
  runwarden completions bash > ~/.local/share/bash-completion/completions/runwarden
  runwarden completions zsh > ~/.zfunc/_runwarden     # a folder of your fpath
  runwarden completions fish > ~/.config/fish/completions/runwarden.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Verify the audit log, and look after it
    #[command(subcommand)]
    Audit(Audit),
}

/// The settings of `up`.
#[derive(Args, Clone)]
pub(crate) struct Up {
    /// Where all state is kept; created at the first start. If not given: runwarden in XDG_DATA_HOME, which is
    /// ~/.local/share unless set. It does not depend on the current folder, so that the next start finds the state
    #[arg(long, env = "RUNWARDEN_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
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
    #[command(flatten, next_help_heading = "Hook")]
    pub(crate) hook: runwarden_hook::Config,
    /// For tests: the process dies at this place while it stands in for another program, `NAME` or `NAME:N`
    #[arg(long, env = "RUNWARDEN_UP_FAILPOINT", default_value = "", hide = true)]
    pub(crate) up_failpoint: crate::up::Failpoint,
    /// What was set, by the names of arguments: on the command line or by a variable, and not by default.
    #[arg(skip)]
    pub(crate) given: HashSet<String>,
}

/// Reads the command line; ends the process if it cannot be.
pub(crate) fn read() -> Arguments {
    let matches = Arguments::command().get_matches();
    let mut arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let (Command::Up(up), Some((_, matches))) = (&mut arguments.command, matches.subcommand()) {
        let is_set = |id: &&clap::Id| {
            // Groups have ids and no source.
            let source = matches.try_contains_id(id.as_str()).ok().and_then(|_| matches.value_source(id.as_str()));
            source.is_some_and(|source| source != ValueSource::DefaultValue)
        };
        up.given = matches.ids().filter(is_set).map(ToString::to_string).collect();
    }
    arguments
}

/// The settings of `demo`.
#[cfg(feature = "demo")]
#[derive(Args, Clone)]
pub(crate) struct Demo {
    /// Where all state is kept; the next start continues with it
    #[arg(long, env = "RUNWARDEN_DATA_DIR", default_value = "runwarden-data")]
    pub(crate) data_dir: PathBuf,
    /// Exit at the end instead of staying up: 0 only if the job succeeded and the audit log was verified
    #[arg(long)]
    pub(crate) once: bool,
    /// Address of the public listener; the next free one if it is taken
    #[arg(long, default_value = "127.0.0.1:8080", value_parser = listen_address)]
    pub(crate) listen: SocketAddr,
    /// Address of the admin listener; the next free one if it is taken
    #[arg(long, default_value = "127.0.0.1:8081", value_parser = listen_address)]
    pub(crate) admin_listen: SocketAddr,
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

    #[test]
    fn the_settings_of_all_services_fit_one_command_line() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn listeners_may_be_named() {
        let line = ["runwarden", "up", "--listen", "localhost:9000", "--admin-listen", "[::1]:0"];
        let Command::Up(up) = Arguments::try_parse_from(line).unwrap().command else { panic!("another command") };
        assert!(up.edge.listen.ip().is_loopback() && up.edge.listen.port() == 9000);
        assert_eq!((up.edge.admin_listen.to_string().as_str(), up.data_dir), ("[::1]:0", None));
    }

    /// A flag and its variable have one name, the variable with the service in it, and docs/settings.md lists both.
    #[test]
    fn settings_have_one_name_and_are_documented() {
        let documented = include_str!("../docs/settings.md");
        let command = Arguments::command();
        let up = command.find_subcommand("up").unwrap();
        let services = ["", "EDGE_", "AUTH_", "POLICY_", "PROJECT_", "SECRET_", "AUDIT_", "EXECUTOR_", "HOOK_"];
        let mut checked = 0;
        for setting in up.get_arguments().filter(|setting| !setting.is_hide_set()) {
            let (Some(flag), Some(variable)) = (setting.get_long(), setting.get_env()) else { continue };
            let (variable, named) = (variable.to_str().unwrap(), flag.to_uppercase().replace('-', "_"));
            let fits = services.iter().any(|service| variable == format!("RUNWARDEN_{service}{named}"));
            assert!(fits, "--{flag} and {variable}");
            assert!(documented.contains(&format!("| `--{flag}` | `{variable}` |")), "--{flag} is not documented");
            checked += 1;
        }
        assert!(checked > 50, "{checked} settings");
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
