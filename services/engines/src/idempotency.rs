//! The first answer again: a creating request that carries an idempotency key is done once, and its repeats get what
//! the first one got.
//!
//! The answer may hold a secret that is shown only once, such as a client's. So it is sealed with a key that is
//! derived from the service's pepper *and* the caller's idempotency key, of which only a keyed hash is stored: neither
//! the store nor the pepper alone, nor both together, can open it. Entries are forgotten after a day.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod pepper;
mod record;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use pepper::Pepper;
use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::{Error, ErrorReason, context};

use crate::StoreError;
use crate::config::{Change, Commit, ConfigStore};
use record::{Hashes, Record};

/// Where answers are kept.
pub const PREFIX: &str = "idempotency/";
/// For how long an answer is kept.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);

/// How often expired entries are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// How many entries pruning reads, and forgets, at once.
const PRUNE_AT_ONCE: usize = 100;

/// Why a request with an idempotency key is not begun.
#[derive(Debug, thiserror::Error)]
pub enum IdempotencyError {
    /// The first request with this key has not been answered yet.
    #[error("the first request with this idempotency key has not been answered yet")]
    InProgress,
    /// The key was used with another body.
    #[error("the idempotency key was used with another body")]
    Reused,
    /// The key itself is wrong: it takes 1 to 255 visible ASCII characters.
    #[error("an idempotency key has 1 to 255 visible ASCII characters")]
    BadKey,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<IdempotencyError> for Error {
    fn from(error: IdempotencyError) -> Self {
        match error {
            IdempotencyError::InProgress => Self::new(
                ErrorReason::IdempotencyInProgress,
                "The first request with this idempotency key has not been answered yet.",
            ),
            IdempotencyError::Reused => Self::new(
                ErrorReason::IdempotencyKeyReused,
                "This idempotency key was used for another request. Use a new key.",
            ),
            IdempotencyError::BadKey => {
                Self::invalid("", "The idempotency key must have 1 to 255 visible ASCII characters.")
            }
            IdempotencyError::Store(error) => error.into(),
        }
    }
}

/// A request that may be a repeat.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The tenant it is about; empty for the platform.
    pub tenant: &'a str,
    /// Who asks. Nobody can replay another's answer.
    pub principal: &'a str,
    /// What is asked for, such as `project.create`.
    pub operation: &'a str,
    /// The idempotency key; without one, nothing is a repeat.
    pub key: Option<&'a str>,
    /// What was sent, such as the encoded request message.
    pub body: &'a [u8],
}

/// What a request turned out to be.
#[derive(Debug)]
pub enum Begin {
    /// A repeat: this was the first one's answer.
    Replay(Vec<u8>),
    /// The first: do it, and let the ticket keep the answer in the same commit.
    Fresh(Ticket),
}

/// Remembers answers in a config store.
#[derive(Clone, Debug)]
pub struct Idempotency {
    store: Arc<dyn ConfigStore>,
    pepper: Arc<Pepper>,
    running: Running,
}

impl Idempotency {
    /// Remembers answers in this store, sealed with this pepper.
    pub fn new(store: Arc<dyn ConfigStore>, pepper: Pepper) -> Self {
        Self { store, pepper: Arc::new(pepper), running: Running::default() }
    }

    /// Finds out whether the request is a repeat. `now` decides which answers have expired.
    pub async fn begin(&self, request: Request<'_>, now: Moment) -> Result<Begin, IdempotencyError> {
        let Some(key) = request.key else {
            return Ok(Begin::Fresh(Ticket { held: None }));
        };
        if !context::is_idempotency_key(key) {
            return Err(IdempotencyError::BadKey);
        }
        let hashes = Hashes::new(&self.pepper, &request, key);
        let entry_key = format!("{PREFIX}{}", hex::encode(hashes.key));
        let slot = self.running.enter(hashes.key).ok_or(IdempotencyError::InProgress)?;
        let found = self.store.get(&entry_key).await?;
        let revision = match found {
            None => None,
            Some(entry) => {
                let record = Record::decode(&entry.value)?;
                if record.expires > now.seconds() {
                    if !hashes.same_body(record.body) {
                        return Err(IdempotencyError::Reused);
                    }
                    let answer = record.open(&hashes)?;
                    context::mark_replayed();
                    return Ok(Begin::Replay(answer));
                }
                Some(entry.revision)
            }
        };
        let expires = now.plus(KEPT).seconds();
        Ok(Begin::Fresh(Ticket { held: Some(Held { _slot: slot, hashes, entry_key, revision, expires }) }))
    }

    /// Forgets expired answers every now and then, until shutdown.
    pub async fn keep_pruned(self, clock: Arc<dyn Clock>, shutdown: Shutdown) {
        loop {
            match self.prune(clock.now()).await {
                Ok(0) => {}
                Ok(forgotten) => tracing::debug!(forgotten, "idempotency keys expired"),
                Err(error) => {
                    tracing::warn!(%error, "expired idempotency keys could not be removed; trying again later")
                }
            }
            if shutdown.sleep(PRUNE_EVERY).await.is_err() {
                return;
            }
        }
    }

    /// Forgets expired answers and says how many.
    pub async fn prune(&self, now: Moment) -> Result<usize, StoreError> {
        let mut after: Option<String> = None;
        let mut forgotten = 0;
        loop {
            let page = self.store.list(PREFIX, after.as_deref(), PRUNE_AT_ONCE).await?;
            let Some(last) = page.last() else {
                return Ok(forgotten);
            };
            after = Some(last.key.clone());
            for entry in page {
                if Record::decode(&entry.value)?.expires <= now.seconds() {
                    let mut change = Change::new();
                    // Unless it was used anew in the meantime.
                    change.at(&entry.key, entry.revision).delete(&entry.key);
                    forgotten += usize::from(matches!(self.store.commit(change).await?, Commit::Done { .. }));
                }
            }
        }
    }
}

/// The right to be the first. While it exists, repeats are asked to wait; dropped without a commit, a repeat starts
/// over.
#[derive(Debug)]
pub struct Ticket {
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    _slot: Slot,
    hashes: Hashes,
    entry_key: String,
    revision: Option<i64>,
    expires: i64,
}

impl Ticket {
    /// Adds the answer to the change that makes it true. Does nothing for a request without an idempotency key.
    pub fn keep(&self, change: &mut Change, answer: &[u8]) -> Result<(), StoreError> {
        let Some(held) = &self.held else {
            return Ok(());
        };
        let record = Record::seal(&held.hashes, held.expires, answer)?;
        match held.revision {
            None => change.absent(&held.entry_key),
            Some(revision) => change.at(&held.entry_key, revision),
        };
        change.put(&held.entry_key, record);
        Ok(())
    }

    /// Whether a refused commit was refused because another process answered this very key first: the caller should
    /// get [`IdempotencyError::InProgress`] and will have the answer when asking again.
    pub fn lost(&self, refused: &str) -> bool {
        self.held.as_ref().is_some_and(|held| held.entry_key == refused)
    }
}

/// The keys whose first request is running in this process.
#[derive(Clone, Debug, Default)]
struct Running {
    keys: Arc<Mutex<HashSet<[u8; 32]>>>,
}

impl Running {
    fn enter(&self, key: [u8; 32]) -> Option<Slot> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key).then(|| Slot { running: self.clone(), key })
    }
}

#[derive(Debug)]
struct Slot {
    running: Running,
    key: [u8; 32],
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.running.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod sqlite_conformance;
#[cfg(test)]
mod tests;
