//! Sealing: AES-256-GCM under the key file, for private keys at rest.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::key::key_file::KeyFile;

/// The first byte of everything sealed: the format's version.
const VERSION: u8 = 1;

/// What was sealed cannot be opened: another key, another name, or changed bytes. Which one is not said.
#[derive(Debug, thiserror::Error)]
#[error("it cannot be unsealed")]
pub(crate) struct Unsealable;

/// Seals and opens small things, each bound to its name.
pub(crate) struct Sealer {
    key: RandomizedNonceKey,
}

impl Sealer {
    pub(crate) fn new(file: &KeyFile) -> Result<Self, Unsealable> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, file.bytes()).map_err(|_| Unsealable)?;
        Ok(Self { key })
    }

    /// Seals `plain` so that it opens under the same `name` only.
    pub(crate) fn seal(&self, name: &str, plain: &[u8]) -> Result<String, Unsealable> {
        let mut body = Zeroizing::new(plain.to_vec());
        let nonce =
            self.key.seal_in_place_append_tag(Aad::from(name.as_bytes()), &mut *body).map_err(|_| Unsealable)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + body.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&body);
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens what [`Sealer::seal`] made.
    pub(crate) fn open(&self, name: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| Unsealable)?;
        let (version, rest) = bytes.split_first().ok_or(Unsealable)?;
        if *version != VERSION {
            return Err(Unsealable);
        }
        let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or(Unsealable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable)?;
        let mut body = Zeroizing::new(body.to_vec());
        let length =
            self.key.open_in_place(nonce, Aad::from(name.as_bytes()), &mut body).map_err(|_| Unsealable)?.len();
        body.truncate(length);
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer() -> Sealer {
        let dir = tempfile::tempdir().unwrap();
        Sealer::new(&KeyFile::open(&dir.path().join("seal"), "seal", None).unwrap()).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_under_its_own_name_only() {
        let sealer = sealer();
        let sealed = sealer.seal("one", b"private").unwrap();
        assert_eq!(sealer.open("one", &sealed).unwrap().as_slice(), b"private");
        assert!(sealer.open("two", &sealed).is_err());
        assert!(super::tests::sealer().open("one", &sealed).is_err());
        assert_ne!(sealed, sealer.seal("one", b"private").unwrap());
    }

    proptest::proptest! {
        #[test]
        fn anything_changed_does_not_open(at in 0_usize..36, bit in 0_u8..8) {
            let sealer = sealer();
            let sealed = sealer.seal("n", b"private").unwrap();
            let mut bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
            bytes[at] ^= 1 << bit;
            proptest::prop_assert!(sealer.open("n", &URL_SAFE_NO_PAD.encode(bytes)).is_err());
        }

        #[test]
        fn arbitrary_text_does_not_open(text in ".{0,80}") {
            proptest::prop_assert!(sealer().open("n", &text).is_err());
        }
    }
}
