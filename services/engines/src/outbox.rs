//! Audit entries on their way: written in the same commit as the change they tell of, taken out once the audit
//! service has them.

use std::sync::Arc;

use async_trait::async_trait;
use prost::Message;
use runwarden_kit::audit::OutboxStore;
use runwarden_proto::audit::v1::Entry;

use crate::config::{Change, ConfigStore};
use crate::{Result, StoreError};

/// Where entries wait. Entry ids grow with time, so key order is the order of events.
pub const PREFIX: &str = "outbox/";

/// How many of the entries one commit may take out; the rest follows in further commits.
const REMOVE_AT_ONCE: usize = 100;

/// Adds the entry to the change: both become durable, or neither.
pub fn put(change: &mut Change, entry: &Entry) {
    change.put(key(&entry.entry_id), entry.encode_to_vec());
}

fn key(entry_id: &str) -> String {
    format!("{PREFIX}{entry_id}")
}

/// The outbox of a service whose state is in a config store.
#[derive(Clone, Debug)]
pub struct ConfigOutbox {
    store: Arc<dyn ConfigStore>,
}

impl ConfigOutbox {
    /// The outbox in this store.
    pub fn new(store: Arc<dyn ConfigStore>) -> Self {
        Self { store }
    }

    /// The oldest entries that wait, at most `limit`.
    pub async fn pending(&self, limit: usize) -> Result<Vec<Entry>> {
        let waiting = self.store.list(PREFIX, None, limit).await?;
        waiting
            .iter()
            .map(|entry| {
                Entry::decode(entry.value.as_slice())
                    .map_err(|error| StoreError::Corrupt(format!("{}: {error}", entry.key)))
            })
            .collect()
    }

    /// Takes out entries that were delivered. Ids that are not there are no failure.
    pub async fn remove(&self, ids: &[String]) -> Result<()> {
        for some in ids.chunks(REMOVE_AT_ONCE) {
            let mut change = Change::new();
            let mut some: Vec<&String> = some.iter().collect();
            some.sort_unstable();
            some.dedup();
            for id in some {
                change.delete(key(id));
            }
            // Without guards nothing can refuse it.
            self.store.commit(change).await?;
        }
        Ok(())
    }

    /// How many entries wait.
    pub async fn count(&self) -> Result<u64> {
        self.store.count(PREFIX).await
    }
}

#[async_trait]
impl OutboxStore for ConfigOutbox {
    async fn pending(&self, limit: usize) -> runwarden_kit::Result<Vec<Entry>> {
        Ok(Self::pending(self, limit).await?)
    }

    async fn remove(&self, entry_ids: &[String]) -> runwarden_kit::Result<()> {
        Ok(Self::remove(self, entry_ids).await?)
    }

    async fn count(&self) -> runwarden_kit::Result<usize> {
        Ok(usize::try_from(Self::count(self).await?).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SqliteConfigStore;

    fn entry(id: &str) -> Entry {
        Entry { entry_id: id.to_owned(), action: "tenant.create".to_owned(), ..Entry::default() }
    }

    #[tokio::test]
    async fn entries_wait_with_their_change_oldest_first_until_they_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn ConfigStore> =
            Arc::new(SqliteConfigStore::open(&dir.path().join("config.db")).await.unwrap());
        let outbox = ConfigOutbox::new(Arc::clone(&store));
        for id in ["rec_2", "rec_1", "rec_3"] {
            let mut change = Change::new();
            change.put(format!("thing/{id}"), b"");
            put(&mut change, &entry(id));
            store.commit(change).await.unwrap();
        }
        assert_eq!(outbox.count().await.unwrap(), 3);
        assert_eq!(outbox.pending(2).await.unwrap(), [entry("rec_1"), entry("rec_2")]);
        let ids = ["rec_1", "rec_2", "rec_2", "rec_9"].map(str::to_owned);
        outbox.remove(&ids).await.unwrap();
        assert_eq!(outbox.pending(10).await.unwrap(), [entry("rec_3")]);
        assert_eq!(store.count("thing/").await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_refused_change_leaves_no_entry() {
        let dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn ConfigStore> =
            Arc::new(SqliteConfigStore::open(&dir.path().join("config.db")).await.unwrap());
        let mut change = Change::new();
        change.at("a", 7).put("a", b"1");
        put(&mut change, &entry("rec_1"));
        store.commit(change).await.unwrap();
        assert_eq!(ConfigOutbox::new(store).count().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn more_than_one_commit_can_take_is_removed_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn ConfigStore> =
            Arc::new(SqliteConfigStore::open(&dir.path().join("config.db")).await.unwrap());
        let ids: Vec<String> = (0..250).map(|n| format!("rec_{n:04}")).collect();
        for some in ids.chunks(100) {
            let mut change = Change::new();
            for id in some {
                put(&mut change, &entry(id));
            }
            store.commit(change).await.unwrap();
        }
        let outbox = ConfigOutbox::new(store);
        outbox.remove(&ids).await.unwrap();
        assert_eq!(outbox.count().await.unwrap(), 0);
    }
}
