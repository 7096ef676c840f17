//! The sealed box: everything the sealed vault encrypts goes through these two functions.
//!
//! A box is `salt (16) ‖ nonce (12) ‖ ciphertext ‖ tag (16)`. Each box has an AES-256-GCM key of its own, derived with
//! HKDF-SHA-256 from the long-lived key and the box's random salt.
//!
//! Why: with random 96-bit nonces one AES-GCM key is good for 2³² boxes (NIST SP 800-38D, 8.3), and a value that is
//! sealed without a store behind it leaves nothing to count them with. With 128 more random bits in the derivation a
//! nonce would have to repeat *together with* its salt, so the long-lived key never reaches a limit that matters, and
//! nobody has to count or rotate in time.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{hkdf, hmac, rand};
use zeroize::Zeroizing;

use crate::vault::Plaintext;

/// The length of every key.
pub(super) const KEY_LEN: usize = 32;
const SALT_LEN: usize = 16;
const TAG_LEN: usize = 16;
/// What a box adds to its content.
pub(super) const OVERHEAD: usize = SALT_LEN + NONCE_LEN + TAG_LEN;

const MESSAGE_KEY: &[u8] = b"runwarden vault 1: message key";
const HASH_KEY: &[u8] = b"runwarden vault 1: keyed hash";
const CHECK: &[u8] = b"runwarden vault 1: key check";

/// The library could not do what it always can: no randomness, or a length that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("the cryptographic library failed")]
pub(super) struct CryptoFailed;

impl From<Unspecified> for CryptoFailed {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

/// A long-lived 256-bit key. It is wiped when dropped and has no `Debug`, so that none can be printed.
pub(super) struct Key(Zeroizing<[u8; KEY_LEN]>);

impl Key {
    /// A new random one.
    pub(super) fn generate() -> Result<Self, CryptoFailed> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        rand::fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// Takes over bytes read from elsewhere; `None` when they are not 32.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        if bytes.len() != KEY_LEN {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }

    /// The bytes, for wrapping and for the key file. Nothing else has a use for them.
    pub(super) fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// The key's fingerprint: tells two keys apart, says nothing about either.
    pub(super) fn check(&self) -> Result<String, CryptoFailed> {
        let mut out = [0; 16];
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(self.expose());
        prk.expand(&[CHECK], OutLen(out.len()))?.fill(&mut out)?;
        Ok(hex::encode(out))
    }

    /// HMAC-SHA-256 of a value, in hex, under a key derived from this one.
    pub(super) fn keyed_hash(&self, value: &[u8]) -> Result<String, CryptoFailed> {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(self.expose());
        let key = hmac::Key::from(prk.expand(&[HASH_KEY], hmac::HMAC_SHA256)?);
        Ok(hex::encode(hmac::sign(&key, value)))
    }

