//! The command line of `runwarden jobs`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use reqwest::Url;
use runwarden_kit::slug;

/// The longest reason, in characters.
const LONGEST_REASON: usize = 1000;
/// The states a job can be in.
const STATES: [&str; 9] =
    ["new", "awaiting_approval", "launching", "running", "succeeded", "failed", "canceled", "error", "unknown"];

/// What to do about jobs.
#[derive(Subcommand)]
pub(crate) enum Jobs {
    /// List jobs, newest first
    #[command(after_help = "\
Example:
  # the launches that a person must decide about:
  runwarden jobs list --state unknown --data-dir runwarden-data --tenant acme")]
    List(List),
    /// Show a job
    #[command(after_help = "\
Example:
  runwarden jobs show job_01990f9a0c6f7c52b8f54ee30bd5d1a1 --data-dir runwarden-data --tenant acme")]
    Show(One),
    /// Show each try at launching a job, with what finds its run on the controller
    #[command(after_help = "\
Example:
  runwarden jobs attempts job_01990f9a0c6f7c52b8f54ee30bd5d1a1 --data-dir runwarden-data --tenant acme")]
    Attempts(One),
    /// Say what became of the launch of a job that is `unknown`; it is taken for true and put on record
    #[command(after_help = "\
Example:
  # the controller shows that it became run 123:
  runwarden jobs resolve job_01990f9a0c6f7c52b8f54ee30bd5d1a1 --bind 123 --reason 'the only run of that minute' \\
    --data-dir runwarden-data --tenant acme")]
    Resolve(Resolve),
    /// Ask for a job to be stopped
    #[command(after_help = "\
Example:
  runwarden jobs cancel job_01990f9a0c6f7c52b8f54ee30bd5d1a1 --url https://runwarden.internal:8081 --ca-file ca.pem \\
    --client-id client_01990f9a0c6f7c52b8f54ee30bd5d1a1 --client-secret-file secret")]
    Cancel(One),
}

impl Jobs {
    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::List(_) => "list",
            Self::Show(_) => "show",
            Self::Attempts(_) => "attempts",
            Self::Resolve(_) => "resolve",
            Self::Cancel(_) => "cancel",
        }
    }

    /// Where to go, and as whom.
    pub(crate) fn reach(&self) -> &Reach {
        match self {
            Self::List(list) => &list.reach,
            Self::Show(one) | Self::Attempts(one) | Self::Cancel(one) => &one.reach,
            Self::Resolve(resolve) => &resolve.reach,
        }
    }
}

/// Which jobs.
#[derive(Args)]
pub(crate) struct List {
    /// Only jobs in these states, with commas between
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = STATES)]
    pub(crate) state: Vec<String>,
    /// Only jobs of this template
    #[arg(long, value_parser = a_slug)]
    pub(crate) template: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// One job.
#[derive(Args)]
pub(crate) struct One {
    /// The job's id
    #[arg(value_parser = an_id)]
    pub(crate) job: String,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// What became of a launch.
#[derive(Args)]
pub(crate) struct Resolve {
    /// The job's id
    #[arg(value_parser = an_id)]
    pub(crate) job: String,
    #[command(flatten)]
    pub(crate) resolution: Resolution,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", value_parser = a_reason)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// What a person found out.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Resolution {
    /// It became this run: its id on the controller
    #[arg(long, value_name = "RUN", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) bind: Option<i64>,
    /// It was not launched: launch it again
    #[arg(long)]
    pub(crate) retry: bool,
    /// Nobody will find out: the job ends as failed
    #[arg(long)]
    pub(crate) give_up: bool,
}

/// Where to go, and as whom.
#[derive(Args)]
#[command(next_help_heading = "Where and who")]
#[command(group = ArgGroup::new("where").args(["data_dir", "url"]).required(true).multiple(true))]
pub(crate) struct Reach {
    /// The data folder of a `runwarden up` on this machine: tells the address of its admin listener and, while
    /// bootstrap.json is there, the credentials of its first administrator
    #[arg(long, env = "RUNWARDEN_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The address of the admin listener, such as https://runwarden.internal:8081
    #[arg(long, env = "RUNWARDEN_URL", value_parser = an_address)]
    pub(crate) url: Option<Url>,
    /// The OAuth client to act as; --data-dir has one at first
    #[arg(long, env = "RUNWARDEN_CLIENT_ID")]
    pub(crate) client_id: Option<String>,
    /// The file with its secret; or put the secret into the variable RUNWARDEN_CLIENT_SECRET
    #[arg(long, env = "RUNWARDEN_CLIENT_SECRET_FILE", requires = "client_id")]
    pub(crate) client_secret_file: Option<PathBuf>,
    /// The tenant to act for (X-Tenant); needed by whoever belongs to the platform
    #[arg(long, env = "RUNWARDEN_TENANT", value_parser = a_slug)]
    pub(crate) tenant: Option<String>,
    /// The certificate authorities to trust for the address, PEM; the system's if not given
    #[arg(long, env = "RUNWARDEN_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Allow an http:// address that is not on this machine; the secret then travels in clear
    #[arg(long, env = "RUNWARDEN_ALLOW_PLAIN_HTTP")]
    pub(crate) allow_plain_http: bool,
    /// Print the API's answer as it is, JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn a_slug(text: &str) -> Result<String, &'static str> {
    if slug::is_slug(text) { Ok(text.to_owned()) } else { Err("must be lower-case letters, digits and hyphens") }
}

/// An id becomes a part of a path as it is.
fn an_id(text: &str) -> Result<String, &'static str> {
    if runwarden_edge::extract::path::is_id(text) { Ok(text.to_owned()) } else { Err("is no job's id: job_…") }
}

