use std::sync::Arc;
use std::time::Duration;

use url::{Host, Url};

use crate::Exceptions;

/// How requests are made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What may be reached besides the public internet.
    pub exceptions: Exceptions,
    /// Through which proxy, if any.
    pub proxy: Option<Proxy>,
    /// Authorities to trust besides the system's, PEM; empty for none.
    pub ca_pem: String,
    /// Whether certificates are not verified: whoever is between here and there can read and answer everything.
    pub insecure: bool,
    /// To resolve, connect and shake hands.
    pub connect: Duration,
    /// Requests that one host has at a time.
    pub per_host: usize,
    /// Requests at a time.
    pub in_all: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            exceptions: Exceptions::default(),
            proxy: None,
            ca_pem: String::new(),
            insecure: false,
            connect: Duration::from_secs(5),
            per_host: 8,
            in_all: 256,
        }
    }
}

/// An HTTP proxy that connects on our behalf (`CONNECT`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
}

/// A setting that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsProblem {
    /// The proxy's address.
    #[error("the egress proxy must be an address such as http://proxy.internal:3128, without path, user or password")]
    Proxy,
    /// The authorities.
    #[error("the authorities to trust are not certificates in PEM")]
    Authorities,
}

impl std::str::FromStr for Proxy {
    type Err = SettingsProblem;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).map_err(|_| SettingsProblem::Proxy)?;
        let bare = url.scheme() == "http"
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        match (url.host(), url.port_or_known_default()) {
            (Some(host), Some(port)) if bare && port != 0 => {
                let host = match host {
                    Host::Domain(name) => name.to_owned(),
                    Host::Ipv4(ip) => ip.to_string(),
                    Host::Ipv6(ip) => ip.to_string(),
                };
                Ok(Self { host: host.into(), port })
            }
            _ => Err(SettingsProblem::Proxy),
        }
    }
}
