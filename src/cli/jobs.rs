//! The command line of `runwarden jobs`.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use runwarden_edge::routes::jobs::JobState;

use super::reach::{Common, Reach, Show, a_slug, an_id};
use super::run::a_time;

/// What to do about jobs.
#[derive(Subcommand)]
pub(crate) enum Jobs {
    /// List jobs, newest first
    #[command(after_help = "\
Examples:
  runwarden jobs list --state running,failed
  # the launches that an operator must decide about:
  runwarden jobs list --state unknown")]
    List(List),
    /// Show a job, or wait for its end
    #[command(after_help = "\
Examples:
  runwarden jobs show job_01990f9a0c6f7c52b8f54ee30bd5d1a1
  runwarden jobs show job_01990f9a0c6f7c52b8f54ee30bd5d1a1 --wait --output json")]
    Show(ShowJob),
    /// Follow a job: what it prints and how it changes, until it ends; Ctrl-C leaves it running
    Watch(Watch),
    /// Print what a job has printed so far
    Output(Output),
    /// Ask for a job to be stopped
    Cancel(One),
    /// Operators: show each attempt to launch a job, with what identifies its run on the controller
    #[command(after_help = "\
Example:
  # beside a `runwarden up --data-dir runwarden-data`:
  runwarden jobs attempts job_01990f9a0c6f7c52b8f54ee30bd5d1a1 --data-dir runwarden-data --tenant acme")]
    Attempts(One),
    /// Operators: say what became of the launch of a job that is `unknown`; this is taken as true and recorded
    #[command(after_help = "\
Example:
  # the controller shows that it became run 123:
  runwarden jobs resolve job_01990f9a0c6f7c52b8f54ee30bd5d1a1 --bind 123 --reason 'the only run of that minute' \\
    --data-dir runwarden-data --tenant acme")]
    Resolve(Resolve),
}

impl Jobs {
    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::List(_) => "jobs list",
            Self::Show(_) => "jobs show",
            Self::Watch(_) => "jobs watch",
            Self::Output(_) => "jobs output",
            Self::Attempts(_) => "jobs attempts",
            Self::Resolve(_) => "jobs resolve",
            Self::Cancel(_) => "jobs cancel",
        }
    }

    /// Where to go and as whom, and how to print the answer: output has one form only.
    pub(crate) fn common(&self) -> (&Reach, Show) {
        let Common { show, reach } = match self {
            Self::List(list) => &list.common,
            Self::Show(show) => &show.one.common,
            Self::Watch(watch) => &watch.one.common,
            Self::Output(output) => return (&output.reach, Show::default()),
            Self::Attempts(one) | Self::Cancel(one) => &one.common,
            Self::Resolve(resolve) => &resolve.one.common,
        };
        (reach, *show)
    }
}

/// Which jobs.
#[derive(Args)]
pub(crate) struct List {
    /// Only jobs in these states, separated by commas
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = a_state())]
    pub(crate) state: Vec<String>,
    /// Only jobs of this template
    #[arg(long, value_parser = a_slug)]
    pub(crate) template: Option<String>,
    /// Only jobs of this project
    #[arg(long, value_parser = a_slug)]
    pub(crate) project: Option<String>,
    /// Only jobs accepted after this, such as 2027-01-31T22:00:00Z
    #[arg(long, value_name = "TIME", value_parser = a_time)]
    pub(crate) created_after: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// One job.
#[derive(Args)]
pub(crate) struct One {
    /// The job's id
    #[arg(value_parser = an_id)]
    pub(crate) job: String,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// One job, now or when it has ended.
#[derive(Args)]
pub(crate) struct ShowJob {
    /// Wait until it ends; the exit code says how it ended. Ctrl-C leaves it running
    #[arg(short, long)]
    pub(crate) wait: bool,
    /// How long to wait at most, such as 10m; the job goes on
    #[arg(long, value_name = "DURATION", requires = "wait", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) one: One,
}

/// One job until it ends.
#[derive(Args)]
pub(crate) struct Watch {
    /// How long to follow it at most, such as 10m; the job goes on
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) one: One,
}

/// What one job printed.
#[derive(Args)]
pub(crate) struct Output {
    /// The job's id
    #[arg(value_parser = an_id)]
    pub(crate) job: String,
    /// Skip this many bytes at the beginning
    #[arg(long, default_value_t = 0, value_name = "BYTES")]
    pub(crate) offset: u64,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// What became of a launch.
#[derive(Args)]
pub(crate) struct Resolve {
    #[command(flatten)]
    pub(crate) resolution: Resolution,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", value_parser = a_reason)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) one: One,
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
    /// It cannot be found out: the job ends as failed
    #[arg(long)]
    pub(crate) give_up: bool,
}

fn a_reason(text: &str) -> Result<String, String> {
    runwarden_kit::text::reason(text).map(str::to_owned)
}

fn a_state() -> PossibleValuesParser {
    PossibleValuesParser::new(JobState::ALL.iter().map(|state| state.name()))
}

#[cfg(test)]
mod tests {
    use super::Jobs;
    use crate::cli::reach::Destination;
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
            assert_eq!((resolve.one.job.as_str(), resolve.reason.as_str()), (JOB, "why"));
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
    fn an_address_is_one() {
        for bad in ["runwarden.internal:8081", "ftp://a", "https://u:p@a", "https://a/?b", "https://a/#c", "/data"] {
            assert_eq!(refused(&format!("show {JOB} --url {bad}")), ErrorKind::ValueValidation, "{bad}");
        }
        let Jobs::Show(show) = parse(&format!("show {JOB} --url https://a:8081/ --client-id c")).unwrap() else {
            panic!("one")
        };
        let Destination { url, client_id, data_dir, .. } = show.one.common.reach.destination;
        assert_eq!((url.unwrap().as_str(), client_id.as_deref(), data_dir), ("https://a:8081/", Some("c"), None));
        assert!(!show.one.common.show.is_json());
        for json in ["--json", "--output json", "-o json"] {
            assert!(parse(&format!("show {JOB} {json}")).unwrap().common().1.is_json());
        }
    }

    #[test]
    fn a_secret_is_no_argument() {
        assert_eq!(
            refused(&format!("show {JOB} --url https://a --client-id c --client-secret s")),
            ErrorKind::UnknownArgument
        );
    }
}
