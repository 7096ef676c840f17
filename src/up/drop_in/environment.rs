//! What the environment of the replaced program says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use runwarden_kit::{ExposeSecret as _, SecretString};

/// Without these, it did not start.
const REQUIRED: [&str; 4] = ["AAP_AUTH", "AAP_JOB_TEMPLATE_ID", "AAP_HOST", "HMAC_KEY"];
/// These are its own too, and mean nothing without the others. Names that anything may set (`INSECURE`, `CERT_FILE`, …)
/// are not listed: alone they are somebody else's.
const ITS_OWN: [&str; 3] = ["JOB_WAIT_SECONDS", "JOB_POLLING_INTERVAL_SECONDS", "JOB_POLLING_INTERVAL"];

const HELP_URL: &str = "https://developer.hashicorp.com/terraform/enterprise/workspaces/settings/run-tasks";
const CERT_FILE: &str = "/opt/app-root/src/certs/tls.crt";
const KEY_FILE: &str = "/opt/app-root/src/certs/tls.key";
const COMBINED_FILE: &str = "/opt/app-root/src/certs/combined.crt";
/// The longest wait: Terraform gives a task up after an hour.
const LONGEST_WAIT: Duration = Duration::from_secs(57 * 60);
/// The longest key.
const LONGEST_KEY: usize = 512;

/// What it says, checked.
#[derive(Debug)]
pub(crate) struct Environment {
    /// The address of AAP.
    pub(super) aap: String,
    /// Who to be there.
    pub(super) username: String,
    /// And with which password.
    pub(super) password: SecretString,
    /// The job template there.
    pub(super) template: i64,
    /// What requests are signed with.
    pub(super) key: SecretString,
    /// The link of results.
    pub(super) help: String,
    /// How long a job may take.
    pub(super) wait: Duration,
    /// Whether that is less than it asked for.
    pub(super) wait_is_cut: bool,
    /// How often a job is looked at.
    pub(super) poll: Duration,
    /// Whether certificates are not verified, and nothing is encrypted here.
    pub(super) insecure: bool,
    /// Certificate and key of the listener.
    pub(super) certificate: PathBuf,
    pub(super) certificate_key: PathBuf,
    /// Authorities of AAP and Terraform, PEM; empty for the system's.
    pub(super) authorities: String,
    /// Why those that were named are not used, where nothing is verified anyway.
    pub(super) unread: Option<String>,
    /// Where Terraform is, if that is said.
    pub(super) terraform: Option<Terraform>,
}

/// Where Terraform is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terraform {
    /// `https://host[:port]`.
    pub(super) address: String,
    /// `host:port`.
    pub(super) place: String,
}

