//! The executor's settings.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use runwarden_awx::Limits;
use runwarden_kit::seats::CallerLimits;

use crate::controllers;
use crate::failpoint::Failpoint;
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
    /// How many seconds a controller works on one request at most: after a lost answer nothing is repeated earlier
    #[arg(long, env = "RUNWARDEN_EXECUTOR_CONTROLLER_REQUEST_SECONDS", default_value_t = 120)]
    pub controller_request_seconds: u64,
    /// How far the clocks of Runwarden and controllers may differ, seconds
    #[arg(long, env = "RUNWARDEN_EXECUTOR_CLOCK_SKEW_SECONDS", default_value_t = 90)]
    pub clock_skew_seconds: u64,
    /// How many seconds a run may be missing from its controller's list before its job is lost, and how long a launch
    /// that may be hidden from Runwarden's account is searched for before a person must decide
    #[arg(long, env = "RUNWARDEN_EXECUTOR_RUN_MISSING_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub run_missing_seconds: u64,
    /// How long to wait for the answer to a launch, seconds
    #[arg(long, env = "RUNWARDEN_EXECUTOR_LAUNCH_TIMEOUT_SECONDS", default_value_t = 130)]
    pub launch_timeout_seconds: u64,
    /// How much memory answers of controllers may take at a time, in MiB; one tenant's controllers get an eighth
    #[arg(long, env = "RUNWARDEN_EXECUTOR_CONTROLLER_MEMORY_MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(64..=65_536))]
    pub controller_memory_mib: u32,
    /// How many jobs of one tenant may wait to be begun, if the tenant has no limit of its own
    #[arg(long, env = "RUNWARDEN_EXECUTOR_QUEUE_LIMIT", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub queue_limit: u32,
    /// After how many seconds without a sign of life others take over an executor's work
    #[arg(long, env = "RUNWARDEN_EXECUTOR_LEASE_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub lease_seconds: u64,
    /// Event streams and waits at once
    #[arg(long, env = "RUNWARDEN_EXECUTOR_MAX_STREAMS", default_value_t = 4096)]
    pub executor_max_streams: usize,
    /// Event streams and waits of one tenant's principals at once
    #[arg(long, env = "RUNWARDEN_EXECUTOR_TENANT_STREAMS", default_value_t = 1024)]
    pub executor_tenant_streams: usize,
    /// Event streams and waits of one principal at once
    #[arg(long, env = "RUNWARDEN_EXECUTOR_PRINCIPAL_STREAMS", default_value_t = 256)]
    pub executor_principal_streams: usize,
    /// The file jobs are kept in, if not in the data folder; executors on one machine may share it
    #[arg(long, env = "RUNWARDEN_EXECUTOR_JOBS_FILE")]
    pub jobs_file: Option<PathBuf>,
    /// For tests: have the process die at this place, `NAME` or `NAME:N` for the N-th time
    #[arg(long, env = "RUNWARDEN_EXECUTOR_FAILPOINT", default_value = "", hide = true)]
    pub failpoint: Failpoint,
    /// Allow `http://` controllers that are not on this machine (credentials then travel in clear text)
    #[arg(long, env = "RUNWARDEN_EXECUTOR_ALLOW_PLAIN_HTTP_CONTROLLERS", default_value_t = false)]
    pub executor_allow_plain_http: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            launches_at_once: 512,
            output_limit: 10 * 1024 * 1024,
            controller_request_seconds: 120,
            clock_skew_seconds: 90,
            run_missing_seconds: 30,
            launch_timeout_seconds: 130,
            controller_memory_mib: 256,
            queue_limit: 10_000,
            lease_seconds: 10,
            executor_max_streams: 4096,
            executor_tenant_streams: 1024,
            executor_principal_streams: 256,
            jobs_file: None,
            failpoint: Failpoint::default(),
            executor_allow_plain_http: false,
        }
    }
}

impl Config {
    /// What is taken from controllers, and how long it is waited for.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            launch: Duration::from_secs(self.launch_timeout_seconds),
            allow_plain_http: self.executor_allow_plain_http,
            ..controllers::limits()
        }
        .with_memory(usize::try_from(self.controller_memory_mib).unwrap_or(usize::MAX).saturating_mul(1024 * 1024))
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

    /// How long an executor may show no life.
    #[must_use]
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds.max(1))
    }

    /// How long absence proves nothing.
    #[must_use]
    pub fn patience(&self) -> Patience {
        Patience {
            controller_request: Duration::from_secs(self.controller_request_seconds),
            clock_skew: Duration::from_secs(self.clock_skew_seconds),
            hidden: self.missing_limit(),
        }
    }

    /// How long a run may be missing on its controller before it is lost.
    #[must_use]
    pub fn missing_limit(&self) -> Duration {
        Duration::from_secs(self.run_missing_seconds)
    }
}
