//! The settings of the hook service.

use std::time::Duration;

use anyhow::ensure;
use clap::Args;

use crate::failpoint::Failpoint;

/// The longest time for which a delivery may be tried: the executor recognises repeats for a day.
pub(crate) const MAX_PATIENCE: Duration = Duration::from_secs(20 * 3600);
/// The shortest time for which deliveries may be kept: senders repeat what was not answered for up to three days.
const MIN_RETENTION: Duration = Duration::from_secs(3 * 24 * 3600);

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
    /// How many deliveries of a tenant are kept; beyond that the oldest go, but none younger than three days
    #[arg(long, env = "RUNWARDEN_HOOK_MAX_DELIVERIES", default_value_t = 100_000)]
    pub max_deliveries: u32,
    /// How much of what a tenant's deliveries contain is kept, in MiB
    #[arg(long, env = "RUNWARDEN_HOOK_MAX_DELIVERY_MIB", default_value_t = 1024)]
    pub max_delivery_mib: u32,
    /// How many deliveries of a tenant may wait to be worked on
    #[arg(long, env = "RUNWARDEN_HOOK_MAX_WAITING_DELIVERIES", default_value_t = 10_000)]
    pub max_waiting_deliveries: u32,
    /// How many deliveries are worked on at once
    #[arg(long, env = "RUNWARDEN_HOOK_DELIVERIES_AT_ONCE", default_value_t = 32)]
    pub deliveries_at_once: usize,
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
        Ok(())
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
