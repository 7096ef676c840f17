//! The catalog: what exists, as JSON values in a config store, every change with its audit entry in the same commit.

pub(crate) mod key;
mod page;
mod revision;

use std::sync::Arc;

use runwarden_engines::config::{Change, Commit, ConfigStore, Written};
use runwarden_engines::idempotency::{Begin, Idempotency, Request, Ticket};
use runwarden_engines::outbox;
use runwarden_kit::audit::{Entry, EntryBuilder, Outbox};
use runwarden_kit::caller::Caller;
use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::mesh::Service;
use runwarden_kit::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use page::{Page, PageRequest};
pub(crate) use revision::retire_revision;

/// A value with the revision a change of it is guarded by.
#[derive(Clone, Debug)]
pub(crate) struct Stored<T> {
    /// Where it is.
    pub(crate) key: String,
    /// What it is.
    pub(crate) value: T,
    /// When the store saw it change last.
    pub(crate) at: i64,
}

/// What makes a request recognisable when it comes again.
#[derive(Clone, Debug, Default)]
pub struct Repeat {
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// What it sent.
    pub body: Vec<u8>,
}

/// A creating request that begins.
#[derive(Debug)]
pub(crate) enum Begun<T> {
    /// It came before: this was made.
    Replay(T),
    /// It is the first.
    Fresh(Ticket),
}

/// The service's state.
#[derive(Clone)]
pub struct Catalog {
    store: Arc<dyn ConfigStore>,
    outbox: Outbox,
    idempotency: Idempotency,
    clock: Arc<dyn Clock>,
}

impl Catalog {
    /// A catalog in this store, with the outbox in it.
    pub fn new(store: Arc<dyn ConfigStore>, idempotency: Idempotency, outbox: Outbox, clock: Arc<dyn Clock>) -> Self {
        Self { store, outbox, idempotency, clock }
    }

    /// Now.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Reads a value.
    pub(crate) async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Stored<T>>> {
        let Some(entry) = self.store.get(key).await? else { return Ok(None) };
        Ok(Some(Stored { value: decode(&entry.value)?, at: entry.revision, key: entry.key }))
    }

    /// Whether anything is stored there.
    pub(crate) async fn any_at(&self, key: &str) -> Result<bool> {
        Ok(self.store.get(key).await?.is_some())
    }

    /// Reads up to `limit` values whose keys begin with the prefix.
    pub(crate) async fn some<T: DeserializeOwned>(&self, prefix: &str, limit: usize) -> Result<Vec<Stored<T>>> {
        let entries = self.store.list(prefix, None, limit).await?;
        entries
            .into_iter()
            .map(|entry| Ok(Stored { value: decode(&entry.value)?, at: entry.revision, key: entry.key }))
            .collect()
    }

    /// Reads the values under a prefix that were written after a revision of the store, oldest first.
    /// Answers the store's revision, too: from there on to ask the next time.
    pub(crate) async fn written_since<T: DeserializeOwned>(
        &self,
        prefix: &str,
        at: i64,
    ) -> Result<(Vec<Stored<T>>, i64)> {
        let Written { entries, head } = self.store.written_since(prefix, at).await?;
        let written = entries
            .into_iter()
            .map(|entry| Ok(Stored { value: decode(&entry.value)?, at: entry.revision, key: entry.key }));
        Ok((written.collect::<Result<_>>()?, head))
    }

    /// Finds out whether a creating request came before.
    pub(crate) async fn begin<T: DeserializeOwned>(
        &self,
        caller: &Caller,
        operation: &str,
        repeat: &Repeat,
    ) -> Result<Begun<T>> {
        let request = Request {
            tenant: caller.tenant().unwrap_or_default(),
            principal: &caller.principal,
            operation,
            key: repeat.key.as_deref(),
            body: &repeat.body,
        };
        Ok(match self.idempotency.begin(request, self.now()).await? {
            Begin::Replay(answer) => Begun::Replay(decode(&answer)?),
            Begin::Fresh(ticket) => Begun::Fresh(ticket),
        })
    }

    /// An audit entry of this service about something in a tenant.
    pub(crate) fn entry(&self, tenant: &str, action: &str, object_type: &str, object_id: &str) -> EntryBuilder {
        EntryBuilder::new(&*self.clock, Service::Project, action, object_type, object_id).tenant(tenant)
    }

    /// Commits a change together with its audit entry.
    pub(crate) async fn commit(&self, mut change: Change, entry: &Entry) -> Result<Commit> {
        self.outbox.check_room(&entry.tenant).await?;
        outbox::put(&mut change, entry);
        let done = self.store.commit(change).await?;
        self.outbox.ring();
        Ok(done)
    }

    /// Commits housekeeping that nobody did and nobody needs to read about.
    pub(crate) async fn commit_silently(&self, change: Change) -> Result<Commit> {
        Ok(self.store.commit(change).await?)
    }
}

/// Puts a value into a change.
pub(crate) fn put<T: Serialize>(change: &mut Change, key: &str, value: &T) -> Result<()> {
    change.put(key, encode(value)?);
    Ok(())
}

/// Keeps what was made as the answer to repeats.
pub(crate) fn keep<T: Serialize>(ticket: &Ticket, change: &mut Change, made: &T) -> Result<()> {
    Ok(ticket.keep(change, &encode(made)?)?)
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(Error::internal)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(Error::internal)
}