impl Environment {
    /// Reads it; `None` if nothing of it is there.
    ///
    /// # Errors
    /// What is missing or cannot be used, and what to do about it; never a secret.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<Self>> {
        // An empty variable was as good as none.
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let is_set = |name: &&&str| variable(name).is_some();
        let missing: Vec<&str> = REQUIRED.iter().filter(|name| variable(name).is_none()).copied().collect();
        if !missing.is_empty() {
            let set: Vec<&str> = REQUIRED.iter().chain(&ITS_OWN).filter(is_set).copied().collect();
            ensure!(
                set.is_empty(),
                "{} {} set, but {} {} not. To stand in for the Terraform run task proxy, Runwarden needs AAP_AUTH, \
                 AAP_JOB_TEMPLATE_ID, AAP_HOST and HMAC_KEY: set {}. If you do not want that, unset {}",
                set.join(", "),
                if set.len() == 1 { "is" } else { "are" },
                missing.join(", "),
                if missing.len() == 1 { "is" } else { "are" },
                missing.join(", "),
                set.join(", "),
            );
            return Ok(None);
        }
        let required = |name: &str| variable(name).with_context(|| format!("{name} is not set"));
        let (username, password) = login(&required("AAP_AUTH")?)?;
        let template = required("AAP_JOB_TEMPLATE_ID")?;
        let template = template.trim().parse::<i64>().ok().filter(|id| *id > 0);
        let template = template
            .context("AAP_JOB_TEMPLATE_ID is not a number: set it to the id in the template's address, such as 42")?;
        let key = SecretString::from(required("HMAC_KEY")?);
        ensure!(key.expose_secret().len() <= LONGEST_KEY, "HMAC_KEY is longer than {LONGEST_KEY} bytes");
        let help = variable("HELP_URL").unwrap_or_else(|| HELP_URL.to_owned());
        ensure!(
            help.len() <= 500 && Url::parse(&help).is_ok_and(|url| matches!(url.scheme(), "http" | "https")),
            "HELP_URL must be an address such as https://wiki.example/run-tasks, of at most 500 characters"
        );
        let asked = seconds("JOB_WAIT_SECONDS", variable("JOB_WAIT_SECONDS"), 60)?;
        let interval = ["JOB_POLLING_INTERVAL_SECONDS", "JOB_POLLING_INTERVAL"]
            .into_iter()
            .find_map(|name| variable(name).map(|value| (name, value)));
        let poll = match interval {
            Some((name, value)) => seconds(name, Some(value), 5)?,
            None => Duration::from_secs(5),
        };
        let insecure = variable("INSECURE").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        // The replaced program did not open the file then.
        let (authorities, unread) = match authorities(variable("COMBINED_FILE")) {
            Ok(authorities) => (authorities, None),
            Err(error) if insecure => (String::new(), Some(format!("{error:#}"))),
            Err(error) => return Err(error),
        };
        let file = |name: &str, default: &str| PathBuf::from(variable(name).unwrap_or_else(|| default.to_owned()));
        Ok(Some(Self {
            aap: aap(&required("AAP_HOST")?)?,
            username,
            password,
            template,
            key,
            help,
            wait: asked.min(LONGEST_WAIT),
            wait_is_cut: asked > LONGEST_WAIT,
            poll,
            insecure,
            certificate: file("CERT_FILE", CERT_FILE),
            certificate_key: file("KEY_FILE", KEY_FILE),
            authorities,
            unread,
            terraform: variable("TFE_HOST").map(|host| terraform(&host)).transpose()?,
        }))
    }
}

/// `LOG_LEVEL`, as Python's logging names it, as a filter of ours; none if it is not set, or is somebody else's.
pub(crate) fn log_level(variable: impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    let is_set = |name: &&str| variable(name).is_some_and(|value| !value.is_empty());
    if !REQUIRED.iter().all(is_set) {
        return None;
    }
    match variable("LOG_LEVEL")?.trim().to_ascii_uppercase().as_str() {
        "DEBUG" | "10" => Some("info,runwarden=debug"),
        "INFO" | "20" => Some("info"),
        "WARNING" | "WARN" | "30" => Some("warn"),
        "ERROR" | "40" | "CRITICAL" | "FATAL" | "50" => Some("error"),
        _ => None,
    }
}

/// `AAP_AUTH`: user and password, as in a header.
fn login(auth: &str) -> anyhow::Result<(String, SecretString)> {
    let wrong =
        "AAP_AUTH is not base64 of USER:PASSWORD: set it to the output of `printf '%s' 'USER:PASSWORD' | base64 -w0`";
    let bytes = zeroize(STANDARD.decode(auth.trim()).ok().context(wrong)?);
    let text = std::str::from_utf8(&bytes).ok().context(wrong)?;
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() && !password.is_empty() && !text.contains(['\n', '\r']) => {
            Ok((user.to_owned(), password.into()))
        }
        _ => bail!(wrong),
    }
}

/// Bytes that are wiped when they are no longer needed.
fn zeroize(bytes: Vec<u8>) -> zeroize::Zeroizing<Vec<u8>> {
    zeroize::Zeroizing::new(bytes)
}

