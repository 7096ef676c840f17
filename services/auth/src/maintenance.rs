//! Background work: keys are rotated and removed, expired revocations and kept answers are deleted, counted refusals
//! are recorded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use runwarden_engines::config::Change;
use runwarden_engines::idempotency::Idempotency;
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::revoked::{Keep, Present};
use runwarden_kit::{Error, Result};

use crate::client::prove::Prover;
use crate::key::keyring::Keyring;
use crate::shared::Shared;
use crate::store::{Stored, keys};
use crate::trust::revocation::Revocation;

/// How often it is looked whether something is to be done.
const EVERY: Duration = Duration::from_secs(15);

/// Keeps the house.
pub(crate) struct Maintenance {
    pub(crate) shared: Arc<Shared>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) prover: Arc<Prover>,
    pub(crate) idempotency: Idempotency,
    /// Since when revocations were seen here, by key, with their revision.
    pub(crate) seen: Mutex<HashMap<String, (i64, Instant)>>,
}

impl Maintenance {
    /// Does so until shutdown; what fails is tried again the next time.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        while shutdown.sleep(EVERY).await.is_ok() {
            self.once().await;
        }
        // What was only counted must not be lost with the process, this minute's included.
        let end = self.shared.now().plus(Duration::from_secs(60));
        if let Err(error) = self.prover.record_counted(end).await {
            report("recording refusal counts", &error);
        }
    }

    async fn once(&self) {
        if let Err(error) = self.keyring.maintain().await {
            report("rotating signing keys", &error);
        }
        if let Err(error) = self.prover.record_counted(self.shared.now()).await {
            report("recording refusal counts", &error);
        }
        if let Err(error) = self.forget_revocations().await {
            report("forgetting revocations", &error);
        }
        if let Err(error) = self.forget_answers().await {
            report("removing expired idempotency answers", &error);
        }
    }

    /// Forgets revocations whose tokens have all expired, by the clock and by the time that has passed since they were
    /// first seen here: a clock that runs ahead for a moment must not make a token valid again.
    pub(crate) async fn forget_revocations(&self) -> Result<()> {
        let all = self.shared.store.list_all::<Revocation>(keys::REVOCATIONS).await?;
        for (key, revision) in self.expired(&all, self.shared.present()) {
            let mut change = Change::new();
            // Unless more was revoked meanwhile.
            change.at(&key, revision).delete(key);
            self.shared.store.commit_silently(change).await?;
        }
        Ok(())
    }

    fn expired(&self, all: &[Stored<Revocation>], now: Present) -> Vec<(String, i64)> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *seen);
        let mut expired = Vec::new();
        for Stored { key, value, revision } in all {
            let first = before.get(key).filter(|(at, _)| at == revision).map_or(now.steady, |(_, first)| *first);
            seen.insert(key.clone(), (*revision, first));
            if (Keep { until: value.forget_at, heard: first }).is_over(now) {
                expired.push((key.clone(), *revision));
            }
        }
        expired
    }

    async fn forget_answers(&self) -> Result<()> {
        self.idempotency.prune(self.shared.now()).await?;
        Ok(())
    }
}

fn report(what: &str, error: &Error) {
    tracing::warn!(cause = ?error.cause(), "{what} failed and will be retried: {error}");
}
