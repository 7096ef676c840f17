//! The trust state: what every service needs to judge callers by itself. Asked for every second by each, and answered
//! with what has changed since.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::revoked::Present;
use runwarden_kit::token::{Claims, Verifier};
use runwarden_kit::trust::Ticks;
use runwarden_kit::{Error, Result, id};
use tokio::sync::{Mutex, MutexGuard};

use crate::key::keyring::Keyring;
use crate::store::{Store, keys};
use crate::trust::ledger::Ledger;
use crate::trust::revocation::Revocation;
use crate::trust::tenants::{Mark, Tenants, Told};

/// For how long a state is handed out before the store is looked at again. Together with the second between two
/// askings it bounds how late a revocation made by another replica is noticed.
const FRESH: Duration = Duration::from_millis(500);

/// What a service receives.
pub(crate) struct Answer {
    /// Names the state.
    pub(crate) version: String,
    /// Whether this adds to the state the asker holds.
    pub(crate) only_changes: bool,
    /// The published keys; `None` if the asker has them.
    pub(crate) jwks_json: Option<String>,
    /// The issuer.
    pub(crate) issuer: String,
    /// What has ended.
    pub(crate) revocations: Vec<Revocation>,
    /// Each tenant and whether it is disabled.
    pub(crate) tenants: Vec<(String, bool)>,
    /// How old that is; `None` if nothing is known of tenants.
    pub(crate) tenants_age: Option<Duration>,
}

/// The parts of a version of the state: how far a service has received each part.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    /// The process that counts. The store's revisions alone are not unique across a restored backup.
    process: String,
    /// The store's revision of the last revocation.
    revocations: i64,
    /// Of tenants.
    tenants: Mark,
    /// The keys.
    keys: String,
}

impl Version {
    fn text(&self) -> String {
        let Mark { epoch, changes } = &self.tenants;
        format!("{} {} {epoch} {changes} {}", self.process, self.revocations, self.keys)
    }

    /// `None` for a version we never issued.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let mut next = || parts.next();
        let (process, revocations) = (next()?.to_owned(), next()?.parse().ok()?);
        let tenants = Mark { epoch: next()?.to_owned(), changes: next()?.parse().ok()? };
        Some(Self { process, revocations, tenants, keys: next()?.to_owned() })
    }
}

/// What was read from the store.
struct State {
    read_at: Instant,
    change: u64,
    jwks_json: String,
    /// Names the keys and the issuer.
    keys: String,
    verifier: Verifier,
    ledger: Ledger,
}

/// Puts the trust state together.
pub(crate) struct Trust {
    store: Store,
    keyring: Arc<Keyring>,
    tenants: Arc<Tenants>,
    clock: Arc<dyn Clock>,
    ticks: Ticks,
    issuer: String,
    /// Names this process.
    process: String,
    /// Counts the changes this process made, so that they show at once.
    changes: AtomicU64,
    state: Mutex<Option<State>>,
}

impl Trust {
    pub(crate) fn new(
        store: Store,
        keyring: Arc<Keyring>,
        tenants: Arc<Tenants>,
        clock: Arc<dyn Clock>,
        ticks: Ticks,
        issuer: String,
    ) -> Self {
        let (process, changes, state) = (id::new("trust"), AtomicU64::new(0), Mutex::new(None));
        Self { store, keyring, tenants, clock, ticks, issuer, process, changes, state }
    }

    /// Tells that keys or revocations were changed here.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// The tenants there are.
    pub(crate) fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    /// What a service that holds a version of the state does not know yet; everything, if the version is not one of
    /// ours.
    pub(crate) async fn since(&self, known_version: &str) -> Result<Answer> {
        let state = self.state().await?;
        let state = state.as_ref().ok_or_else(missing)?;
        let known = Version::parse(known_version)
            .filter(|known| known.process == self.process && known.revocations <= state.ledger.last());
        let mut told = self.tenants.told_since(known.as_ref().map(|known| &known.tenants));
        // Either every part is incremental, or none is.
        let known = known.filter(|_| told.only_changes);
        if known.is_none() {
            told = self.tenants.told_since(None);
        }
        let Told { mark, tenants, age, .. } = told;
        let version = Version {
            process: self.process.clone(),
            revocations: state.ledger.last(),
            tenants: mark,
            keys: state.keys.clone(),
        };
        let after = known.as_ref().map_or(0, |known| known.revocations);
        Ok(Answer {
            version: version.text(),
            only_changes: known.is_some(),
            jwks_json: known.is_none_or(|known| known.keys != state.keys).then(|| state.jwks_json.clone()),
            issuer: self.issuer.clone(),
            revocations: state.ledger.since(after).cloned().collect(),
            tenants,
            tenants_age: age,
        })
    }

