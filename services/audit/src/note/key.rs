//! The keys that sign notes and check them.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The signature type of Ed25519 in key ids and verifier keys.
const ED25519_TYPE: u8 = 1;

/// A key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The verifier key does not read `name+id+key`.
    #[error("not a verifier key: it must read name+hex+base64")]
    Malformed,
    /// Names have at least one character, no blanks and no `+`.
    #[error("not a verifier key: its name is empty, or has blanks or a plus sign")]
    BadName,
    /// Only Ed25519 is known here.
    #[error("not an Ed25519 verifier key")]
    UnknownType,
    /// The id is not that of this name and key: somebody mixed two up.
    #[error("not a verifier key: its id does not belong to its name and key")]
    WrongId,
    /// The private key is not an Ed25519 key in PKCS #8.
    #[error("not an Ed25519 private key in PKCS #8")]
    BadPrivateKey,
    /// The machine's source of randomness failed.
    #[error("no key could be generated")]
    NotGenerated,
}

pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// What checks the signatures of a log: public, and to be kept away from the log.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

impl VerifierKey {
    /// The verifier key of a public key under a name.
    ///
    /// # Errors
    /// When the name cannot be one.
    pub fn new(name: &str, public: [u8; 32]) -> Result<Self, KeyError> {
        if !is_name(name) {
            return Err(KeyError::BadName);
        }
        Ok(Self { name: name.to_owned(), id: key_id(name, &public), public })
    }

    /// The same key under another name: one key signs the logs of all tenants, each under the log's own name.
    ///
    /// # Errors
    /// When the name cannot be one.
    pub fn renamed(&self, name: &str) -> Result<Self, KeyError> {
        Self::new(name, self.public)
    }

    /// The key's name; for a log's key this is the log's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id in front of its signatures.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    pub(super) fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public).verify(text, signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519_TYPE];
        key.extend(self.public);
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), STANDARD.encode(key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        // The base64 may itself have plus signs; the name and the id may not.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Malformed);
        };
        let mut stated = [0_u8; 4];
        hex::decode_to_slice(id, &mut stated).map_err(|_| KeyError::Malformed)?;
        let key = STANDARD.decode(key).map_err(|_| KeyError::Malformed)?;
        let (kind, public) = key.split_first().ok_or(KeyError::Malformed)?;
        if *kind != ED25519_TYPE {
            return Err(KeyError::UnknownType);
        }
        let this = Self::new(name, public.try_into().map_err(|_| KeyError::Malformed)?)?;
        if this.id == stated { Ok(this) } else { Err(KeyError::WrongId) }
    }
}

/// The first bytes of SHA-256 over name, line feed, signature type and public key.
fn key_id(name: &str, public: &[u8; 32]) -> [u8; 4] {
    let mut data = name.as_bytes().to_vec();
    data.extend([b'\n', ED25519_TYPE]);
    data.extend(public);
    let mut id = [0_u8; 4];
    for (to, from) in id.iter_mut().zip(digest(&SHA256, &data).as_ref()) {
        *to = *from;
    }
    id
}

/// The private key of the logs. It never shows itself.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: [u8; 32],
}

impl SigningKey {
    /// Makes a key and returns it with its PKCS #8 form, which is to be kept.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate() -> Result<(Self, Vec<u8>), KeyError> {
        let document = Ed25519KeyPair::generate().map_err(|_| KeyError::NotGenerated)?;
        let pkcs8 = document.to_pkcs8().map_err(|_| KeyError::NotGenerated)?.as_ref().to_vec();
        Ok((Self::from_pkcs8(&pkcs8)?, pkcs8))
    }

    /// Reads a key that was kept.
    ///
    /// # Errors
    /// When it is not an Ed25519 key in PKCS #8.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        Self::from_pair(Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| KeyError::BadPrivateKey)?)
    }

    pub(super) fn from_pair(pair: Ed25519KeyPair) -> Result<Self, KeyError> {
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::BadPrivateKey)?;
        Ok(Self { pair, public })
    }

    /// What checks this key's signatures under a name.
    ///
    /// # Errors
    /// When the name cannot be one.
    pub fn verifier(&self, name: &str) -> Result<VerifierKey, KeyError> {
        VerifierKey::new(name, self.public)
    }

    pub(super) fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.pair.sign(text).as_ref().to_vec()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}
