//! Standard Webhooks 1.0.0: what is signed, with which keys, both ways.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::headers::Received;
use crate::problem::Problem;
use crate::proof::check_age;
use crate::refusal::{Reason, Refusal};

/// The header with the message's id, which stays the same over all retries.
pub const ID: &str = "webhook-id";
/// The header with the time of signing, in seconds since 1970.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header with the signatures.
pub const SIGNATURE: &str = "webhook-signature";

/// How far the timestamp may be from now, in seconds, both ways.
const TOLERANCE: u32 = 300;
/// The most signatures that are looked at.
const MAX_SIGNATURES: usize = 16;

const SYMMETRIC: &str = "whsec_";
const PRIVATE: &str = "whsk_";
/// How public keys begin.
pub const PUBLIC: &str = "whpk_";

/// A key that verifies: `whsec_…` (symmetric) or `whpk_…` (Ed25519).
pub(crate) enum VerifyingKey {
    Symmetric(Box<hmac::Key>),
    Public(Vec<u8>),
}

impl VerifyingKey {
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        if let Some(encoded) = text.strip_prefix(SYMMETRIC) {
            return symmetric(encoded).map(Self::Symmetric);
        }
        match text.strip_prefix(PUBLIC).map(|encoded| STANDARD.decode(encoded)) {
            Some(Ok(bytes)) if bytes.len() == 32 => Ok(Self::Public(bytes)),
            _ => Err(Problem::new("key", "A key is `whsec_` or `whpk_` and the key's bytes in base64.")),
        }
    }

    fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        match (self, signature) {
            (Self::Symmetric(key), Signature::Symmetric(tag)) => hmac::verify(key, message, tag).is_ok(),
            (Self::Public(key), Signature::Ed25519(bytes)) => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, bytes).is_ok()
            }
            _ => false,
        }
    }
}

fn symmetric(encoded: &str) -> Result<Box<hmac::Key>, Problem> {
    match STANDARD.decode(encoded).map(Zeroizing::new) {
        Ok(bytes) if (24..=64).contains(&bytes.len()) => Ok(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes))),
        _ => Err(Problem::new("key", "After `whsec_` come 24 to 64 bytes in base64.")),
    }
}

enum Signature {
    Symmetric(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Signature {
    /// A signature of a known version; others are skipped.
    fn parse(text: &str) -> Option<Self> {
        let (version, encoded) = text.split_once(',')?;
        match version {
            "v1" => STANDARD.decode(encoded).ok().map(Self::Symmetric),
            "v1a" => STANDARD.decode(encoded).ok().map(Self::Ed25519),
            _ => None,
        }
    }
}

/// Which key made one of the signatures.
pub(crate) fn check(received: &Received, keys: &[SecretString]) -> Result<usize, Refusal> {
    let missing = |detail| Refusal::new(Reason::SignatureMissing, detail);
    let value = received.headers.one(SIGNATURE)?.filter(|value| !value.is_empty());
    let value = value.ok_or_else(|| missing("The header webhook-signature is missing."))?;
    // Whoever sends none has proven nothing, and must not be answered otherwise than with a wrong signature.
    let raw_id = received.headers.one(ID)?.filter(|id| !id.is_empty());
    let raw_id = raw_id.ok_or_else(|| missing("The header webhook-id, which is signed, is missing."))?;
    let timestamp = received.headers.one(TIMESTAMP)?.filter(|text| !text.is_empty());
    let timestamp =
        timestamp.ok_or_else(|| Refusal::new(Reason::TimestampMissing, "The header webhook-timestamp is missing."))?;
    let signatures: Vec<_> =
        value.split(' ').filter(|text| !text.is_empty()).take(MAX_SIGNATURES).filter_map(Signature::parse).collect();
    if signatures.is_empty() {
        let detail = "The header webhook-signature holds no signature of a known version (v1, v1a).";
        return Err(Refusal::new(Reason::SignatureMalformed, detail));
    }
    let message = message(raw_id, timestamp, &received.body);
    let mut found = None;
    for (index, key) in keys.iter().enumerate() {
        // A key of another form than its kind needs was never accepted; it verifies nothing.
        let Ok(key) = VerifyingKey::parse(key.expose_secret()) else { continue };
        for signature in &signatures {
            if key.verifies(&message, signature) && found.is_none() {
                found = Some(index);
            }
        }
    }
    let key = found.ok_or_else(|| {
        Refusal::new(Reason::SignatureMismatch, "No valid key of the hook makes this signature of this message.")
    })?;
    check_age(timestamp, false, received.at, TOLERANCE)?;
    id(received)?;
    Ok(key)
}

/// The message's id. It has no full stop, as the specification has it: else a message could be cut in two ways.
pub(crate) fn id(received: &Received) -> Result<&str, Refusal> {
    let id = received.headers.one(ID)?.filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| Refusal::new(Reason::IdMissing, "The header webhook-id is missing."))?;
    if id.contains('.') {
        return Err(Refusal::new(Reason::IdMalformed, "A webhook-id has no full stop."));
    }
    Ok(id)
}

fn message(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat()
}

/// A key that signs what we send: `whsec_…` (symmetric) or `whsk_…` (Ed25519).
pub enum SigningKey {
    /// HMAC-SHA-256; the receiver has the same key.
    Symmetric(Box<hmac::Key>),
    /// Ed25519; the receiver has the public key.
    Ed25519(Box<Ed25519KeyPair>),
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Symmetric(_) => "SigningKey::Symmetric(…)",
            Self::Ed25519(_) => "SigningKey::Ed25519(…)",
        })
    }
}

