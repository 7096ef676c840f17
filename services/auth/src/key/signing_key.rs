//! A signing key and its life: published first, then signing, then only verifying, then forgotten.
//!
//! No state is ever written: it follows from the times alone, so that every replica sees the same one and a
//! restart changes nothing. A key signs from `signs_from` until the next key does.

use std::time::Duration;

use anyhow::Context;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, ThumbprintHash};
use runwarden_kit::clock::Moment;
use runwarden_kit::token::Claims;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::key::sealing::Sealer;

/// The algorithm of all our keys.
pub(crate) const ALGORITHM: jsonwebtoken::Algorithm = jsonwebtoken::Algorithm::RS256;

/// A signing key as it is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyRecord {
    /// Its id: the RFC 7638 thumbprint of the public key.
    pub(crate) kid: String,
    /// The public key's modulus, base64url.
    pub(crate) n: String,
    /// The public key's exponent, base64url.
    pub(crate) e: String,
    /// The private key in PKCS #8, sealed.
    sealed: String,
    /// When it was made and published.
    pub(crate) created_at: Moment,
    /// When it begins to sign.
    pub(crate) signs_from: Moment,
}

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyState {
    /// Published, so that everybody knows it before it signs.
    Next,
    /// Signing.
    Active,
    /// Verifying what it signed until that has expired.
    Retiring,
    /// Everything it signed has expired.
    Spent,
}

/// The state of each key, given as when it begins to sign, in that order.
pub(crate) fn states(signs_from: &[Moment], now: Moment, outlived: Duration) -> Vec<KeyState> {
    signs_from
        .iter()
        .enumerate()
        .map(|(index, from)| {
            let successor = signs_from.get(index + 1);
            match successor {
                Some(end) if end.plus(outlived) <= now => KeyState::Spent,
                Some(end) if *end <= now => KeyState::Retiring,
                _ if *from <= now => KeyState::Active,
                _ => KeyState::Next,
            }
        })
        .collect()
}

/// A key that can sign.
pub(crate) struct SigningKey {
    /// What is kept of it.
    pub(crate) record: KeyRecord,
    pair: KeyPair,
}

impl SigningKey {
    /// Makes a key. Takes up to seconds: not for the async runtime's threads.
    pub(crate) fn generate(
        size: KeySize,
        sealer: &Sealer,
        created_at: Moment,
        signs_from: Moment,
    ) -> anyhow::Result<Self> {
        let pair = KeyPair::generate(size).context("an RSA key could not be generated")?;
        let public = DecodingKey::from_rsa_der(pair.public_key().as_ref());
        let jwk = Jwk::from_decoding_key(&public, Some(ALGORITHM))?;
        let AlgorithmParameters::RSA(parameters) = &jwk.algorithm else {
            anyhow::bail!("the generated key is not an RSA key");
        };
        let kid = jwk.thumbprint(ThumbprintHash::SHA256)?;
        let private: Pkcs8V1Der<'_> = pair.as_der().context("the RSA key cannot be written")?;
        let sealed = sealer.seal(&sealed_name(&kid), private.as_ref())?;
        let record =
            KeyRecord { n: parameters.n.clone(), e: parameters.e.clone(), kid, sealed, created_at, signs_from };
        Ok(Self { record, pair })
    }

    /// Opens a key that was kept.
    pub(crate) fn open(record: KeyRecord, sealer: &Sealer) -> anyhow::Result<Self> {
        let private = sealer
            .open(&sealed_name(&record.kid), &record.sealed)
            .with_context(|| format!("the signing key {}", record.kid))?;
        let pair = KeyPair::from_pkcs8(&private).with_context(|| format!("the signing key {}", record.kid))?;
        Ok(Self { record, pair })
    }

    /// Signs claims as a JWT access token (RFC 9068).
    pub(crate) fn sign(&self, claims: &Claims) -> anyhow::Result<String> {
        let header = json!({ "typ": runwarden_kit::token::TYPE, "alg": "RS256", "kid": self.record.kid });
        let mut token = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header)?);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims)?, &mut token);
        let mut signature = vec![0_u8; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature)
            .context("the token cannot be signed")?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

/// The public half as a JSON Web Key (RFC 7517).
pub(crate) fn jwk(record: &KeyRecord) -> serde_json::Value {
    json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": record.kid, "n": record.n, "e": record.e })
}

