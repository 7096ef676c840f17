//! The executor's settings.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use runwarden_awx::ClientLimits;
use runwarden_kit::seats::CallerLimits;

use crate::controllers;
use crate::failpoint::Failpoint;
use crate::follow::Poll;
use crate::launch::patience::Patience;

/// The executor's settings.
#[derive(Args, Clone, Debug)]
#[group(id = "executor_settings")]
pub struct Config {
    /// How many launches may be in progress at once; a quarter of them for one tenant, an eighth on one controller
    #[arg(long, env = "RUNWARDEN_EXECUTOR_LAUNCHES_AT_ONCE", default_value_t = 512)]
    pub launches_at_once: usize,
    /// How many bytes of each run's output are kept
    #[arg(long, env = "RUNWARDEN_EXECUTOR_OUTPUT_LIMIT", default_value_t = 10 * 1024 * 1024)]
    pub output_limit: u64,
    /// The longest a controller works on one request: after a lost answer nothing is repeated before that has passed
    #[arg(long, env = "RUNWARDEN_EXECUTOR_CONTROLLER_REQUEST_TIME", default_value = "120s", value_parser = humantime::parse_duration)]
    pub controller_request_time: Duration,
    /// How far the clocks of Runwarden and controllers may differ
    #[arg(long, env = "RUNWARDEN_EXECUTOR_CLOCK_SKEW", default_value = "90s", value_parser = humantime::parse_duration)]
    pub clock_skew: Duration,
    /// How long a run may be missing from its controller's list before its job counts as lost, and how long a launch
    /// that may be hidden from Runwarden's account is searched for before an operator must decide; from 1s to 1d
    #[arg(long, env = "RUNWARDEN_EXECUTOR_RUN_MISSING_TIME", default_value = "30s", value_parser = run_missing_time)]
    pub run_missing_time: Duration,
    /// The longest pause between two looks at a controller's runs while nothing happens; from 1s to 5m
    #[arg(long, env = "RUNWARDEN_EXECUTOR_POLL_QUIET", default_value = "5s", value_parser = poll)]
    pub poll_quiet: Duration,
    /// The longest pause between two looks at a controller's runs while its notifications prove reliable; from 1s to 5m
    #[arg(long, env = "RUNWARDEN_EXECUTOR_POLL_HINTED", default_value = "30s", value_parser = poll)]
    pub poll_hinted: Duration,
    /// How long to wait for the answer to a launch
    #[arg(long, env = "RUNWARDEN_EXECUTOR_LAUNCH_TIMEOUT", default_value = "130s", value_parser = humantime::parse_duration)]
    pub launch_timeout: Duration,
    /// How much memory responses of controllers may take at a time, in MiB; one tenant's controllers get an eighth
    #[arg(long, env = "RUNWARDEN_EXECUTOR_CONTROLLER_MEMORY_MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(64..=65_536))]
    pub controller_memory_mib: u32,
    /// How many jobs of one tenant may wait in the queue, if the tenant has no limit of its own
    #[arg(long, env = "RUNWARDEN_EXECUTOR_QUEUE_LIMIT", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub queue_limit: u32,
    /// How long an executor may miss its heartbeats before others take over its work; from 1s to 10m
    #[arg(long = "executor-lease", env = "RUNWARDEN_EXECUTOR_LEASE", default_value = "10s", value_parser = lease)]
    pub lease: Duration,
    /// Event streams and waits at once
    #[arg(long, env = "RUNWARDEN_EXECUTOR_MAX_STREAMS", default_value_t = 4096)]
    pub executor_max_streams: usize,
    /// Event streams and waits of one tenant's principals at once
    #[arg(long, env = "RUNWARDEN_EXECUTOR_TENANT_STREAMS", default_value_t = 1024)]
    pub executor_tenant_streams: usize,
    /// Event streams and waits of one principal at once
    #[arg(long, env = "RUNWARDEN_EXECUTOR_PRINCIPAL_STREAMS", default_value_t = 256)]
    pub executor_principal_streams: usize,
    /// How callers reach the public listener, such as https://runwarden.example: runs that are told of their request get
    /// a link to the job with it, and none if it is empty. `runwarden up` knows it
    #[arg(long, env = "RUNWARDEN_EXECUTOR_PUBLIC_URL", default_value = "", value_parser = public_url)]
    pub executor_public_url: String,
    /// The file jobs are kept in, if not in the data folder; executors on one machine may share it
    #[arg(long, env = "RUNWARDEN_EXECUTOR_JOBS_FILE")]
    pub jobs_file: Option<PathBuf>,
    /// For tests: the process dies at this place, `NAME` or `NAME:N` for the N-th time
    #[arg(long, env = "RUNWARDEN_EXECUTOR_FAILPOINT", default_value = "", hide = true)]
    pub failpoint: Failpoint,
    /// Allow `http://` controllers that are not on this machine (credentials then travel in clear text)
    #[arg(long, env = "RUNWARDEN_EXECUTOR_ALLOW_PLAIN_HTTP_CONTROLLERS", default_value_t = false)]
    pub executor_allow_plain_http_controllers: bool,
    /// Controllers, by address, whose certificates are not verified, because the operator said so for another program
    /// that Runwarden stands in for.
    #[arg(skip)]
    pub unverified_controllers: Vec<String>,
    /// Authorities for controllers at an address, as the same program had them: the address, and PEM.
    #[arg(skip)]
    pub trusted_controllers: Vec<(String, String)>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            launches_at_once: 512,
            output_limit: 10 * 1024 * 1024,
            controller_request_time: Duration::from_secs(120),
            clock_skew: Duration::from_secs(90),
            run_missing_time: Duration::from_secs(30),
            poll_quiet: Duration::from_secs(5),
            poll_hinted: Duration::from_secs(30),
            launch_timeout: Duration::from_secs(130),
            controller_memory_mib: 256,
            queue_limit: 10_000,
            lease: Duration::from_secs(10),
            executor_max_streams: 4096,
            executor_tenant_streams: 1024,
            executor_principal_streams: 256,
            executor_public_url: String::new(),
            jobs_file: None,
            failpoint: Failpoint::default(),
            executor_allow_plain_http_controllers: false,
            unverified_controllers: Vec::new(),
            trusted_controllers: Vec::new(),
        }
    }
}

