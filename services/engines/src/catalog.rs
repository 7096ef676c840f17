//! The typed catalogue: JSON records in a config store, each read with the revision that a change of it is guarded by,
//! and changed in one commit with its audit entry.
//!
//! What a service adds are its keys and its nouns. The keys and the JSON are what older databases hold: neither changes
//! without a migration.

use std::sync::Arc;

use runwarden_kit::Result;
use runwarden_kit::audit::{Entry, Outbox};
use runwarden_kit::page::{Listing, Page, PageRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;
use crate::config::{self, Change, Commit, ConfigStore};

/// How often a change is tried again when others change the same records in between; after that the caller gets
/// [`runwarden_kit::Error::contended`].
pub const TRIES: usize = 8;

/// How many records are read at once when all of a prefix are looked at.
const BATCH: usize = 200;

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// Its key.
    pub key: String,
    /// The record.
    pub value: T,
    /// The store's revision of the commit that wrote it last.
    pub revision: i64,
}

/// The records that were written after a revision of the store.
#[derive(Clone, Debug)]
pub struct Written<T> {
    /// The records, oldest first.
    pub records: Vec<Stored<T>>,
    /// The store's revision when they were read: where to go on the next time.
    pub head: i64,
}

/// The records of a service.
#[derive(Clone)]
pub struct Catalog {
    store: Arc<dyn ConfigStore>,
    outbox: Outbox,
}

impl Catalog {
    /// The records in this store, with the outbox in it.
    pub fn new(store: Arc<dyn ConfigStore>, outbox: Outbox) -> Self {
        Self { store, outbox }
    }

    /// Reads one record.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Stored<T>>> {
        Ok(self.store.get(key).await?.map(read).transpose()?)
    }

    /// Whether there is a record, of whatever type.
    pub async fn exists(&self, key: &str) -> Result<bool> {
        Ok(self.store.get(key).await?.is_some())
    }

    /// How many records there are under a prefix.
    pub async fn count(&self, prefix: &str) -> Result<u64> {
        Ok(self.store.count(prefix).await?)
    }

    /// Reads up to `limit` records under a prefix whose keys come after `after`, by key, from one moment.
    pub async fn list<T: DeserializeOwned>(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Stored<T>>> {
        let entries = self.store.list(prefix, after, limit).await?;
        Ok(entries.into_iter().map(read).collect::<crate::Result<_>>()?)
    }

    /// The first `limit` entries under a prefix, from one moment, for [`read`]: where records of several types stand
    /// side by side.
    pub async fn entries(&self, prefix: &str, limit: usize) -> Result<Vec<config::ConfigEntry>> {
        Ok(self.store.list(prefix, None, limit).await?)
    }

    /// Reads all records under a prefix: for kinds of which there are few.
    pub async fn list_all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<Stored<T>>> {
        let mut all: Vec<Stored<T>> = Vec::new();
        loop {
            let batch = self.list(prefix, all.last().map(|last| &*last.key), BATCH).await?;
            let last = batch.len() < BATCH;
            all.extend(batch);
            if last {
                return Ok(all);
            }
        }
    }

    /// Reads a page of the records under a prefix that `seen` lets through, by the names that follow the prefix. Records
    /// that the caller may not see take no place and leave no trace.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` for a token that is not of this `listing`, or leads behind what `is_name` does not accept.
    pub async fn page<T: DeserializeOwned>(
        &self,
        listing: &Listing,
        prefix: &str,
        request: &PageRequest,
        is_name: impl Fn(&str) -> bool + Send,
        seen: impl Fn(&T) -> bool + Send,
    ) -> Result<Page<T>> {
        let size = request.size()?;
        let mut after = listing.start(&request.token, |name| is_name(name).then(|| format!("{prefix}{name}")))?;
        let mut found: Vec<Stored<T>> = Vec::new();
        loop {
            let batch = self.list(prefix, after.as_deref(), BATCH).await?;
            let last = batch.len() < BATCH;
            after = batch.last().map(|stored| stored.key.clone());
            found.extend(batch.into_iter().filter(|stored| seen(&stored.value)));
            if last || found.len() > size {
                let page =
                    listing.cut(found, size, |stored| stored.key.strip_prefix(prefix).unwrap_or_default().to_owned());
                return Ok(page.map(|stored| stored.value));
            }
        }
    }

    /// Reads the records under a prefix that were written after a revision of the store, oldest first. What was deleted
    /// is not among them.
    pub async fn written_since<T: DeserializeOwned>(&self, prefix: &str, revision: i64) -> Result<Written<T>> {
        let config::Written { entries, head } = self.store.written_since(prefix, revision).await?;
        Ok(Written { records: entries.into_iter().map(read).collect::<crate::Result<_>>()?, head })
    }

    /// Commits a change together with its audit entry: both become durable, or neither.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE` when too many entries of the tenant wait already, `AUDIT_LOG_UNTRUSTED` when its log takes
    /// none.
    pub async fn commit(&self, mut change: Change, entry: &Entry) -> Result<Commit> {
        self.outbox.check_room(&entry.tenant).await?;
        crate::outbox::put(&mut change, entry);
        let commit = self.commit_silently(change).await?;
        if commit.is_done() {
            self.outbox.ring();
        }
        Ok(commit)
    }

    /// Commits housekeeping that nobody asked for and that changes nothing anybody can see.
    pub async fn commit_silently(&self, change: Change) -> Result<Commit> {
        let commit = self.store.commit(change).await?;
        if let Commit::Refused { key } = &commit {
            tracing::debug!(key, "somebody else changed it first");
        }
        Ok(commit)
    }
}

/// Lets a change happen only if a record is as it was read: at this revision, or not there.
pub fn guard<T>(change: &mut Change, key: &str, read: Option<&Stored<T>>) {
    match read {
        Some(stored) => change.at(key, stored.revision),
        None => change.absent(key),
    };
}

/// Adds a record to a change.
pub fn put<T: Serialize>(change: &mut Change, key: impl Into<String>, value: &T) -> Result<()> {
    change.put(key, encode(value)?);
    Ok(())
}

/// A record as it is stored.
pub fn encode<T: Serialize>(value: &T) -> crate::Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(StoreError::failed)
}

/// Reads a record; `key` names it in the error.
///
/// # Errors
/// [`StoreError::Corrupt`], which says where but never what: the record may be a sealed key or a hash.
pub fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> crate::Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        StoreError::Corrupt(format!("the record {key} is unreadable at line {line} column {column}"))
    })
}

/// Reads an entry as a record of this type.
///
/// # Errors
/// As [`decode`].
pub fn read<T: DeserializeOwned>(entry: config::ConfigEntry) -> crate::Result<Stored<T>> {
    let value = decode(&entry.key, &entry.value)?;
    Ok(Stored { key: entry.key, value, revision: entry.revision })
}

#[cfg(test)]
mod tests;
