//! The settings of the auth service.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use aws_lc_rs::rsa::KeySize;
use clap::Args;

use crate::key::keyring::KeyPolicy;
use crate::trust::revocation::LONGEST_TOKEN;

/// How long signing keys are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum KeyBits {
    /// 2048 bits: what most verifiers expect, and the fastest.
    #[default]
    #[value(name = "2048")]
    Bits2048,
    /// 3072 bits: for tokens that must hold beyond 2030.
    #[value(name = "3072")]
    Bits3072,
    /// 4096 bits: as long as it gets; issuing takes several times as long.
    #[value(name = "4096")]
    Bits4096,
}

impl From<KeyBits> for KeySize {
    fn from(bits: KeyBits) -> Self {
        match bits {
            KeyBits::Bits2048 => Self::Rsa2048,
            KeyBits::Bits3072 => Self::Rsa3072,
            KeyBits::Bits4096 => Self::Rsa4096,
        }
    }
}

/// The settings of the auth service.
#[derive(Args, Clone, Debug)]
#[group(id = "auth_settings")]
pub struct Config {
    /// The issuer that tokens name: the public base URL, without a slash at its end
    #[arg(long = "issuer", env = "RUNWARDEN_AUTH_ISSUER", default_value = "http://127.0.0.1:8080")]
    pub issuer: String,
    /// How long access tokens live, from 1 minute to 1 hour
    #[arg(long = "token-lifetime", env = "RUNWARDEN_AUTH_TOKEN_LIFETIME", default_value = "15m", value_parser = humantime::parse_duration)]
    pub token_lifetime: Duration,
    /// How long signing keys are, in bits
    #[arg(long = "key-bits", env = "RUNWARDEN_AUTH_KEY_BITS", value_enum, default_value = "2048")]
    pub key_bits: KeyBits,
    /// How long a signing key signs before the next one takes over
    #[arg(long = "key-rotation", env = "RUNWARDEN_AUTH_KEY_ROTATION", default_value = "30d", value_parser = humantime::parse_duration)]
    pub key_rotation: Duration,
    /// How long a new signing key is published before it signs, so that every verifier knows it by then
    #[arg(long = "key-overlap", env = "RUNWARDEN_AUTH_KEY_OVERLAP", default_value = "10s", value_parser = humantime::parse_duration)]
    pub key_overlap: Duration,
    /// How many clients a tenant may have, and the platform
    #[arg(long = "max-clients", env = "RUNWARDEN_AUTH_MAX_CLIENTS", default_value_t = 10_000)]
    pub max_clients: u64,
    /// The key file that seals signing keys; all replicas share it [default: seal.key in the data folder]
    #[arg(long = "seal-key-file", env = "RUNWARDEN_AUTH_SEAL_KEY_FILE")]
    pub seal_key_file: Option<PathBuf>,
    /// The key file under which client secrets are hashed; all replicas share it [default: pepper.key in the data folder]
    #[arg(long = "pepper-file", env = "RUNWARDEN_AUTH_PEPPER_FILE")]
    pub pepper_file: Option<PathBuf>,
    /// Where the first start leaves the credentials of the first administrator [default: bootstrap.json in the data folder]
    #[arg(long = "bootstrap-file", env = "RUNWARDEN_AUTH_BOOTSTRAP_FILE")]
    pub bootstrap_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            issuer: "http://127.0.0.1:8080".to_owned(),
            token_lifetime: Duration::from_secs(15 * 60),
            key_bits: KeyBits::default(),
            key_rotation: Duration::from_secs(30 * 24 * 60 * 60),
            key_overlap: Duration::from_secs(10),
            max_clients: 10_000,
            seal_key_file: None,
            pepper_file: None,
            bootstrap_file: None,
        }
    }
}

impl Config {
    /// Refuses settings that cannot work, before anything is started with them.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            (Duration::from_secs(60)..=LONGEST_TOKEN).contains(&self.token_lifetime),
            "the token lifetime must be from 1 minute to 1 hour"
        );
        ensure!(
            self.key_overlap >= Duration::from_secs(2),
            "the key overlap must be at least 2 seconds: services learn new keys every second"
        );
        ensure!(
            self.key_rotation >= Duration::from_secs(60 * 60).max(self.key_overlap * 2),
            "the key rotation must be at least 1 hour and twice the overlap"
        );
        ensure!(self.max_clients > 0, "a tenant must be allowed at least one client");
        let scheme = ["https://", "http://"].iter().find_map(|scheme| self.issuer.strip_prefix(scheme));
        let host_and_path = scheme.unwrap_or_default();
        ensure!(
            !host_and_path.is_empty()
                && !host_and_path.starts_with('/')
                && !self.issuer.ends_with('/')
                && self.issuer.bytes().all(|b| b.is_ascii_graphic())
                && !self.issuer.contains(['?', '#']),
            "the issuer must be an http or https URL without query, fragment or trailing slash"
        );
        Ok(())
    }

    /// How the keyring is to behave.
    pub(crate) fn key_policy(&self) -> KeyPolicy {
        KeyPolicy { rotate_every: self.key_rotation, overlap: self.key_overlap, size: self.key_bits.into() }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;

    #[test]
    fn the_defaults_of_the_command_line_are_the_defaults() {
        let command = Config::augment_args(Command::new("auth"));
        let parsed = Config::from_arg_matches(&command.get_matches_from(["auth"])).unwrap();
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Config::default()));
        parsed.check().unwrap();
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let refuse = |change: &dyn Fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            assert!(config.check().is_err(), "{config:?}");
        };
        refuse(&|c| c.token_lifetime = Duration::from_secs(59));
        refuse(&|c| c.token_lifetime = Duration::from_secs(3601));
        refuse(&|c| c.key_overlap = Duration::ZERO);
        refuse(&|c| c.key_rotation = Duration::from_secs(60));
        refuse(&|c| c.max_clients = 0);
        for issuer in
            ["", "gate.example", "https://", "https:///x", "https://a/", "https://a?b", "ftp://a", "https://a b"]
        {
            refuse(&|c| c.issuer = issuer.to_owned());
        }
    }
}
