//! The trust state: what every service needs to verify caller tokens by itself. Asked for every second by each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use runwarden_kit::clock::Clock;
use runwarden_kit::token::Verifier;
use runwarden_kit::{Error, Result};
use tokio::sync::Mutex;

use crate::keyring::Keyring;
use crate::revocation::{Ended, Revocation};
use crate::store::{Store, keys};

/// For how long a state is handed out before the store is looked at again. Together with the second between two
/// askings it bounds how late a revocation made by another replica is noticed.
const FRESH: Duration = Duration::from_millis(500);

/// The trust state at a moment.
pub(crate) struct TrustState {
    /// Changes when anything below does, and is the same for every replica.
    pub(crate) version: String,
    /// The published keys.
    pub(crate) jwks_json: String,
    /// The issuer.
    pub(crate) issuer: String,
    /// What has ended.
    pub(crate) revocations: Vec<Revocation>,
    /// The same, ready to verify.
    pub(crate) verifier: Verifier,
}

struct Cached {
    read_at: Instant,
    change: u64,
    state: Arc<TrustState>,
}

/// Puts the trust state together.
pub(crate) struct Trust {
    store: Store,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    issuer: String,
    /// Counts the changes this process made, so that they show at once.
    changes: AtomicU64,
    cached: Mutex<Option<Cached>>,
}

impl Trust {
    pub(crate) fn new(store: Store, keyring: Arc<Keyring>, clock: Arc<dyn Clock>, issuer: String) -> Self {
        Self { store, keyring, clock, issuer, changes: AtomicU64::new(0), cached: Mutex::new(None) }
    }

    /// Tells that keys or revocations were changed here.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// The current state.
    pub(crate) async fn state(&self) -> Result<Arc<TrustState>> {
        // Whoever comes while it is read waits for that reading instead of reading too.
        let mut cached = self.cached.lock().await;
        let change = self.changes.load(Ordering::SeqCst);
        if let Some(known) = cached.as_ref()
            && known.change == change
            && known.read_at.elapsed() < FRESH
        {
            return Ok(Arc::clone(&known.state));
        }
        let read_at = Instant::now();
        let state = Arc::new(self.read().await?);
        *cached = Some(Cached { read_at, change, state: Arc::clone(&state) });
        Ok(state)
    }

    async fn read(&self) -> Result<TrustState> {
        self.keyring.refresh().await?;
        let jwks_json = self.keyring.jwks_json();
        let now = self.clock.now();
        let revocations: Vec<Revocation> = self
            .store
            .list_all::<Revocation>(keys::REVOCATIONS)
            .await?
            .into_iter()
            .map(|(_, stored)| stored.value)
            .filter(|revocation| revocation.forget_at > now)
            .collect();
        let version = version(&jwks_json, &self.issuer, &revocations)?;
        let mut verifier = Verifier::new(&self.issuer, &jwks_json).map_err(Error::internal)?;
        for revocation in &revocations {
            match &revocation.ended {
                Ended::Token { token_id } => verifier.revoke_token(token_id.clone()),
                Ended::Principal { principal, issued_until } => {
                    verifier.revoke_principal(principal.clone(), *issued_until)
                }
            }
        }
        Ok(TrustState { version, jwks_json, issuer: self.issuer.clone(), revocations, verifier })
    }
}

fn version(jwks_json: &str, issuer: &str, revocations: &[Revocation]) -> Result<String> {
    let content = serde_json::to_vec(&(jwks_json, issuer, revocations)).map_err(Error::internal)?;
    let hash = digest::digest(&digest::SHA256, &content);
    Ok(hex::encode(hash.as_ref()))
}
