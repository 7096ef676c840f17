//! Where the auth service keeps its nouns: JSON records in a config store, each read with its revision so
//! that whoever writes it back can say which one it saw.

pub(crate) mod keys;

use std::sync::Arc;

use runwarden_engines::config::{Change, Commit, ConfigStore, Entry, Written};
use runwarden_kit::audit::{EntryBuilder, Outbox};
use runwarden_kit::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::record::{Client, ClientOwner, SecretUses};
use crate::role::binding::BindingOwner;
use crate::role::principal::Principal;
use crate::role::record::OwnRole;

/// How often a change is tried anew when others change the same things in between.
pub(crate) const TRIES: usize = 8;

/// How many records are read at once when all are wanted.
const BATCH: usize = 500;

/// A record with the revision it was read at.
#[derive(Clone, Debug)]
pub(crate) struct Stored<T> {
    /// The record.
    pub(crate) value: T,
    /// When it was last written.
    pub(crate) revision: i64,
}

/// The records that were written after a revision, and up to which one the store was looked through.
pub(crate) struct WrittenSince<T> {
    /// With their keys, oldest first.
    pub(crate) records: Vec<(String, Stored<T>)>,
    /// The store's revision then.
    pub(crate) head: i64,
}

/// How a commit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All of it happened.
    Done,
    /// Nothing happened, because the guard on this key did not hold.
    Refused(String),
}

impl Outcome {
    /// Whether it happened.
    pub(crate) fn is_done(&self) -> bool {
        *self == Self::Done
    }
}

/// The config store, read and written by noun.
#[derive(Clone)]
pub(crate) struct Store {
    config: Arc<dyn ConfigStore>,
    outbox: Outbox,
}

impl Store {
    /// Over a config store, with the outbox in it.
    pub(crate) fn new(config: Arc<dyn ConfigStore>, outbox: Outbox) -> Self {
        Self { config, outbox }
    }

    /// Reads one record.
    pub(crate) async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Stored<T>>> {
        match self.config.get(key).await? {
            Some(entry) => decode(&entry).map(Some),
            None => Ok(None),
        }
    }

    /// Reads a page of records by key.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Stored<T>)>> {
        let entries = self.config.list(prefix, after, limit).await?;
        entries.into_iter().map(|entry| Ok((entry.key.clone(), decode(&entry)?))).collect()
    }

    /// Reads all records under a prefix: for kinds of which there are few.
    pub(crate) async fn list_all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(String, Stored<T>)>> {
        let mut all: Vec<(String, Stored<T>)> = Vec::new();
        loop {
            let after = all.last().map(|(key, _)| key.clone());
            let batch = self.list(prefix, after.as_deref(), BATCH).await?;
            let last = batch.len() < BATCH;
            all.extend(batch);
            if last {
                return Ok(all);
            }
        }
    }

    /// Reads the records under a prefix that were written after a revision, oldest first.
    pub(crate) async fn written_since<T: DeserializeOwned>(
        &self,
        prefix: &str,
        revision: i64,
    ) -> Result<WrittenSince<T>> {
        let Written { entries, head } = self.config.written_since(prefix, revision).await?;
        let records = entries.into_iter().map(|entry| Ok((entry.key.clone(), decode(&entry)?)));
        Ok(WrittenSince { records: records.collect::<Result<_>>()?, head })
    }

    /// How many records there are under a prefix.
    pub(crate) async fn count(&self, prefix: &str) -> Result<u64> {
        Ok(self.config.count(prefix).await?)
    }

    /// Commits a change together with its audit entry: both become durable, or neither.
    pub(crate) async fn commit(&self, mut change: Change, entry: EntryBuilder) -> Result<Outcome> {
        let entry = entry.build();
        self.outbox.check_room(&entry.tenant).await?;
        runwarden_engines::outbox::put(&mut change, &entry);
        let outcome = self.commit_silently(change).await?;
        if outcome.is_done() {
            self.outbox.ring();
        }
        Ok(outcome)
    }

    /// Commits housekeeping that nobody asked for and that changes nothing anybody can see.
    pub(crate) async fn commit_silently(&self, change: Change) -> Result<Outcome> {
        match self.config.commit(change).await? {
            Commit::Done { .. } => Ok(Outcome::Done),
            Commit::Refused { key } => {
                tracing::debug!(key, "somebody else changed it first");
                Ok(Outcome::Refused(key))
            }
        }
    }

    /// The client of this owner.
    pub(crate) async fn client(&self, tenant: Option<&str>, client_id: &str) -> Result<Option<Stored<Client>>> {
        self.get(&keys::client(tenant, client_id)).await
    }

    /// Whose client it is.
    pub(crate) async fn client_owner(&self, client_id: &str) -> Result<Option<ClientOwner>> {
        let found = self.get::<ClientOwner>(&keys::client_id(client_id)).await?;
        Ok(found.map(|stored| stored.value))
    }

    /// When a client's secrets were last used.
    pub(crate) async fn secret_uses(&self, client_id: &str) -> Result<SecretUses> {
        let found = self.get::<SecretUses>(&keys::secret_uses(client_id)).await?;
        Ok(found.map(|stored| stored.value).unwrap_or_default())
    }

    /// The principal of this owner.
    pub(crate) async fn principal(&self, tenant: Option<&str>, principal: &str) -> Result<Option<Stored<Principal>>> {
        self.get(&keys::principal(tenant, principal)).await
    }

    /// Whose binding it is.
    pub(crate) async fn binding_owner(&self, binding_id: &str) -> Result<Option<BindingOwner>> {
        let found = self.get::<BindingOwner>(&keys::binding_id(binding_id)).await?;
        Ok(found.map(|stored| stored.value))
    }

    /// One of the tenant's own roles.
    pub(crate) async fn own_role(&self, tenant: &str, name: &str) -> Result<Option<Stored<OwnRole>>> {
        self.get(&keys::role(tenant, name)).await
    }
}

/// Lets a change happen only if a record is as it was seen: at this revision, or not there.
pub(crate) fn guard<T>(change: &mut Change, key: &str, seen: Option<&Stored<T>>) {
    match seen {
        Some(stored) => change.at(key, stored.revision),
        None => change.absent(key),
    };
}

/// Adds a record to a change.
pub(crate) fn put<T: Serialize>(change: &mut Change, key: impl Into<String>, value: &T) -> Result<()> {
    change.put(key, serde_json::to_vec(value).map_err(Error::internal)?);
    Ok(())
}

/// What is answered when others kept changing the same thing.
pub(crate) fn busy() -> Error {
    Error::conflict("Others are changing the same thing at the same time. Try again.")
}

fn decode<T: DeserializeOwned>(entry: &Entry) -> Result<Stored<T>> {
    let value = serde_json::from_slice(&entry.value).map_err(|error| {
        // Not the value: it may be a sealed key or a hash.
        Error::internal(anyhow::anyhow!(
            "the record {} is unreadable at line {} column {}",
            entry.key,
            error.line(),
            error.column()
        ))
    })?;
    Ok(Stored { value, revision: entry.revision })
}
