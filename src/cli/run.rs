//! The command line of `runwarden run`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use runwarden_kit::idempotency::{KEY_RULE, is_key};

use super::reach::{Reach, Show, a_slug};

/// What to run.
#[derive(Args)]
#[command(group = ArgGroup::new("stays").args(["follow", "wait"]))]
pub(crate) struct Run {
    /// The template to run; `runwarden templates list` has them
    #[arg(value_parser = a_slug)]
    pub(crate) template: String,
    /// Its parameters. The value becomes what the template's schema expects: `replicas=3` is a number where it wants
    /// one. For a list give the key several times. `KEY:=VALUE` is JSON as it is. `KEY=@FILE` and `KEY=@-` read the
    /// value from a file or from standard input: secrets must be given like this, or are asked for
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) parameters: Vec<String>,
    /// A file with parameters as one JSON object, - for standard input; KEY=VALUE goes before it
    #[arg(long, value_name = "FILE")]
    pub(crate) params_file: Option<PathBuf>,
    /// Ask for this secret on the terminal; required ones that are not given are asked for anyway
    #[arg(long, value_name = "KEY")]
    pub(crate) ask: Vec<String>,
    /// Show what the run prints until it ends; Ctrl-C leaves it running
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Wait until it ends, and say how; Ctrl-C leaves it running
    #[arg(short, long)]
    pub(crate) wait: bool,
    /// How long to follow or wait at most, such as 10m; the job goes on
    #[arg(long, value_name = "DURATION", requires = "stays", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// What makes a repetition the same request: sent again within a day with the same parameters it is the same job.
    /// A new one is made up for each run, and shown if it is needed
    #[arg(long, value_name = "KEY", value_parser = a_key)]
    pub(crate) idempotency_key: Option<String>,
    /// Which of your tenant's waiting jobs goes first; normal if not given
    #[arg(long, value_enum)]
    pub(crate) priority: Option<Priority>,
    /// Do not begin it before this, at most 30 days ahead, such as 2027-01-31T22:00:00Z
    #[arg(long, value_name = "TIME", value_parser = a_time)]
    pub(crate) start_at: Option<String>,
    /// Drop it if it was not begun by then, such as 2027-01-31T23:00:00Z
    #[arg(long, value_name = "TIME", value_parser = a_time)]
    pub(crate) start_by: Option<String>,
    /// How long the run may take at most before it is cancelled, such as 30m; at most what the template allows
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) max_duration: Option<Duration>,
    #[command(flatten)]
    pub(crate) show: Show,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// Which of a tenant's waiting jobs goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Priority {
    /// After all others
    Low,
    /// In the order of acceptance
    Normal,
    /// Before all others
    High,
}

impl Priority {
    /// As the API has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

fn a_key(text: &str) -> Result<String, String> {
    if is_key(text) {
        return Ok(text.to_owned());
    }
    Err(format!("{KEY_RULE}, such as a UUID"))
}

/// A time that the API takes.
pub(crate) fn a_time(text: &str) -> Result<String, &'static str> {
    match time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("must be a time with its zone, such as 2027-01-31T22:00:00Z or 2027-01-31T23:00:00+01:00"),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::{Arguments, Command};
    use clap::Parser as _;
    use clap::error::ErrorKind;

    fn refused(line: &str) -> ErrorKind {
        let words = ["runwarden", "run"].into_iter().chain(line.split(' '));
        Arguments::try_parse_from(words).err().unwrap_or_else(|| panic!("`{line}` is taken")).kind()
    }

    #[test]
    fn a_run_is_a_template_its_parameters_and_how() {
        let line = "runwarden run deploy environment=dev replicas=3 -f --priority high --timeout 10m --start-by \
                    2027-01-31T23:00:00+01:00 --idempotency-key a/b";
        let arguments = Arguments::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Run(run) = arguments.command else { panic!("another command") };
        assert_eq!((run.template.as_str(), run.parameters.join(" ")), ("deploy", "environment=dev replicas=3".into()));
        assert_eq!((run.follow, run.wait, run.priority.map(super::Priority::name)), (true, false, Some("high")));
        assert_eq!(run.timeout, Some(std::time::Duration::from_secs(600)));
        assert_eq!(run.start_by.as_deref(), Some("2027-01-31T23:00:00+01:00"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_anything_is_sent() {
        for line in
            ["Deploy", "deploy --start-at tomorrow", "deploy --start-at 2027-01-31T23:00:00", "deploy --timeout x"]
        {
            assert_eq!(refused(line), ErrorKind::ValueValidation, "{line}");
        }
        assert_eq!(refused("deploy --idempotency-key é"), ErrorKind::ValueValidation);
        assert_eq!(refused("deploy --follow --wait"), ErrorKind::ArgumentConflict);
        assert_eq!(refused("deploy --timeout 10m"), ErrorKind::MissingRequiredArgument);
        assert_eq!(refused("deploy --priority urgent"), ErrorKind::InvalidValue);
    }
}