    fn message_key(&self, salt: &[u8]) -> Result<LessSafeKey, CryptoFailed> {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(self.expose());
        let key = UnboundKey::from(prk.expand(&[MESSAGE_KEY], &AES_256_GCM)?);
        Ok(LessSafeKey::new(key))
    }
}

struct OutLen(usize);

impl hkdf::KeyType for OutLen {
    fn len(&self) -> usize {
        self.0
    }
}

/// What a box is bound to. It opens only when the very same binding is presented.
pub(super) struct Binding(Vec<u8>);

impl Binding {
    /// Binds to a purpose, so that a box made for one can never be presented for another, and to parts. Each is
    /// preceded by its length: `("a", "bc")` and `("ab", "c")` are different bindings.
    pub(super) fn new(purpose: &str, parts: &[&[u8]]) -> Self {
        let mut bytes = Vec::new();
        for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        Self(bytes)
    }
}

/// Seals a value and appends the box to `out`.
pub(super) fn seal_into(out: &mut Vec<u8>, key: &Key, binding: &Binding, value: &[u8]) -> Result<(), CryptoFailed> {
    let mut random = [0; SALT_LEN + NONCE_LEN];
    rand::fill(&mut random)?;
    let (salt, nonce) = random.split_at(SALT_LEN);
    let message_key = key.message_key(salt)?;
    let start = out.len() + random.len();
    out.reserve_exact(OVERHEAD + value.len());
    out.extend_from_slice(&random);
    // The plaintext itself is never copied: only its ciphertext is written here.
    out.resize(start + value.len(), 0);
    let mut tag = [0; TAG_LEN];
    let ciphertext = out.get_mut(start..).ok_or(CryptoFailed)?;
    message_key.seal_out_of_place_scatter(
        Nonce::try_assume_unique_for_key(nonce)?,
        Aad::from(&binding.0),
        value,
        ciphertext,
        &[],
        &mut tag,
    )?;
    out.extend_from_slice(&tag);
    Ok(())
}

/// Opens a box. `None` means that it was not sealed with this key for this binding, or was changed since: which of
/// these it is cannot be told.
pub(super) fn open(key: &Key, binding: &Binding, sealed: &[u8]) -> Option<Plaintext> {
    let (salt, rest) = sealed.split_at_checked(SALT_LEN)?;
    let (nonce, rest) = rest.split_at_checked(NONCE_LEN)?;
    let (ciphertext, tag) = rest.split_at_checked(rest.len().checked_sub(TAG_LEN)?)?;
    let message_key = key.message_key(salt).ok()?;
    let mut value = Zeroizing::new(vec![0; ciphertext.len()]);
    message_key
        .open_separate_gather(
            Nonce::try_assume_unique_for_key(nonce).ok()?,
            Aad::from(&binding.0),
            ciphertext,
            tag,
            &mut value,
        )
        .ok()?;
    Some(Plaintext::new(std::mem::take(&mut *value)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Binding, Key, OVERHEAD, open, seal_into};

    fn sealed(key: &Key, binding: &Binding, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        seal_into(&mut out, key, binding, value).unwrap();
        out
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_again(value: Vec<u8>, part: Vec<u8>) {
            let key = Key::generate().unwrap();
            let binding = Binding::new("test", &[&part]);
            let sealed = sealed(&key, &binding, &value);
            prop_assert_eq!(sealed.len(), value.len() + OVERHEAD);
            let opened = open(&key, &binding, &sealed).unwrap();
            prop_assert_eq!(opened.expose(), value.as_slice());
        }

        #[test]
        fn a_box_with_any_bit_changed_stays_shut(value: Vec<u8>, flip in 1u8..) {
            let key = Key::generate().unwrap();
            let binding = Binding::new("test", &[]);
            let sealed = sealed(&key, &binding, &value);
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= flip;
                prop_assert!(open(&key, &binding, &changed).is_none(), "byte {} of {}", at, sealed.len());
            }
        }

        #[test]
        fn a_truncated_or_lengthened_box_stays_shut(value: Vec<u8>, more: u8) {
            let key = Key::generate().unwrap();
            let binding = Binding::new("test", &[]);
            let mut sealed = sealed(&key, &binding, &value);
            for end in 0..sealed.len() {
                prop_assert!(open(&key, &binding, &sealed[..end]).is_none());
            }
            sealed.push(more);
            prop_assert!(open(&key, &binding, &sealed).is_none());
        }

        #[test]
        fn noise_is_refused_without_panicking(noise: Vec<u8>) {
            let key = Key::generate().unwrap();
            prop_assert!(open(&key, &Binding::new("test", &[]), &noise).is_none());
        }
    }

    #[test]
    fn a_box_opens_for_its_own_binding_only() {
        let key = Key::generate().unwrap();
        let binding = Binding::new("test", &[b"a", b"bc"]);
        let sealed = sealed(&key, &binding, b"value");
        for other in [
            Binding::new("test", &[b"ab", b"c"]),
            Binding::new("test", &[b"a", b"b", b"c"]),
            Binding::new("test", &[b"abc"]),
            Binding::new("test2", &[b"a", b"bc"]),
            Binding::new("testa", &[b"bc"]),
        ] {
            assert!(open(&key, &other, &sealed).is_none());
        }
        assert!(open(&Key::generate().unwrap(), &binding, &sealed).is_none());
        assert!(open(&key, &binding, &sealed).is_some());
    }

    #[test]
    fn the_same_value_never_looks_the_same_twice() {
        let key = Key::generate().unwrap();
        let binding = Binding::new("test", &[]);
        let (one, two) = (sealed(&key, &binding, b"value"), sealed(&key, &binding, b"value"));
        assert_ne!(one[..16], two[..16], "salts differ");
        assert_ne!(one[16..28], two[16..28], "nonces differ");
        assert_ne!(one[28..], two[28..], "ciphertexts differ");
    }

    #[test]
    fn a_fingerprint_tells_keys_apart_and_a_keyed_hash_needs_its_key() {
        let (one, two) = (Key::generate().unwrap(), Key::generate().unwrap());
        assert_eq!(one.check().unwrap(), one.check().unwrap());
        assert_ne!(one.check().unwrap(), two.check().unwrap());
        assert_eq!(one.keyed_hash(b"x").unwrap(), one.keyed_hash(b"x").unwrap());
        assert_ne!(one.keyed_hash(b"x").unwrap(), one.keyed_hash(b"y").unwrap());
        assert_ne!(one.keyed_hash(b"x").unwrap(), two.keyed_hash(b"x").unwrap());
        assert_eq!(one.keyed_hash(b"x").unwrap().len(), 64);
    }
}
