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

use std::sync::Arc;
use std::time::Duration;

pub use pepper::Pepper;
use prost::Message;
use runwarden_kit::caller::Caller;
use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::idempotency::{self, Answering, InProgress};
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, context};
use serde::de::DeserializeOwned;

use crate::config::{Change, Commit, ConfigStore};
use crate::{StoreError, catalog};
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
            IdempotencyError::InProgress => idempotency::in_progress(),
            IdempotencyError::Reused => idempotency::reused(),
            IdempotencyError::BadKey => Self::invalid("", format!("The idempotency key {}.", idempotency::KEY_RULE)),
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

impl<'a> Request<'a> {
    /// A caller's request in the tenant it acts for.
    pub fn of(caller: &'a Caller, operation: &'a str, repeat: &'a Repeat) -> Self {
        Self {
            tenant: caller.tenant().map_or("", TenantId::as_str),
            principal: &caller.principal,
            operation,
            key: repeat.key.as_deref(),
            body: &repeat.body,
        }
    }
}

/// What makes a call recognisable when it comes again.
#[derive(Clone, Debug, Default)]
pub struct Repeat {
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// What it sent.
    pub body: Vec<u8>,
}

impl Repeat {
    /// The call being served, with its message.
    pub fn of(message: &impl Message) -> Self {
        Self { key: context::current().idempotency_key.clone(), body: message.encode_to_vec() }
    }
}

/// What a call turned out to be, with the answer in the service's own type.
#[derive(Debug)]
pub enum Begun<A> {
    /// A repeat: this was the first one's answer.
    Replay(A),
    /// The first: do it, and let the ticket keep the answer in the same commit.
    Fresh(Ticket),
}

/// Reads a kept answer that is a message of the contract.
pub fn message<A: Message + Default>(kept: &[u8]) -> runwarden_kit::Result<A> {
    A::decode(kept).map_err(Error::internal)
}

/// Reads a kept answer that is JSON.
pub fn json<A: DeserializeOwned>(kept: &[u8]) -> runwarden_kit::Result<A> {
    Ok(catalog::decode("of a kept answer", kept)?)
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
    running: InProgress<[u8; 32]>,
}

impl Idempotency {
    /// Remembers answers in this store, sealed with this pepper.
    pub fn new(store: Arc<dyn ConfigStore>, pepper: Pepper) -> Self {
        Self { store, pepper: Arc::new(pepper), running: InProgress::default() }
    }

    /// Finds out whether the request is a repeat. `now` decides which answers have expired.
    pub async fn begin(&self, request: Request<'_>, now: Moment) -> Result<Begin, IdempotencyError> {
        let Some(key) = request.key else {
            return Ok(Begin::Fresh(Ticket { held: None }));
        };
        if !idempotency::is_key(key) {
            return Err(IdempotencyError::BadKey);
        }
        let hashes = Hashes::new(&self.pepper, &request, key);
        let entry_key = format!("{PREFIX}{}", hex::encode(hashes.key));
        let answering = self.running.begin(hashes.key).map_err(|_| IdempotencyError::InProgress)?;
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
        Ok(Begin::Fresh(Ticket { held: Some(Held { _answering: answering, hashes, entry_key, revision, expires }) }))
    }

    /// [`Self::begin`] with the answer as `read` makes it of what was kept.
    pub async fn judge<A>(
        &self,
        request: Request<'_>,
        now: Moment,
        read: impl Fn(&[u8]) -> runwarden_kit::Result<A>,
    ) -> runwarden_kit::Result<Begun<A>> {
        Ok(match self.begin(request, now).await? {
            Begin::Replay(kept) => Begun::Replay(read(&kept)?),
            Begin::Fresh(ticket) => Begun::Fresh(ticket),
        })
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
    _answering: Answering<[u8; 32]>,
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

    /// Refuses when the commit was refused because another process answered this very key first.
    ///
    /// # Errors
    /// [`IdempotencyError::InProgress`].
    pub fn check_lost(&self, refused: &str) -> Result<(), IdempotencyError> {
        if self.lost(refused) { Err(IdempotencyError::InProgress) } else { Ok(()) }
    }

    /// Whether a refused commit was refused because another process answered this very key first: the caller should
    /// get [`IdempotencyError::InProgress`] and will have the answer when asking again.
    pub fn lost(&self, refused: &str) -> bool {
        self.held.as_ref().is_some_and(|held| held.entry_key == refused)
    }
}

#[cfg(test)]
mod tests;
