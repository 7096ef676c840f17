//! Tokens, good and bad, and a trust state that a test can change.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use runwarden_kit::Error;
use runwarden_kit::caller::{Grant, Scope};
use runwarden_kit::tenant::TenantId;
use runwarden_kit::token::{AUDIENCE, Claims, TYPE, Verifier};
use runwarden_kit::trust::{Trust, TrustQuestion, TrustSource, TrustState};
use runwarden_proto::auth::v1::{Revocation, TenantState};

pub(crate) const ISSUER: &str = "https://gate.example";
pub(crate) const KEY: &str = "key-1";

/// Signs tokens.
pub(crate) struct Signer {
    signing: EncodingKey,
    /// The public key, an uncompressed point.
    pub(crate) public: Vec<u8>,
    pub(crate) jwks: String,
}

impl Signer {
    pub(crate) fn new() -> Result<Self> {
        let failed = |_| anyhow::anyhow!("no key");
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| anyhow::anyhow!("no key"))?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).map_err(failed)?;
        let public = pair.public_key().as_ref().to_vec();
        let half = |from: usize| public.get(from..from + 32).map(|half| URL_SAFE_NO_PAD.encode(half));
        let jwks = serde_json::json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY, "x": half(1), "y": half(33),
        }] })
        .to_string();
        Ok(Self { signing: EncodingKey::from_ec_der(pkcs8.as_ref()), public, jwks })
    }

    /// A state that never changes.
    pub(crate) fn trust(&self) -> Result<Arc<Trust>> {
        Ok(Trust::fixed(Verifier::new(ISSUER, &self.jwks)?))
    }

    pub(crate) fn header(&self) -> Header {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(KEY.to_owned());
        header
    }

    pub(crate) fn sign(&self, header: &Header, claims: &impl serde::Serialize) -> Result<String> {
        Ok(jsonwebtoken::encode(header, claims, &self.signing)?)
    }

    /// A good token with these permissions at this scope.
    pub(crate) fn token(&self, permissions: &[&str], at: Scope) -> Result<String> {
        self.sign(&self.header(), &claims(permissions, at))
    }

    /// A good token of tenant `acme` that may read and submit jobs.
    pub(crate) fn good(&self) -> Result<String> {
        self.token(&["jobs.read", "jobs.submit"], Scope::tenant(&TenantId::trusted("acme")))
    }
}

pub(crate) fn seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or_default()
}

pub(crate) fn claims(permissions: &[&str], at: Scope) -> Claims {
    let now = seconds();
    Claims {
        iss: ISSUER.to_owned(),
        sub: "sa_1".to_owned(),
        aud: AUDIENCE.to_owned(),
        exp: now + 300,
        iat: now,
        iat_us: None,
        jti: "tok_1".to_owned(),
        client_id: "client_1".to_owned(),
        name: "tester".to_owned(),
        tenant: at.tenant.clone(),
        scope: permissions.join(" "),
        amr: "client_credentials".to_owned(),
        grants: vec![Grant {
            role: "tester".to_owned(),
            scope: at.into(),
            permissions: permissions.iter().map(|p| (*p).to_owned()).collect(),
        }],
    }
}

/// Plays `auth`: what it trusts, whether it answers, and how time passes.
#[derive(Clone, Default)]
pub(crate) struct PlayedAuth(Arc<Inner>);

#[derive(Default)]
struct Inner {
    jwks: Mutex<String>,
    revoked: Mutex<Vec<String>>,
    version: AtomicU64,
    disabled: AtomicBool,
    down: AtomicBool,
    offset_seconds: AtomicU64,
}

impl PlayedAuth {
    pub(crate) fn trusting(jwks: &str) -> Self {
        let auth = Self::default();
        if let Ok(mut kept) = auth.0.jwks.lock() {
            jwks.clone_into(&mut kept);
        }
        auth
    }

    /// A copy of its state that renews itself.
    pub(crate) fn trust(&self) -> Arc<Trust> {
        let (base, inner) = (Instant::now(), self.0.clone());
        let ticks = move || base + base.elapsed() + Duration::from_secs(inner.offset_seconds.load(Ordering::SeqCst));
        Trust::from_source(self.clone(), Arc::new(ticks))
    }

    pub(crate) fn revoke(&self, token_id: &str) {
        if let Ok(mut revoked) = self.0.revoked.lock() {
            revoked.push(token_id.to_owned());
        }
        self.0.version.fetch_add(1, Ordering::SeqCst);
    }

    /// Disables tenant `acme`, or enables it.
    pub(crate) fn set_disabled(&self, disabled: bool) {
        self.0.disabled.store(disabled, Ordering::SeqCst);
        self.0.version.fetch_add(1, Ordering::SeqCst);
    }

    /// Trusts these keys and no others from now on.
    pub(crate) fn replace_keys(&self, jwks: &str) {
        if let Ok(mut kept) = self.0.jwks.lock() {
            jwks.clone_into(&mut kept);
        }
        self.0.version.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.0.offset_seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}

#[async_trait]
impl TrustSource for PlayedAuth {
    /// Always everything: what is sent when only something changed is tested beside the code.
    async fn trust_state(&self, question: TrustQuestion) -> runwarden_kit::Result<TrustState> {
        if self.0.down.load(Ordering::SeqCst) {
            return Err(Error::unavailable("played"));
        }
        let version = format!("v{}", self.0.version.load(Ordering::SeqCst));
        let text = |of: &Mutex<String>| of.lock().map(|text| text.clone()).unwrap_or_default();
        let revoked = self.0.revoked.lock().map(|revoked| revoked.clone()).unwrap_or_default();
        let disabled = self.0.disabled.load(Ordering::SeqCst);
        Ok(TrustState {
            unchanged: question.known_version == version,
            version,
            jwks_json: text(&self.0.jwks),
            issuer: ISSUER.to_owned(),
            revocations: revoked.into_iter().map(|token_id| Revocation { token_id, ..Revocation::default() }).collect(),
            only_changes: false,
            tenants: vec![TenantState { name: "acme".to_owned(), disabled }],
            tenants_age: Some(prost_types::Duration::default()),
        })
    }
}
