//! Client secrets: made here, shown once, kept as keyed hashes only.

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use runwarden_kit::clock::Moment;
use runwarden_kit::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::ids;
use crate::key::key_file::KeyFile;

/// A client never has more secrets than this: the one in use and the one that follows it.
pub(crate) const MAX_SECRETS: usize = 2;

/// Nothing longer is ever hashed: a secret of ours has 43 characters.
const MAX_PRESENTED: usize = 512;

/// What the store keeps of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredSecret {
    /// Its id, which is not secret.
    pub(crate) secret_id: String,
    /// HMAC-SHA-256 of client id and secret under the pepper, hex.
    pub(crate) hash: String,
    /// When it was made.
    pub(crate) created_at: Moment,
}

/// Makes a secret: 256 random bits in base64url.
pub(crate) fn generate() -> runwarden_kit::Result<SecretString> {
    let mut bytes = [0_u8; 32];
    rand::fill(&mut bytes).map_err(runwarden_kit::Error::internal)?;
    Ok(SecretString::from(URL_SAFE_NO_PAD.encode(bytes)))
}

/// The key under which secrets are hashed. It lives in a file, apart from the hashes.
pub(crate) struct Pepper {
    key: hmac::Key,
}

impl Pepper {
    pub(crate) fn new(file: &KeyFile) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, file.bytes()) }
    }

    /// The keyed hash of a client's secret. It names the client, so that equal secrets do not look equal.
    fn hash(&self, client_id: &str, secret: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"client secret\0");
        context.update(client_id.as_bytes());
        context.update(b"\0");
        context.update(secret.as_bytes());
        let mut out = [0_u8; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }

    /// What to store of a new secret.
    pub(crate) fn store(&self, client_id: &str, secret: &SecretString, now: Moment) -> StoredSecret {
        StoredSecret {
            secret_id: runwarden_kit::id::new(ids::SECRET),
            hash: hex::encode(self.hash(client_id, secret.expose_secret())),
            created_at: now,
        }
    }

    /// Which of the stored secrets was presented, if any.
    ///
    /// The work is the same whatever the answer is, also for a client that does not exist (`stored` empty):
    /// one hash and [`MAX_SECRETS`] comparisons in constant time.
    pub(crate) fn matches<'a>(
        &self,
        client_id: &str,
        presented: &str,
        stored: &'a [StoredSecret],
    ) -> Option<&'a StoredSecret> {
        let too_long = presented.len() > MAX_PRESENTED || client_id.len() > MAX_PRESENTED;
        let hash = if too_long { self.hash("", "") } else { self.hash(client_id, presented) };
        let mut found = None;
        for slot in 0..MAX_SECRETS {
            let candidate = stored.get(slot);
            let mut expected = [0_u8; 32];
            let known = candidate.is_some_and(|secret| hex::decode_to_slice(&secret.hash, &mut expected).is_ok());
            let equal = bool::from(hash.ct_eq(&expected));
            if equal && known && !too_long {
                found = candidate;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pepper() -> Pepper {
        let dir = tempfile::tempdir().unwrap();
        Pepper::new(&KeyFile::open(&dir.path().join("pepper"), "pepper", None).unwrap())
    }

    #[test]
    fn a_secret_is_256_bits_in_base64url() {
        let secret = generate().unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(secret.expose_secret()).unwrap().len(), 32);
        assert_ne!(secret.expose_secret(), generate().unwrap().expose_secret());
    }

    #[test]
    fn either_of_two_secrets_is_recognised_and_told_apart() {
        let pepper = pepper();
        let (one, two) = (generate().unwrap(), generate().unwrap());
        let stored = [
            pepper.store("client_a", &one, Moment::from_micros(1)),
            pepper.store("client_a", &two, Moment::from_micros(2)),
        ];
        let found = |secret: &str| pepper.matches("client_a", secret, &stored).map(|secret| secret.created_at.micros());
        assert_eq!(found(one.expose_secret()), Some(1));
        assert_eq!(found(two.expose_secret()), Some(2));
        assert_eq!(found("wrong"), None);
        assert!(pepper.matches("client_b", one.expose_secret(), &stored).is_none());
        assert!(pepper.matches("client_a", one.expose_secret(), &[]).is_none());
    }

    #[test]
    fn nothing_of_a_secret_is_stored_but_its_keyed_hash() {
        let secret = generate().unwrap();
        let stored = pepper().store("client_a", &secret, Moment::from_micros(1));
        let json = serde_json::to_string(&stored).unwrap();
        assert!(!json.contains(secret.expose_secret()));
        // Another pepper, another hash: a copy of the store alone is not enough to guess secrets.
        assert_ne!(stored.hash, pepper().store("client_a", &secret, Moment::from_micros(1)).hash);
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_presented_only_the_secret_itself_matches(
            id in "\\PC{0,40}", presented in "\\PC{0,600}"
        ) {
            let pepper = pepper();
            let stored = [pepper.store("client_a", &generate().unwrap(), Moment::from_micros(1))];
            proptest::prop_assert!(pepper.matches(&id, &presented, &stored).is_none());
            proptest::prop_assert!(pepper.matches(&id, &presented, &[]).is_none());
        }
    }
}