fn a_reason(text: &str) -> Result<String, String> {
    let reason = text.trim();
    if (1..=LONGEST_REASON).contains(&reason.chars().count()) {
        return Ok(reason.to_owned());
    }
    Err(format!("must have 1 to {LONGEST_REASON} characters"))
}

fn an_address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is no address such as https://runwarden.internal:8081")?;
    let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && is_bare && url.fragment().is_none() {
        return Ok(url);
    }
    Err("must be http:// or https:// with a host, and nothing after its path")
}

#[cfg(test)]
mod tests {
    use super::{Jobs, Reach};
    use crate::cli::{Arguments, Command};
    use clap::Parser as _;
    use clap::error::ErrorKind;

    const JOB: &str = "job_1";

    fn parse(line: &str) -> Result<Jobs, clap::Error> {
        let words = ["runwarden", "jobs"].into_iter().chain(line.split(' '));
        match Arguments::try_parse_from(words)?.command {
            Command::Jobs(jobs) => Ok(*jobs),
            _ => panic!("another command"),
        }
    }

    fn refused(line: &str) -> ErrorKind {
        parse(line).err().unwrap_or_else(|| panic!("`{line}` is taken")).kind()
    }

    #[test]
    fn lists_are_filtered_by_state_and_template() {
        let Jobs::List(list) =
            parse("list --data-dir d --state unknown,failed --state error --template deploy").unwrap()
        else {
            panic!("a list");
        };
        assert_eq!((list.state.join(" ").as_str(), list.template.as_deref()), ("unknown failed error", Some("deploy")));
        assert_eq!(list.limit, 50);
        assert_eq!(refused("list --data-dir d --state UNKNOWN"), ErrorKind::InvalidValue);
        assert_eq!(refused("list --data-dir d --template a/b"), ErrorKind::ValueValidation);
        assert_eq!(refused("list --data-dir d --limit 0"), ErrorKind::ValueValidation);
    }

    #[test]
    fn a_resolution_is_exactly_one_thing_with_a_reason() {
        for (line, want) in [
            ("--bind 123", (Some(123), false, false)),
            ("--retry", (None, true, false)),
            ("--give-up", (None, false, true)),
        ] {
            let line = format!("resolve {JOB} {line} --reason why --data-dir d");
            let Jobs::Resolve(resolve) = parse(&line).unwrap() else { panic!("a resolution") };
            assert_eq!((resolve.resolution.bind, resolve.resolution.retry, resolve.resolution.give_up), want);
            assert_eq!((resolve.job.as_str(), resolve.reason.as_str()), (JOB, "why"));
        }
        let resolve = |rest: &str| refused(&format!("resolve {JOB} --data-dir d {rest}"));
        assert_eq!(resolve("--reason why"), ErrorKind::MissingRequiredArgument);
        assert_eq!(resolve("--retry"), ErrorKind::MissingRequiredArgument);
        assert_eq!(resolve("--retry --give-up --reason why"), ErrorKind::ArgumentConflict);
        assert_eq!(resolve("--bind 1 --retry --reason why"), ErrorKind::ArgumentConflict);
        assert_eq!(resolve("--bind 0 --reason why"), ErrorKind::ValueValidation);
        assert_eq!(resolve(&format!("--retry --reason {}", "x".repeat(1001))), ErrorKind::ValueValidation);
        assert_eq!(resolve("--retry --reason \u{a0}"), ErrorKind::ValueValidation);
    }

    #[test]
    fn an_id_that_would_lead_elsewhere_is_none() {
        for bad in ["../tenants", "job_1/cancel", "job_1?wait=1", "%2e%2e"] {
            assert_eq!(refused(&format!("show {bad} --data-dir d")), ErrorKind::ValueValidation, "{bad}");
        }
    }

    #[test]
    fn it_must_be_said_where_to_go() {
        assert_eq!(refused(&format!("show {JOB}")), ErrorKind::MissingRequiredArgument);
        for bad in ["runwarden.internal:8081", "ftp://a", "https://u:p@a", "https://a/?b", "https://a/#c", "/data"] {
            assert_eq!(refused(&format!("show {JOB} --url {bad}")), ErrorKind::ValueValidation, "{bad}");
        }
        let Jobs::Show(show) = parse(&format!("show {JOB} --url https://a:8081/ --client-id c")).unwrap() else {
            panic!("one")
        };
        let Reach { url, client_id, data_dir, json, .. } = show.reach;
        assert_eq!(
            (url.unwrap().as_str(), client_id.as_deref(), data_dir, json),
            ("https://a:8081/", Some("c"), None, false)
        );
    }

    #[test]
    fn a_secret_is_no_argument() {
        assert_eq!(
            refused(&format!("show {JOB} --url https://a --client-id c --client-secret s")),
            ErrorKind::UnknownArgument
        );
        let lone = format!("show {JOB} --url https://a --client-secret-file f");
        assert_eq!(refused(&lone), ErrorKind::MissingRequiredArgument);
    }
}
