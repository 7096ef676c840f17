use std::time::Duration;

use crate::AddressProblem;

/// Why there is no answer. The texts are for people who configured the address; they name nothing of what answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The address may not be reached.
    #[error("the address {0}")]
    Refused(#[from] AddressProblem),
    /// The host has too many requests, or this process has: nothing was sent, and it is not the receiver's fault.
    #[error("too many requests at a time")]
    Busy,
    /// Its name does not resolve.
    #[error("the host name does not resolve")]
    Unresolved,
    /// No connection came about.
    #[error("{0}")]
    Unreachable(&'static str),
    /// The egress proxy does not answer, or does not connect.
    #[error("the egress proxy {0}")]
    Proxy(&'static str),
    /// TLS failed.
    #[error("{0}")]
    Tls(&'static str),
    /// No whole answer within this time.
    #[error("no complete answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The connection broke after the request was sent, or what came was not HTTP.
    #[error("the connection broke before the answer was complete, or the answer is not valid HTTP")]
    Broken,
}

impl Failure {
    /// Whether the request may have been received.
    #[must_use]
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Self::TimedOut(_) | Self::Broken => true,
            Self::Refused(_) | Self::Busy | Self::Unresolved | Self::Unreachable(_) | Self::Proxy(_) | Self::Tls(_) => {
                false
            }
        }
    }

    /// A word for it that stays the same, for metrics and lists.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused_address",
            Self::Busy => "busy",
            Self::Unresolved => "dns",
            Self::Unreachable(_) => "connect",
            Self::Proxy(_) => "proxy",
            Self::Tls(_) => "tls",
            Self::TimedOut(_) => "timeout",
            Self::Broken => "broken",
        }
    }
}