/// `AAP_HOST`: a host, perhaps with a port. With a scheme it is taken too.
fn aap(host: &str) -> anyhow::Result<String> {
    let host = host.trim().trim_end_matches('/');
    let text = if host.contains("://") { host.to_owned() } else { format!("https://{host}") };
    let url = Url::parse(&text).ok().filter(is_bare);
    let url =
        url.context("AAP_HOST is not a host: set it to the name of AAP, such as aap.example or aap.example:8443")?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// `TFE_HOST`: the same, always with TLS.
fn terraform(host: &str) -> anyhow::Result<Terraform> {
    let host = host.trim().trim_end_matches('/');
    let text = if host.contains("://") { host.to_owned() } else { format!("https://{host}") };
    let url = Url::parse(&text).ok().filter(|url| is_bare(url) && url.scheme() == "https");
    let named = url.as_ref().and_then(|url| Some((url, url.host_str()?, url.port_or_known_default()?)));
    let (url, name, port) =
        named.context("TFE_HOST is not a host: set it to the name of Terraform, such as tfe.example")?;
    Ok(Terraform { address: url.as_str().trim_end_matches('/').to_owned(), place: format!("{name}:{port}") })
}

fn is_bare(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.host().is_some()
        && url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
}

fn seconds(name: &str, value: Option<String>, default: u64) -> anyhow::Result<Duration> {
    let Some(value) = value else { return Ok(Duration::from_secs(default)) };
    let seconds = value.trim().parse::<u64>().ok().filter(|seconds| *seconds > 0);
    seconds.map(Duration::from_secs).with_context(|| format!("{name} must be a number of seconds, at least 1"))
}

/// `COMBINED_FILE`. If it is not set, the file at its usual place is taken, if there is one.
fn authorities(set: Option<String>) -> anyhow::Result<String> {
    let path = set.clone().unwrap_or_else(|| COMBINED_FILE.to_owned());
    match std::fs::read_to_string(Path::new(&path)) {
        Ok(pem) if has_certificates(&pem) => Ok(pem),
        Ok(_) => bail!(
            "COMBINED_FILE {path} has no certificates in PEM, or one that cannot be read: it must have lines such as \
             -----BEGIN CERTIFICATE-----"
        ),
        Err(error) if set.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| {
            format!(
                "COMBINED_FILE {path} cannot be read: set it to a PEM file with the authorities of AAP and Terraform"
            )
        }),
    }
}