/// Settings of earlier builds on which launch-once depends, and what each is called now.
const RENAMED: [(&str, &str); 5] = [
    ("RUNWARDEN_EXECUTOR_CONTROLLER_REQUEST_SECONDS", "RUNWARDEN_EXECUTOR_CONTROLLER_REQUEST_TIME"),
    ("RUNWARDEN_EXECUTOR_CLOCK_SKEW_SECONDS", "RUNWARDEN_EXECUTOR_CLOCK_SKEW"),
    ("RUNWARDEN_EXECUTOR_RUN_MISSING_SECONDS", "RUNWARDEN_EXECUTOR_RUN_MISSING_TIME"),
    ("RUNWARDEN_EXECUTOR_LAUNCH_TIMEOUT_SECONDS", "RUNWARDEN_EXECUTOR_LAUNCH_TIMEOUT"),
    ("RUNWARDEN_EXECUTOR_LEASE_SECONDS", "RUNWARDEN_EXECUTOR_LEASE"),
];

/// Refuses settings of earlier builds. Were they ignored, a shorter default could apply, and a lost launch would be
/// given up while its controller may still make it.
///
/// # Errors
/// When one is set.
pub(crate) fn refuse_renamed(is_set: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    match RENAMED.iter().find(|(old, _)| is_set(old)) {
        Some((old, new)) => anyhow::bail!("{old} is no longer read: set {new} instead, with a unit, such as 120s"),
        None => Ok(()),
    }
}

