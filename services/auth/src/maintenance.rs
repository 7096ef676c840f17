//! What happens by itself: keys rotate and are forgotten, revocations and kept answers that are over go away,
//! counted refusals are recorded.

use std::sync::Arc;
use std::time::Duration;

use runwarden_engines::config::Change;
use runwarden_engines::idempotency::Idempotency;
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::{Error, Result};

use crate::keyring::Keyring;
use crate::prove::Prover;
use crate::revocation::Revocation;
use crate::shared::Shared;
use crate::store::keys;

/// How often it is looked whether something is to be done.
const EVERY: Duration = Duration::from_secs(15);

/// Keeps the house.
pub(crate) struct Maintenance {
    pub(crate) shared: Arc<Shared>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) prover: Arc<Prover>,
    pub(crate) idempotency: Idempotency,
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
            report("recording counted refusals", &error);
        }
    }

    async fn once(&self) {
        if let Err(error) = self.keyring.maintain().await {
            report("rotating signing keys", &error);
        }
        if let Err(error) = self.prover.record_counted(self.shared.now()).await {
            report("recording counted refusals", &error);
        }
        if let Err(error) = self.forget_revocations().await {
            report("forgetting revocations", &error);
        }
        if let Err(error) = self.forget_answers().await {
            report("forgetting kept answers", &error);
        }
    }

    /// Forgets revocations whose tokens have all expired.
    pub(crate) async fn forget_revocations(&self) -> Result<()> {
        let now = self.shared.now();
        let all = self.shared.store.list_all::<Revocation>(keys::REVOCATIONS).await?;
        for (key, stored) in all {
            if stored.value.forget_at <= now {
                let mut change = Change::new();
                // Unless more was revoked meanwhile.
                change.at(&key, stored.revision).delete(key);
                self.shared.store.commit_silently(change).await?;
            }
        }
        Ok(())
    }

    async fn forget_answers(&self) -> Result<()> {
        self.idempotency.prune(self.shared.now()).await?;
        Ok(())
    }
}

fn report(what: &str, error: &Error) {
    tracing::warn!(cause = ?error.cause(), "{what} failed and is tried again: {error}");
}
