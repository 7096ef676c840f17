//! How a request proves who sent it.

mod hmac;
mod settings;
mod shared;
mod template;

pub(crate) use hmac::{Algorithm, Encoding, Hmac, Timestamp, TimestampFrom, check_age};
pub(crate) use settings::{By, ProofSettings, header};
pub(crate) use shared::{AUTHORIZATION, Place, Shared};
pub(crate) use template::Template;

use secrecy::SecretString;

use crate::headers::Received;
use crate::key::KeyForm;
use crate::kinds::IdPlace;
use crate::refusal::{Reason, Refusal};
use crate::standard;

/// How a request proved who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProvedBy {
    /// A signature over the body.
    Signature {
        /// By which of the hook's keys, counted from zero: tells whether a sender still uses the old one.
        key: usize,
    },
    /// A token or password, which says nothing of the body.
    Credential {
        /// Which of the hook's keys it was.
        key: usize,
    },
    /// The access token of a service account, verified by the edge.
    Caller {
        /// The service account.
        id: String,
    },
}

/// What a way of proving does not prevent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// The key travels with each request and nothing signs the body: who reads one request can send any other.
    BodyUnsigned,
    /// The key is in the address, which proxies, load balancers and the sender itself write to their logs.
    KeyInAddress,
    /// A captured request can be sent again later, as a new delivery: neither its age nor its id is signed.
    Replayable,
    /// A captured request can be sent again as a new delivery until its signed timestamp is too old: its id is not signed.
    ReplayableBriefly,
    /// The sender has no ids: if it retries, the job runs again.
    NoIds,
    /// HMAC-SHA-1: not broken as an HMAC, but no longer to be chosen.
    Sha1,
    /// The key is, or may be, so short that who has one signed request can find it by trying.
    WeakKey,
}

impl Weakness {
    /// Its stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BodyUnsigned => "body_unsigned",
            Self::KeyInAddress => "key_in_address",
            Self::Replayable => "replayable",
            Self::ReplayableBriefly => "replayable_briefly",
            Self::NoIds => "no_ids",
            Self::Sha1 => "sha1",
            Self::WeakKey => "weak_key",
        }
    }
}

/// A configured way of proving.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    /// An HMAC over the body and perhaps more.
    Hmac(Hmac),
    /// Standard Webhooks: HMAC-SHA-256 or Ed25519, with an id and a timestamp.
    Standard,
    /// The key itself is sent.
    Shared(Shared),
    /// An access token of one of these service accounts.
    Callers(Vec<String>),
}

impl Proof {
    /// Checks a request against every key that is valid now.
    pub(crate) fn check(&self, received: &Received, keys: &[SecretString]) -> Result<ProvedBy, Refusal> {
        match self {
            Self::Hmac(hmac) => hmac.check(received, some(keys)?).map(|key| ProvedBy::Signature { key }),
            Self::Standard => standard::check(received, some(keys)?).map(|key| ProvedBy::Signature { key }),
            Self::Shared(shared) => shared.check(received, some(keys)?).map(|key| ProvedBy::Credential { key }),
            Self::Callers(callers) => match &received.caller {
                None => Err(Refusal::new(
                    Reason::CallerMissing,
                    "There is no access token of a service account in the Authorization header, or it is not valid.",
                )),
                Some(id) if callers.contains(id) => Ok(ProvedBy::Caller { id: id.clone() }),
                Some(_) => {
                    Err(Refusal::new(Reason::CallerNotAllowed, "This service account may not send to this hook."))
                }
            },
        }
    }

    /// The key that it needs.
    pub(crate) fn key(&self) -> Option<KeyForm> {
        match self {
            Self::Hmac(_) | Self::Shared(_) => Some(KeyForm::TEXT),
            Self::Standard => Some(KeyForm::STANDARD),
            Self::Callers(_) => None,
        }
    }

    /// The headers that hold a key or a signature: never kept, never shown.
    pub(crate) fn headers(&self) -> Vec<&str> {
        match self {
            Self::Hmac(hmac) => vec![hmac.header.as_str()],
            Self::Standard => vec![standard::SIGNATURE],
            Self::Shared(shared) => shared.header().into_iter().collect(),
            Self::Callers(_) => Vec::new(),
        }
    }

    /// Whether a header (in lower case) proves as much as the body does.
    pub(crate) fn covers(&self, header: &str) -> bool {
        match self {
            Self::Hmac(hmac) => hmac.signed.has_header(header),
            Self::Standard => header == standard::ID,
            // Nothing is signed, as the hook's weaknesses say.
            Self::Shared(_) | Self::Callers(_) => true,
        }
    }

    fn signs_id(&self, id: IdPlace<'_>) -> bool {
        match id {
            IdPlace::Body => true,
            IdPlace::Header(name) => self.covers(name),
            IdPlace::Nowhere => false,
        }
    }

    /// What it does not prevent.
    pub(crate) fn weaknesses(&self, id: IdPlace<'_>) -> Vec<Weakness> {
        match self {
            Self::Hmac(hmac) => {
                let mut found = Vec::new();
                if !self.signs_id(id) {
                    found.push(match hmac.timestamp {
                        Some(_) => Weakness::ReplayableBriefly,
                        None => Weakness::Replayable,
                    });
                }
                if hmac.algorithm == Algorithm::Sha1 {
                    found.push(Weakness::Sha1);
                }
                found
            }
            Self::Standard if self.signs_id(id) => Vec::new(),
            Self::Standard => vec![Weakness::ReplayableBriefly],
            Self::Shared(shared) if shared.is_in_address() => vec![Weakness::BodyUnsigned, Weakness::KeyInAddress],
            Self::Shared(_) | Self::Callers(_) => vec![Weakness::BodyUnsigned],
        }
    }
}

fn some(keys: &[SecretString]) -> Result<&[SecretString], Refusal> {
    if keys.is_empty() { Err(Refusal::new(Reason::NoKey, "The hook has no valid key.")) } else { Ok(keys) }
}
