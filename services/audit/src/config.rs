//! The settings of the audit service.

use std::time::Duration;

use clap::Args;

use crate::log::JournalLimits;

/// Settings of the audit service.
#[derive(Args, Clone, Debug)]
#[group(id = "audit_settings")]
pub struct Config {
    /// How many requests may wait for the writer of the audit log
    #[arg(id = "audit_queue", long = "audit-queue", env = "RUNWARDEN_AUDIT_QUEUE", default_value_t = 1024)]
    pub queue: usize,
    /// How long a request waits for a place in that queue before it is refused
    #[arg(
        id = "audit_patience",
        long = "audit-patience",
        env = "RUNWARDEN_AUDIT_PATIENCE",
        default_value = "2s",
        value_parser = humantime::parse_duration
    )]
    pub patience: Duration,
    /// The number of entries after which a batch is closed and written
    #[arg(id = "audit_batch", long = "audit-batch", env = "RUNWARDEN_AUDIT_BATCH", default_value_t = 1000)]
    pub batch: usize,
}

impl Default for Config {
    fn default() -> Self {
        let JournalLimits { queue, patience, batch } = JournalLimits::default();
        Self { queue, patience, batch }
    }
}

impl From<&Config> for JournalLimits {
    fn from(config: &Config) -> Self {
        Self { queue: config.queue, patience: config.patience, batch: config.batch }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    #[test]
    fn what_the_command_line_takes_by_default_is_the_default() {
        let matches = Config::augment_args(clap::Command::new("test")).get_matches_from(["test"]);
        let parsed = Config::from_arg_matches(&matches).unwrap();
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Config::default()));
    }
}
