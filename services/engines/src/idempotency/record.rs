//! What is stored of an answer: when it expires, a keyed hash of the body, and the answer, sealed.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{constant_time, hkdf, hmac};
use zeroize::Zeroizing;

use super::{Pepper, Request};
use crate::{Result, StoreError};

/// The layout: version, expiry (8), body hash (32), nonce (12), sealed answer.
const VERSION: u8 = 1;
const EXPIRES: usize = 1;
const BODY: usize = EXPIRES + 8;
const NONCE: usize = BODY + 32;
const SEALED: usize = NONCE + NONCE_LEN;

/// What is derived from a request, its idempotency key and the pepper.
pub(super) struct Hashes {
    /// Names the entry.
    pub(super) key: [u8; 32],
    body: [u8; 32],
    seal: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for Hashes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hashes(…)")
    }
}

impl Hashes {
    pub(super) fn new(pepper: &Pepper, request: &Request<'_>, key: &str) -> Self {
        let scope = [request.tenant, request.principal, request.operation, key];
        // The idempotency key is part of the input of each, so each is of no use without it.
        let derive = |purpose: &str, last: &[u8]| {
            let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, pepper.bytes()));
            for part in [purpose].iter().chain(&scope).map(|part| part.as_bytes()).chain([last]) {
                // Lengths in front: no two different inputs read the same.
                mac.update(&(part.len() as u64).to_be_bytes());
                mac.update(part);
            }
            let mut out = [0; 32];
            out.copy_from_slice(mac.sign().as_ref());
            out
        };
        Self { key: derive("key", b""), body: derive("body", request.body), seal: Zeroizing::new(derive("seal", b"")) }
    }

    pub(super) fn same_body(&self, stored: [u8; 32]) -> bool {
        constant_time::verify_slices_are_equal(&self.body, &stored).is_ok()
    }

    fn cipher(&self) -> Result<RandomizedNonceKey> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"runwarden idempotency answer 1");
        let mut key = Zeroizing::new([0; 32]);
        salt.extract(self.seal.as_slice())
            .expand(&[b"aes-256-gcm"], &AES_256_GCM)
            .and_then(|okm| okm.fill(key.as_mut_slice()))
            .and_then(|()| RandomizedNonceKey::new(&AES_256_GCM, key.as_slice()))
            .map_err(|_| StoreError::failed("no key could be derived"))
    }

    /// Binds a sealed answer to its entry and its expiry.
    fn associated(&self, header: &[u8]) -> Aad<Vec<u8>> {
        Aad::from([&self.key, header].concat())
    }
}

/// A stored answer.
pub(super) struct Record<'a> {
    /// Unix seconds.
    pub(super) expires: i64,
    pub(super) body: [u8; 32],
    header: &'a [u8],
    nonce: [u8; NONCE_LEN],
    sealed: &'a [u8],
}

impl<'a> Record<'a> {
    pub(super) fn seal(hashes: &Hashes, expires: i64, answer: &[u8]) -> Result<Vec<u8>> {
        let mut bytes = vec![VERSION];
        bytes.extend(expires.to_be_bytes());
        bytes.extend(hashes.body);
        let mut sealed = answer.to_vec();
        let nonce = hashes
            .cipher()?
            .seal_in_place_append_tag(hashes.associated(&bytes), &mut sealed)
            .map_err(|_| StoreError::failed("the answer could not be sealed"))?;
        bytes.extend(nonce.as_ref());
        bytes.extend(sealed);
        Ok(bytes)
    }

    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self> {
        Self::parse(bytes).ok_or_else(|| StoreError::Corrupt("a kept answer has an unknown format".to_owned()))
    }

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        (bytes.first() == Some(&VERSION)).then_some(())?;
        Some(Self {
            expires: i64::from_be_bytes(bytes.get(EXPIRES..BODY)?.try_into().ok()?),
            body: bytes.get(BODY..NONCE)?.try_into().ok()?,
            header: bytes.get(..NONCE)?,
            nonce: bytes.get(NONCE..SEALED)?.try_into().ok()?,
            sealed: bytes.get(SEALED..)?,
        })
    }

    pub(super) fn open(&self, hashes: &Hashes) -> Result<Vec<u8>> {
        let mut answer = self.sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let length = hashes
            .cipher()?
            .open_in_place(nonce, hashes.associated(self.header), &mut answer)
            .map_err(|_| StoreError::Corrupt("a kept answer cannot be decrypted".to_owned()))?
            .len();
        answer.truncate(length);
        Ok(answer)
    }
}