impl Config {
    /// How much is read from controllers, and how long to wait for it.
    #[must_use]
    pub fn limits(&self) -> ClientLimits {
        ClientLimits {
            launch: self.launch_timeout,
            allow_plain_http: self.executor_allow_plain_http_controllers,
            unverified: self.unverified_controllers.clone(),
            trusted: self.trusted_controllers.clone(),
            ..controllers::limits()
        }
        .with_memory(usize::try_from(self.controller_memory_mib).unwrap_or(usize::MAX).saturating_mul(1024 * 1024))
    }

    /// How late to look at runs of which nothing is heard.
    #[must_use]
    pub fn poll(&self) -> Poll {
        Poll { quiet: self.poll_quiet, hinted: self.poll_hinted }
    }

    /// How many streams and waits callers may have open.
    #[must_use]
    pub fn stream_limits(&self) -> CallerLimits {
        CallerLimits {
            total: self.executor_max_streams,
            tenant: self.executor_tenant_streams,
            principal: self.executor_principal_streams,
        }
    }

    /// How long finding no run of a launch proves nothing.
    #[must_use]
    pub fn patience(&self) -> Patience {
        Patience {
            controller_request: self.controller_request_time,
            clock_skew: self.clock_skew,
            hidden: self.run_missing_time,
        }
    }
}

/// Reads [`Config::run_missing_time`].
fn run_missing_time(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_secs(1)..=Duration::from_hours(24))
}

/// Reads [`Config::executor_public_url`].
fn public_url(text: &str) -> Result<String, String> {
    let is_url = text.starts_with("https://") || text.starts_with("http://");
    if text.is_empty() || (is_url && text.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Ok(text.to_owned());
    }
    Err("must be an address such as https://runwarden.example".to_owned())
}

/// Reads [`Config::poll_quiet`] and [`Config::poll_hinted`].
fn poll(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_secs(1)..=Duration::from_mins(5))
}

/// Reads [`Config::lease`].
fn lease(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_secs(1)..=Duration::from_mins(10))
}

fn between(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    let read = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if range.contains(&read) {
        return Ok(read);
    }
    let shown = humantime::format_duration;
    Err(format!("must be from {} to {}", shown(*range.start()), shown(*range.end())))
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn parse(line: &[&str]) -> Result<Config, clap::Error> {
        let command = Config::augment_args(clap::Command::new("test"));
        let matches = command.try_get_matches_from([&["test"], line].concat())?;
        Config::from_arg_matches(&matches)
    }

    #[test]
    fn the_default_settings_are_those_of_an_empty_command_line() {
        assert_eq!(format!("{:?}", parse(&[]).unwrap()), format!("{:?}", Config::default()));
    }

    #[test]
    fn a_setting_of_an_earlier_build_stops_the_start_instead_of_being_ignored() {
        refuse_renamed(|_| false).unwrap();
        for (old, new) in RENAMED {
            let refused = refuse_renamed(|name| name == old).unwrap_err().to_string();
            assert!(refused.contains(old) && refused.contains(&format!("set {new} instead")), "{refused}");
            let command = Config::augment_args(clap::Command::new("test"));
            assert!(command.get_arguments().any(|arg| arg.get_env().is_some_and(|env| env == new)), "{new} is read");
        }
    }

    #[test]
    fn durations_have_a_unit_and_stay_in_range() {
        let parsed = parse(&["--executor-lease", "1m", "--run-missing-time", "1500ms", "--clock-skew", "0s"]).unwrap();
        assert_eq!(parsed.lease, Duration::from_secs(60));
        assert_eq!(parsed.run_missing_time, Duration::from_millis(1500));
        assert_eq!(parsed.clock_skew, Duration::ZERO);
        for (flag, refused, why) in [
            ("--executor-lease", "10", "unit"),
            ("--executor-lease", "0s", "must be from 1s to 10m"),
            ("--executor-lease", "11m", "must be from 1s to 10m"),
            ("--run-missing-time", "999ms", "must be from 1s to 1day"),
            ("--run-missing-time", "2d", "must be from 1s to 1day"),
            ("--launch-timeout", "soon", "expected number"),
        ] {
            let error = parse(&[flag, refused]).expect_err(refused).to_string();
            assert!(error.contains(why), "{flag} {refused}: {error}");
        }
    }
}
