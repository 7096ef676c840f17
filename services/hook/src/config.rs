//! The settings of the hook service.

use std::time::Duration;

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;
use runwarden_outbound::{Exceptions, Proxy, Settings};

use crate::by_hook::ByHook;
use crate::failpoint::Failpoint;
use crate::run_task::worker::Reporting;

/// The longest time for which a delivery may be tried: the executor recognises repeats for a day.
pub(crate) const MAX_PATIENCE: Duration = Duration::from_secs(20 * 3600);
/// The shortest time for which deliveries may be kept: senders repeat what was not answered for up to three days.
const MIN_RETENTION: Duration = Duration::from_secs(3 * 24 * 3600);

/// Requests that one receiver's host has at a time: many tenants may use the same.
const PER_HOST: usize = 64;
/// The longest time for which a run task may wait: Terraform gives it up after an hour.
const RUN_TASK_WAIT: Duration = Duration::from_secs(57 * 60);

/// The shortest time between two looks at a job.
const SHORTEST_POLL: Duration = Duration::from_secs(1);

/// The settings of the hook service.
#[derive(Args, Clone, Debug)]
#[group(id = "hook_settings")]
pub struct Config {
    /// For how long a delivery is tried while something that it needs is away; at most 20h
    #[arg(long, env = "RUNWARDEN_HOOK_DELIVERY_PATIENCE", default_value = "12h", value_parser = humantime::parse_duration)]
    pub delivery_patience: Duration,
    /// For how long deliveries are kept, and repeats of them recognised; at least 3d
    #[arg(long, env = "RUNWARDEN_HOOK_DELIVERY_RETENTION", default_value = "30d", value_parser = humantime::parse_duration)]
    pub delivery_retention: Duration,
    /// How many deliveries of a tenant are kept; beyond that the oldest go, but none younger than
    /// three days
    #[arg(long, env = "RUNWARDEN_HOOK_MAX_DELIVERIES", default_value_t = 100_000)]
    pub max_deliveries: u32,
    /// How much is kept of a tenant's deliveries, in MiB
    #[arg(long, env = "RUNWARDEN_HOOK_MAX_DELIVERY_MIB", default_value_t = 1024)]
    pub max_delivery_mib: u32,
    /// How many deliveries of a tenant may wait to be worked on
    #[arg(long, env = "RUNWARDEN_HOOK_MAX_WAITING_DELIVERIES", default_value_t = 10_000)]
    pub max_waiting_deliveries: u32,
    /// How many deliveries are worked on at once
    #[arg(long, env = "RUNWARDEN_HOOK_DELIVERIES_AT_ONCE", default_value_t = 32)]
    pub deliveries_at_once: usize,
    /// Hosts and networks that callbacks may reach although they are not on the public internet, separated by commas:
    /// `10.1.0.0/16`, `hooks.internal:8443`, `[fd12::/32]`. With `http://` in front, without encryption, too
    #[arg(long, env = "RUNWARDEN_OUTBOUND_ALLOW", default_value = "", value_name = "LIST", help_heading = "Callbacks")]
    pub outbound_allow: Exceptions,
    /// Connect to receivers through this HTTP proxy, such as `http://proxy.internal:3128`
    #[arg(long, env = "RUNWARDEN_OUTBOUND_PROXY", value_name = "URL", help_heading = "Callbacks")]
    pub outbound_proxy: Option<Proxy>,
    /// Certificate authorities to trust for receivers besides the system's, a PEM file
    #[arg(long, env = "RUNWARDEN_OUTBOUND_CA_FILE", value_name = "FILE", help_heading = "Callbacks")]
    pub outbound_ca_file: Option<PathBuf>,
    /// How long the job of a Terraform run task may take before the task fails; at most 57m: Terraform waits for an hour.
    /// Less than 30s counts as 30s, and no job is begun in the last 15s
    #[arg(long, env = "RUNWARDEN_HOOK_RUN_TASK_WAIT", default_value = "57m", value_parser = humantime::parse_duration)]
    pub run_task_wait: Duration,
    /// How often the job of a run task is looked at; less often the longer it takes, at least every 30s. Its end is noticed at
    /// once anyway
    #[arg(long, env = "RUNWARDEN_HOOK_RUN_TASK_POLL", default_value = "2s", value_parser = humantime::parse_duration)]
    pub run_task_poll: Duration,
    /// The link that results of run tasks show in Terraform
    #[arg(long, env = "RUNWARDEN_HOOK_RUN_TASK_LINK", value_name = "URL")]
    pub run_task_link: Option<String>,
    /// The Terraform of one hook that the operator named, when Runwarden stands in for another program.
    #[arg(skip)]
    pub own_terraform: Option<TerraformOf>,
    /// For tests: the process dies at this place, `NAME` or `NAME:N` for the N-th time
    #[arg(long, env = "RUNWARDEN_HOOK_FAILPOINT", default_value = "", hide = true)]
    pub hook_failpoint: Failpoint,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            delivery_patience: Duration::from_secs(12 * 3600),
            delivery_retention: Duration::from_secs(30 * 24 * 3600),
            max_deliveries: 100_000,
            max_delivery_mib: 1024,
            max_waiting_deliveries: 10_000,
            deliveries_at_once: 32,
            outbound_allow: Exceptions::default(),
            outbound_proxy: None,
            outbound_ca_file: None,
            run_task_wait: RUN_TASK_WAIT,
            run_task_poll: Duration::from_secs(2),
            run_task_link: None,
            own_terraform: None,
            hook_failpoint: Failpoint::default(),
        }
    }
}

