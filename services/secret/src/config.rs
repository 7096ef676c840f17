//! The settings of the secret service.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The settings of the secret service.
#[derive(Args, Clone, Debug)]
#[group(id = "secret_settings")]
pub struct Config {
    /// Where the master keys are kept, apart from what they protect; `master-keys` in the data folder if not set. Back
    /// this folder up together with the store, and keep the two backups apart
    #[arg(long, env = "RUNWARDEN_SECRET_MASTER_KEYS_DIR")]
    pub secret_master_keys_dir: Option<PathBuf>,
    /// How long a tenant's data key seals before the next one is made; older ones can still decrypt
    #[arg(long, env = "RUNWARDEN_SECRET_TENANT_KEY_MAX_AGE", default_value = "90d", value_parser = humantime::parse_duration)]
    pub secret_tenant_key_max_age: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { secret_master_keys_dir: None, secret_tenant_key_max_age: 90 * DAY }
    }
}

impl Config {
    /// Refuses settings that would do harm.
    ///
    /// # Errors
    /// Naming the setting.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.secret_tenant_key_max_age >= DAY,
            "--secret-tenant-key-max-age must be at least 1d: every data key is kept for as long as its tenant"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Config, DAY, Duration};

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        config: Config,
    }

    #[test]
    fn the_default_is_what_the_help_says() {
        let parsed = Arguments::parse_from(["test"]).config;
        let default = Config::default();
        assert_eq!(parsed.secret_tenant_key_max_age, default.secret_tenant_key_max_age);
        assert_eq!(parsed.secret_master_keys_dir, default.secret_master_keys_dir);
        assert!(default.check().is_ok());
    }

    #[test]
    fn a_key_that_would_be_made_anew_all_the_time_is_refused() {
        let parse = |age: &str| Arguments::parse_from(["test", "--secret-tenant-key-max-age", age]).config;
        assert_eq!(parse("7d").secret_tenant_key_max_age, 7 * DAY);
        let error = Config { secret_tenant_key_max_age: Duration::ZERO, ..Config::default() }.check().unwrap_err();
        assert!(error.to_string().contains("--secret-tenant-key-max-age"));
        assert!(parse("1h").check().is_err());
    }
}