fn sealed_name(kid: &str) -> String {
    format!("runwarden-auth signing key {kid}")
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest;

    use super::*;
    use crate::key::key_file::KeyFile;

    fn sealer() -> Sealer {
        let dir = tempfile::tempdir().unwrap();
        Sealer::new(&KeyFile::open(&dir.path().join("seal"), "seal", None).unwrap()).unwrap()
    }

    fn key(sealer: &Sealer) -> SigningKey {
        let at = Moment::from_micros(0);
        SigningKey::generate(KeySize::Rsa2048, sealer, at, at).unwrap()
    }

    fn claims() -> Claims {
        let now = runwarden_kit::clock::Clock::now(&runwarden_kit::clock::SystemClock);
        Claims {
            iss: "https://gate.example".into(),
            sub: "sa_1".into(),
            aud: runwarden_kit::token::AUDIENCE.into(),
            exp: now.seconds() + 60,
            iat: now.seconds(),
            iat_us: Some(now.micros()),
            jti: "tok_1".into(),
            client_id: "client_1".into(),
            name: "ci".into(),
            tenant: None,
            scope: String::new(),
            amr: "client_credentials".into(),
            grants: vec![],
        }
    }

    #[test]
    fn a_key_id_is_the_thumbprint_of_rfc_7638() {
        let record = key(&sealer()).record;
        let canonical = format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, record.e, record.n);
        let hash = digest::digest(&digest::SHA256, canonical.as_bytes());
        assert_eq!(record.kid, URL_SAFE_NO_PAD.encode(hash.as_ref()));
    }

    #[test]
    fn a_kept_key_signs_tokens_that_its_jwk_verifies_and_no_other() {
        let sealer = sealer();
        let made = key(&sealer);
        let token = SigningKey::open(made.record.clone(), &sealer).unwrap().sign(&claims()).unwrap();
        let verifier = |record: &KeyRecord| {
            let set = json!({ "keys": [jwk(record)] }).to_string();
            runwarden_kit::token::Verifier::new("https://gate.example", &set).unwrap()
        };
        assert_eq!(verifier(&made.record).verify(&token).unwrap().sub, "sa_1");
        assert!(verifier(&key(&sealer).record).verify(&token).is_err());
    }

    #[test]
    fn what_is_kept_of_a_key_does_not_show_its_private_half() {
        let sealer = sealer();
        let made = key(&sealer);
        let private: Pkcs8V1Der<'_> = made.pair.as_der().unwrap();
        let kept = serde_json::to_string(&made.record).unwrap();
        assert!(!kept.contains(&URL_SAFE_NO_PAD.encode(private.as_ref())));
        assert!(SigningKey::open(made.record, &super::tests::sealer()).is_err());
        assert!(jwk(&key(&sealer).record).get("d").is_none());
    }

    #[test]
    fn a_key_is_published_then_signs_then_verifies_then_goes() {
        let at = |seconds: i64| Moment::from_micros(seconds * 1_000_000);
        let keys = [at(0), at(100), at(200)];
        let outlived = Duration::from_secs(50);
        use KeyState::{Active, Next, Retiring, Spent};
        assert_eq!(states(&keys, at(99), outlived), [Active, Next, Next]);
        assert_eq!(states(&keys, at(100), outlived), [Retiring, Active, Next]);
        assert_eq!(states(&keys, at(149), outlived), [Retiring, Active, Next]);
        assert_eq!(states(&keys, at(150), outlived), [Spent, Active, Next]);
        assert_eq!(states(&keys, at(250), outlived), [Spent, Spent, Active]);
        assert_eq!(states(&[], at(0), outlived), []);
    }

    proptest::proptest! {
        #[test]
        fn exactly_one_key_signs_once_the_first_has_begun(
            mut times in proptest::collection::vec(0_i64..1000, 1..6), now in 0_i64..2000
        ) {
            times.sort_unstable();
            let now = now.max(times[0]);
            let moments: Vec<Moment> = times.iter().map(|time| Moment::from_micros(*time)).collect();
            let active = states(&moments, Moment::from_micros(now), Duration::from_micros(10))
                .into_iter()
                .filter(|state| *state == KeyState::Active)
                .count();
            proptest::prop_assert_eq!(active, 1);
        }
    }
}