impl Config {
    /// Refuses settings that would break what is promised.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.delivery_patience <= MAX_PATIENCE, "--delivery-patience must be at most 20h");
        ensure!(self.delivery_retention >= MIN_RETENTION, "--delivery-retention must be at least 3d");
        ensure!(self.deliveries_at_once > 0, "--deliveries-at-once must be at least 1");
        let reporting = self.reporting();
        ensure!(reporting.every(|each| each.wait <= RUN_TASK_WAIT), "--run-task-wait must be at most 57m");
        ensure!(reporting.every(|each| each.poll >= SHORTEST_POLL), "--run-task-poll must be at least 1s");
        Ok(())
    }

    /// How run tasks are reported on.
    pub(crate) fn reporting(&self) -> ByHook<Reporting> {
        let general =
            Reporting { wait: self.run_task_wait, poll: self.run_task_poll, link: self.run_task_link.clone() };
        let all = ByHook::all(general);
        match &self.own_terraform {
            None => all,
            Some(own) => {
                let reporting = Reporting { wait: own.wait, poll: own.poll, link: own.link.clone() };
                all.but(&own.tenant, &own.hook, reporting)
            }
        }
    }

    /// How requests are made to addresses that tenants choose.
    ///
    /// # Errors
    /// When the file of authorities cannot be read.
    pub(crate) fn outbound(&self) -> anyhow::Result<Settings> {
        let ca_pem = match &self.outbound_ca_file {
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("reading --outbound-ca-file {}", file.display()))?,
            None => String::new(),
        };
        Ok(Settings {
            exceptions: self.outbound_allow.clone(),
            proxy: self.outbound_proxy.clone(),
            ca_pem,
            per_host: PER_HOST,
            ..Settings::default()
        })
    }

    /// How much of a tenant may be kept.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            waiting: i64::from(self.max_waiting_deliveries),
            kept: i64::from(self.max_deliveries),
            bytes: i64::from(self.max_delivery_mib) << 20,
        }
    }
}

/// The Terraform of one hook: what this hook's results may reach, and how they are reported; no other's.
#[derive(Clone, Debug)]
pub struct TerraformOf {
    /// The hook's tenant.
    pub tenant: String,
    /// The hook.
    pub hook: String,
    /// What may be reached although it is not on the public internet.
    pub allow: Exceptions,
    /// Certificate authorities to trust besides the system's, PEM; empty for none.
    pub ca_pem: String,
    /// Whether certificates are not verified.
    pub insecure: bool,
    /// How long a job may take, instead of [`Config::run_task_wait`].
    pub wait: Duration,
    /// How often a job is looked at, instead of [`Config::run_task_poll`].
    pub poll: Duration,
    /// The link of results, instead of [`Config::run_task_link`].
    pub link: Option<String>,
}

impl TerraformOf {
    /// How requests are made to it.
    pub(crate) fn outbound(&self, general: Settings) -> Settings {
        Settings {
            exceptions: general.exceptions.and(self.allow.clone()),
            ca_pem: format!("{}\n{}", general.ca_pem, self.ca_pem),
            insecure: self.insecure,
            ..general
        }
    }
}

/// How much of a tenant may be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) waiting: i64,
    pub(crate) kept: i64,
    pub(crate) bytes: i64,
}

impl Limits {
    /// As the store wants to know it, at a moment.
    pub(crate) fn room(self, now: runwarden_kit::clock::Moment) -> crate::store::Room {
        let forget_before = now.minus(MIN_RETENTION);
        crate::store::Room { waiting: self.waiting, kept: self.kept, bytes: self.bytes, forget_before }
    }
}