fn has_certificates(pem: &str) -> bool {
    reqwest::Certificate::from_pem_bundle(pem.as_bytes()).is_ok_and(|found| !found.is_empty())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::up::drop_in) const WHOLE: [(&str, &str); 4] = [
        ("AAP_AUTH", "cnVud2FyZGVuOmh1bnRlcjI="),
        ("AAP_JOB_TEMPLATE_ID", "42"),
        ("AAP_HOST", "aap.example"),
        ("HMAC_KEY", "secret"),
    ];

    pub(in crate::up::drop_in) fn with(more: &[(&str, &str)]) -> anyhow::Result<Option<Environment>> {
        Environment::read(|name| {
            let last = WHOLE.iter().chain(more).rev().find(|(set, _)| *set == name);
            last.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_required_variables_are_enough() {
        let read = with(&[]).unwrap().unwrap();
        assert_eq!(
            (read.aap.as_str(), read.template, read.username.as_str()),
            ("https://aap.example", 42, "runwarden")
        );
        assert_eq!(read.password.expose_secret(), "hunter2");
        assert_eq!((read.wait.as_secs(), read.poll.as_secs(), read.insecure), (60, 5, false));
        assert_eq!((read.help.as_str(), read.terraform), (HELP_URL, None));
    }

    #[test]
    fn what_is_set_is_taken() {
        let read = with(&[
            ("AAP_HOST", "AAP.example:8443/"),
            ("INSECURE", "True"),
            ("JOB_WAIT_SECONDS", "9000"),
            ("JOB_POLLING_INTERVAL", "9"),
            ("TFE_HOST", "tfe.example"),
        ]);
        let read = read.unwrap().unwrap();
        assert_eq!((read.aap.as_str(), read.insecure), ("https://aap.example:8443", true));
        assert_eq!((read.wait, read.wait_is_cut, read.poll.as_secs()), (LONGEST_WAIT, true, 9));
        let terraform = read.terraform.unwrap();
        assert_eq!((terraform.address.as_str(), terraform.place.as_str()), ("https://tfe.example", "tfe.example:443"));
        let both = with(&[("JOB_POLLING_INTERVAL", "9"), ("JOB_POLLING_INTERVAL_SECONDS", "3")]).unwrap().unwrap();
        assert_eq!(both.poll.as_secs(), 3, "the documented name wins");
    }

    #[test]
    fn authorities_that_cannot_be_read_do_not_matter_where_nothing_is_verified() {
        let read = with(&[("INSECURE", "true"), ("COMBINED_FILE", "/nowhere/ca.crt")]).unwrap().unwrap();
        assert_eq!(read.authorities, "");
        assert!(read.warnings().join("\n").contains("COMBINED_FILE /nowhere/ca.crt"), "{:?}", read.warnings());
        assert!(with(&[("INSECURE", "false"), ("COMBINED_FILE", "/nowhere/ca.crt")]).is_err());
    }

    #[test]
    fn the_log_level_is_that_of_the_environment_only_if_all_of_it_is_there() {
        let level = |more: &[(&str, &str)]| {
            log_level(|name| {
                let last = WHOLE.iter().chain(more).rev().find(|(set, _)| *set == name);
                last.map(|(_, value)| (*value).to_owned())
            })
        };
        for (set, taken) in [
            ("DEBUG", Some("info,runwarden=debug")),
            ("warning", Some("warn")),
            ("CRITICAL", Some("error")),
            ("10", Some("info,runwarden=debug")),
            ("loud", None),
            ("", None),
        ] {
            assert_eq!(level(&[("LOG_LEVEL", set)]), taken, "{set}");
        }
        assert_eq!(level(&[("LOG_LEVEL", "DEBUG"), ("HMAC_KEY", "")]), None, "somebody else's");
    }

    #[test]
    fn nothing_of_it_is_no_drop_in_and_a_part_of_it_says_what_is_missing() {
        assert!(Environment::read(|_| None).unwrap().is_none());
        assert!(Environment::read(|name| (name == "INSECURE").then(|| "true".into())).unwrap().is_none());
        let part =
            Environment::read(|name| (name == "AAP_HOST").then(|| "aap.example".into())).unwrap_err().to_string();
        assert!(
            part.contains("set AAP_AUTH, AAP_JOB_TEMPLATE_ID, HMAC_KEY") && part.contains("unset AAP_HOST"),
            "{part}"
        );
        let empty = with(&[("HMAC_KEY", "")]).unwrap_err().to_string();
        assert!(empty.contains("set HMAC_KEY."), "{empty}");
    }

    #[test]
    fn what_cannot_be_used_is_said_without_the_secret() {
        for (name, value, told) in [
            ("AAP_AUTH", "runwarden:hunter2", "base64 of USER:PASSWORD"),
            ("AAP_AUTH", "aHVudGVyMg==", "base64 of USER:PASSWORD"),
            ("AAP_JOB_TEMPLATE_ID", "deploy", "not a number"),
            ("AAP_JOB_TEMPLATE_ID", "-1", "not a number"),
            ("AAP_HOST", "a b", "not a host"),
            ("AAP_HOST", "https://u:p@aap.example", "not a host"),
            ("AAP_HOST", "aap.example/api", "not a host"),
            ("TFE_HOST", "http://tfe.example", "not a host"),
            ("HELP_URL", "javascript:alert(1)", "HELP_URL"),
            ("JOB_WAIT_SECONDS", "soon", "JOB_WAIT_SECONDS"),
            ("JOB_POLLING_INTERVAL", "0", "JOB_POLLING_INTERVAL"),
            ("COMBINED_FILE", "/nowhere/ca.crt", "COMBINED_FILE /nowhere/ca.crt"),
            ("COMBINED_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "has no certificates in PEM"),
        ] {
            let error = format!("{:#}", with(&[(name, value)]).unwrap_err());
            assert!(error.contains(told) && !error.contains("hunter2"), "{name}: {error}");
        }
        assert!(!format!("{:?}", with(&[]).unwrap()).contains("hunter2"));
        assert!(!format!("{:?}", with(&[("HMAC_KEY", "hunter2")]).unwrap()).contains("hunter2"));
    }
}