    /// The published keys and the issuer.
    pub(crate) async fn keys(&self) -> Result<(String, String)> {
        let state = self.state().await?;
        let state = state.as_ref().ok_or_else(missing)?;
        Ok((state.jwks_json.clone(), self.issuer.clone()))
    }

    /// What a token says, if it has not ended. Whether its tenant is open is another question.
    pub(crate) async fn verify(&self, token: &str) -> Result<Option<Claims>> {
        let state = self.state().await?;
        let state = state.as_ref().ok_or_else(missing)?;
        let Ok(claims) = state.verifier.verify(token) else { return Ok(None) };
        let ended = state.ledger.revoked().covers(&claims.jti, &claims.sub, claims.issued_at());
        Ok((!ended).then_some(claims))
    }

    /// How many of a principal's tokens were ended one by one and have not expired yet, and when the latest of those
    /// was issued.
    pub(crate) async fn ended_tokens_of(&self, principal: &str) -> Result<(usize, Option<Moment>)> {
        let state = self.state().await?;
        Ok(state.as_ref().ok_or_else(missing)?.ledger.tokens_of(principal, self.clock.now()))
    }

    /// Up to which revision the store was looked through.
    #[cfg(test)]
    pub(crate) async fn read_to(&self) -> Result<i64> {
        let state = self.state().await?;
        Ok(state.as_ref().ok_or_else(missing)?.ledger.read_to())
    }

    /// The current state.
    async fn state(&self) -> Result<MutexGuard<'_, Option<State>>> {
        // Requests that arrive during a read wait for its result instead of reading again.
        let mut state = self.state.lock().await;
        let change = self.changes.load(Ordering::SeqCst);
        let fresh = state.as_ref().is_some_and(|state| state.change == change && state.read_at.elapsed() < FRESH);
        if !fresh {
            let read = self.read(state.take(), change).await?;
            *state = Some(read);
        }
        Ok(state)
    }

    async fn read(&self, before: Option<State>, change: u64) -> Result<State> {
        let read_at = Instant::now();
        self.keyring.refresh().await?;
        let jwks_json = self.keyring.jwks_json();
        let (verifier, ledger, keys) = match before {
            Some(before) if before.jwks_json == jwks_json => (before.verifier, before.ledger, before.keys),
            before => {
                let verifier = Verifier::new(&self.issuer, &jwks_json).map_err(Error::internal)?;
                let named = digest::digest(&digest::SHA256, format!("{}\n{jwks_json}", self.issuer).as_bytes());
                (verifier, before.map(|before| before.ledger).unwrap_or_default(), hex::encode(named.as_ref()))
            }
        };
        let mut state = State { read_at, change, jwks_json, keys, verifier, ledger };
        let written = self.store.written_since(keys::REVOCATIONS, state.ledger.read_to()).await?;
        state.ledger.take(written, Present { wall: self.clock.now(), steady: (self.ticks)() });
        Ok(state)
    }
}

fn missing() -> Error {
    Error::internal(anyhow::anyhow!("the trust state is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_survives_the_way_and_other_texts_are_none() {
        let version = Version {
            process: "trust_1".to_owned(),
            revocations: 7,
            tenants: Mark { epoch: "tenants_1".to_owned(), changes: 3 },
            keys: "00ff".to_owned(),
        };
        assert_eq!(Version::parse(&version.text()), Some(version));
        for text in ["", "v1", "a b c d e", "a 1 b 2"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