impl SigningKey {
    /// Reads a key: `whsec_` and 24 to 64 bytes, or `whsk_` and an Ed25519 seed of 32 bytes, alone or followed by its
    /// public key, in base64.
    ///
    /// # Errors
    /// If it is neither, or if the public key is not the seed's.
    pub fn parse(key: &SecretString) -> Result<Self, Problem> {
        let text = key.expose_secret();
        if let Some(encoded) = text.strip_prefix(SYMMETRIC) {
            return symmetric(encoded).map(Self::Symmetric);
        }
        let bytes = text.strip_prefix(PRIVATE).and_then(|encoded| STANDARD.decode(encoded).ok()).map(Zeroizing::new);
        let pair = bytes.as_ref().and_then(|bytes| match bytes.split_at_checked(32) {
            Some((seed, [])) => Ed25519KeyPair::from_seed_unchecked(seed).ok(),
            Some((seed, public)) => Ed25519KeyPair::from_seed_and_public_key(seed, public).ok(),
            None => None,
        });
        pair.map(|pair| Self::Ed25519(Box::new(pair)))
            .ok_or_else(|| Problem::new("key", "A signing key is `whsec_` or `whsk_` and the key's bytes in base64."))
    }

    /// Makes a symmetric key of 32 random bytes; `None` if the system provides none.
    pub fn generate_symmetric() -> Option<SecretString> {
        random(SYMMETRIC)
    }

    /// Makes an Ed25519 key; `None` if the system provides no random bytes.
    pub fn generate_ed25519() -> Option<SecretString> {
        random(PRIVATE)
    }

    /// The key that a receiver verifies with (`whpk_…`), of an Ed25519 key.
    pub fn public_key(&self) -> Option<String> {
        match self {
            Self::Symmetric(_) => None,
            Self::Ed25519(pair) => Some(format!("{PUBLIC}{}", STANDARD.encode(pair.public_key().as_ref()))),
        }
    }

    /// One element of the header `webhook-signature`. Several of them, of several keys, are separated by a space.
    ///
    /// `id` must not contain a full stop; `timestamp` is in seconds since 1970.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let message = message(id, &timestamp.to_string(), body);
        match self {
            Self::Symmetric(key) => format!("v1,{}", STANDARD.encode(hmac::sign(key, &message))),
            Self::Ed25519(pair) => format!("v1a,{}", STANDARD.encode(pair.sign(&message))),
        }
    }
}

fn random(prefix: &str) -> Option<SecretString> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    rand::fill(bytes.as_mut_slice()).ok()?;
    Some(SecretString::from(format!("{prefix}{}", STANDARD.encode(bytes.as_slice()))))
}
