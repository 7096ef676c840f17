//! Signatures that are an HMAC, as most senders make them: each with its own header, text and encoding.

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::headers::Received;
use crate::proof::Template;
use crate::refusal::{Reason, Refusal};

/// The most signatures that are looked at: a sender that rotates keys sends two.
const MAX_SIGNATURES: usize = 16;

/// The hash under the HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Algorithm {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encoding {
    /// Hexadecimal, in small letters or capitals.
    Hex,
    /// Base64 with padding.
    Base64,
}

impl Encoding {
    fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex => hex::decode(text).ok(),
            Self::Base64 => STANDARD.decode(text).ok(),
        }
    }
}

/// A timestamp that is signed, and how old it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Timestamp {
    pub(crate) from: TimestampFrom,
    /// How far it may be from now, into the past and into the future, in seconds.
    pub(crate) tolerance: u32,
    /// Whether it counts milliseconds instead of seconds.
    pub(crate) millis: bool,
}

/// Where the timestamp is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TimestampFrom {
    /// In a header of its own.
    Header(String),
    /// In the signature's header, as `NAME=…` beside the signatures.
    Field(&'static str),
}

/// A configured HMAC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hmac {
    pub(crate) algorithm: Algorithm,
    pub(crate) encoding: Encoding,
    /// The header with the signature, in lower case.
    pub(crate) header: String,
    /// What stands before each signature, such as `sha256=`.
    pub(crate) prefix: String,
    /// What separates several signatures, where a sender may send several.
    pub(crate) separator: Option<char>,
    pub(crate) signed: Template,
    pub(crate) timestamp: Option<Timestamp>,
}

impl Hmac {
    /// An HMAC-SHA-256 in hex over the body: the most usual one.
    pub(crate) fn over_body(header: &str, prefix: &str) -> Self {
        Self {
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Hex,
            header: header.to_owned(),
            prefix: prefix.to_owned(),
            separator: None,
            signed: Template::body(),
            timestamp: None,
        }
    }

    /// Which key made one of the signatures. Every key is tried with every signature, each in constant time.
    pub(crate) fn check(&self, received: &Received, keys: &[SecretString]) -> Result<usize, Refusal> {
        let value = received.headers.one(&self.header)?.filter(|value| !value.is_empty()).ok_or_else(|| {
            Refusal::new(Reason::SignatureMissing, format!("The header {} with the signature is missing.", self.header))
        })?;
        let signatures = self.signatures(value)?;
        let timestamp = self.timestamp.as_ref().map(|timestamp| self.time(timestamp, received, value)).transpose()?;
        let pieces = self.signed.feed(received, timestamp)?;
        let mut found = None;
        for (index, key) in keys.iter().enumerate() {
            let key = hmac::Key::new(self.algorithm.hmac(), key.expose_secret().as_bytes());
            let mut context = hmac::Context::with_key(&key);
            pieces.iter().for_each(|piece| context.update(piece));
            let tag = context.sign();
            for signature in &signatures {
                if constant_time::verify_slices_are_equal(tag.as_ref(), signature).is_ok() && found.is_none() {
                    found = Some(index);
                }
            }
        }
        let key = found.ok_or_else(|| {
            Refusal::new(Reason::SignatureMismatch, "No valid key of the hook makes this signature of this body.")
        })?;
        // Only now: of a request that nobody signed, its age says nothing.
        if let (Some(rule), Some(text)) = (&self.timestamp, timestamp) {
            rule.check(text, received.at)?;
        }
        Ok(key)
    }

    fn elements<'a>(&self, value: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        // A separator that never occurs: one signature is a list of one.
        value.split(self.separator.unwrap_or('\0')).map(str::trim).take(MAX_SIGNATURES)
    }

    /// Signatures of this scheme; those of other schemes are skipped.
    fn signatures(&self, value: &str) -> Result<Vec<Vec<u8>>, Refusal> {
        let found: Vec<_> = self
            .elements(value)
            .filter_map(|element| self.encoding.decode(element.strip_prefix(self.prefix.as_str())?))
            .collect();
        if found.is_empty() {
            let detail = format!("The header {} is not a signature as this hook expects it.", self.header);
            return Err(Refusal::new(Reason::SignatureMalformed, detail));
        }
        Ok(found)
    }

    fn time<'a>(&self, rule: &Timestamp, received: &'a Received, value: &'a str) -> Result<&'a str, Refusal> {
        let found = match &rule.from {
            TimestampFrom::Header(name) => received.headers.one(name)?,
            TimestampFrom::Field(name) => {
                self.elements(value).find_map(|element| element.strip_prefix(name)?.strip_prefix('='))
            }
        };
        found
            .filter(|text| !text.is_empty())
            .ok_or_else(|| Refusal::new(Reason::TimestampMissing, "The signed timestamp is missing."))
    }
}

impl Timestamp {
    fn check(&self, text: &str, now: i64) -> Result<(), Refusal> {
        check_age(text, self.millis, now, self.tolerance)
    }
}

/// Whether a timestamp is a number of seconds (or milliseconds), and near enough to now.
pub(crate) fn check_age(text: &str, millis: bool, now: i64, tolerance: u32) -> Result<(), Refusal> {
    let digits = (1..=17).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let Some(at) = text.parse::<i64>().ok().filter(|_| digits) else {
        return Err(Refusal::new(Reason::TimestampMalformed, "The timestamp is not a whole number."));
    };
    let at = if millis { at / 1000 } else { at };
    let age = now.saturating_sub(at);
    if age > i64::from(tolerance) {
        let detail = "It was signed too long ago: it is a replay, or the clock of one side is wrong.";
        return Err(Refusal::new(Reason::TimestampTooOld, detail));
    }
    if age < -i64::from(tolerance) {
        let detail = "It was signed in the future: the clock of one side is wrong.";
        return Err(Refusal::new(Reason::TimestampInFuture, detail));
    }
    Ok(())
}
