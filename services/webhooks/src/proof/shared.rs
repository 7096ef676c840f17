//! Weak proofs: the key itself is sent, as a token or a password. Nothing ties it to the body.

use aws_lc_rs::constant_time;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::form;
use crate::headers::Received;
use crate::refusal::{Reason, Refusal};

/// The header of bearer tokens and of basic authentication.
pub(crate) const AUTHORIZATION: &str = "authorization";

/// Where the key is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// As the value of a header (lower case); in `authorization`, after `Bearer `.
    Header(String),
    /// As the password of basic authentication, with this user name.
    Basic(String),
    /// As a parameter of the address.
    Address(String),
}

/// A key that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shared(pub(crate) Place);

impl Shared {
    pub(crate) fn header(&self) -> Option<&str> {
        match &self.0 {
            Place::Header(name) => Some(name),
            Place::Basic(_) => Some(AUTHORIZATION),
            Place::Address(_) => None,
        }
    }

    pub(crate) fn is_in_address(&self) -> bool {
        matches!(self.0, Place::Address(_))
    }

    /// Which key was sent.
    pub(crate) fn check(&self, received: &Received, keys: &[SecretString]) -> Result<usize, Refusal> {
        let sent = self.sent(received)?.ok_or_else(|| self.missing())?;
        let sent = sha256(sent.as_bytes());
        let mut found = None;
        for (index, key) in keys.iter().enumerate() {
            let equal = match &self.0 {
                Place::Basic(user) => equal(&sent, &[user.as_bytes(), b":", key.expose_secret().as_bytes()].concat()),
                Place::Header(_) | Place::Address(_) => equal(&sent, key.expose_secret().as_bytes()),
            };
            if equal && found.is_none() {
                found = Some(index);
            }
        }
        found.ok_or_else(|| Refusal::new(Reason::CredentialMismatch, "The token or password is wrong."))
    }

    fn sent(&self, received: &Received) -> Result<Option<Zeroizing<String>>, Refusal> {
        Ok(match &self.0 {
            Place::Header(name) if name == AUTHORIZATION => {
                received.headers.one(name)?.and_then(|value| after_scheme(value, "bearer")).map(|t| t.to_owned().into())
            }
            Place::Header(name) => received.headers.one(name)?.map(|value| value.to_owned().into()),
            Place::Basic(_) => {
                let encoded = received.headers.one(AUTHORIZATION)?.and_then(|value| after_scheme(value, "basic"));
                let decoded = encoded.and_then(|text| STANDARD.decode(text).ok());
                decoded.and_then(|bytes| String::from_utf8(bytes).ok()).map(Zeroizing::new)
            }
            Place::Address(name) => form::parameter(&received.query, name).map(Zeroizing::new),
        }
        .filter(|sent| !sent.is_empty()))
    }

    fn missing(&self) -> Refusal {
        let detail = match &self.0 {
            Place::Header(name) if name == AUTHORIZATION => {
                "There is no bearer token in the Authorization header.".to_owned()
            }
            Place::Header(name) => format!("The header {name} with the token is missing."),
            Place::Basic(_) => "There is no basic password in the Authorization header.".to_owned(),
            Place::Address(name) => format!("The address has no parameter {name}, or several."),
        };
        Refusal::new(Reason::CredentialMissing, detail)
    }
}

fn after_scheme<'a>(value: &'a str, scheme: &str) -> Option<&'a str> {
    let (found, rest) = value.split_once(' ')?;
    found.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

/// Digests are compared, so that not even the length of a key shows in the time that it takes.
fn equal(sent: &[u8; 32], key: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(sent, &sha256(key)).is_ok()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}
