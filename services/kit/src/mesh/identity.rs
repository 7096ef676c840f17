//! SPIFFE identities: `spiffe://<trust-domain>/svc/<service>` and `spiffe://<trust-domain>/operator/<name>`.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// The services of Runwarden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// HTTP in, gRPC out.
    Edge,
    /// Who is asking.
    Auth,
    /// What may be done.
    Policy,
    /// What exists.
    Project,
    /// Secrets.
    Secret,
    /// What happened.
    Audit,
    /// What is run.
    Executor,
    /// Events in, results out.
    Hook,
}

impl Service {
    /// All of them.
    pub const ALL: &[Self] =
        &[Self::Edge, Self::Auth, Self::Policy, Self::Project, Self::Secret, Self::Audit, Self::Executor, Self::Hook];

    /// Those that serve gRPC.
    pub const WITH_GRPC: &[Self] =
        &[Self::Auth, Self::Policy, Self::Project, Self::Secret, Self::Audit, Self::Executor, Self::Hook];

    /// Its name in ids, settings and access rules.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Auth => "auth",
            Self::Policy => "policy",
            Self::Project => "project",
            Self::Secret => "secret",
            Self::Audit => "audit",
            Self::Executor => "executor",
            Self::Hook => "hook",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Service {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|s| s.name() == text).with_context(|| format!("there is no service {text:?}"))
    }
}

/// The trust domain: the authority part of SPIFFE ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustDomain(String);

impl FromStr for TrustDomain {
    type Err = anyhow::Error;

    /// Lower-case letters, digits, dots, hyphens and underscores, at most 255 bytes (SPIFFE-ID section 2.1).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = (1..=255).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
        ensure!(valid, "{text:?} is not a trust domain: it may have lower-case letters, digits, '.', '-' and '_' only");
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TrustDomain {
    /// The id of a service.
    #[must_use]
    pub fn service_id(&self, service: Service) -> String {
        format!("spiffe://{}/svc/{}", self.0, service.name())
    }

    /// The id of an operator.
    #[must_use]
    pub fn operator_id(&self, name: &str) -> String {
        format!("spiffe://{}/operator/{name}", self.0)
    }
}

/// Who is at the other end of a mesh connection, from its verified certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A service.
    Service(Service),
    /// A person with an operator's certificate.
    Operator(String),
}

impl Peer {
    /// The name that `access.services` uses for it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Service(service) => service.name(),
            Self::Operator(_) => "operator",
        }
    }

    /// Its SPIFFE id in a trust domain.
    #[must_use]
    pub fn id(&self, domain: &TrustDomain) -> String {
        match self {
            Self::Service(service) => domain.service_id(*service),
            Self::Operator(name) => domain.operator_id(name),
        }
    }

    /// Reads the identity of a certificate: exactly one URI SAN, of this trust domain (X509-SVID section 2).
    ///
    /// # Errors
    /// When the certificate carries none, several, or a foreign one.
    pub fn of_certificate(der: &[u8], domain: &TrustDomain) -> anyhow::Result<Self> {
        let (_, certificate) = X509Certificate::from_der(der).context("the certificate cannot be read")?;
        let names = certificate.subject_alternative_name().context("the certificate's names cannot be read")?;
        let mut uris = names.iter().flat_map(|san| &san.value.general_names).filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        let Some(uri) = uris.next() else { bail!("the certificate has no URI name") };
        ensure!(uris.next().is_none(), "the certificate has more than one URI name");
        let prefix = format!("spiffe://{domain}/");
        let Some(path) = uri.strip_prefix(&prefix) else { bail!("{uri:?} is not in trust domain {domain}") };
        match path.split_once('/') {
            Some(("svc", name)) => Ok(Self::Service(name.parse()?)),
            Some(("operator", name)) if is_segment(name) => Ok(Self::Operator(name.to_owned())),
            _ => bail!("{uri:?} names neither a service nor an operator"),
        }
    }
}

/// One segment of a SPIFFE id's path (SPIFFE-ID section 2.2).
fn is_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}
