//! A watch on the embedded store: it asks the tables what changed since it last looked, whenever the head moves on.
//! Nothing is queued for it, so a slow watcher costs no memory and misses no key.

use async_trait::async_trait;
use sqlx::{Row, SqlitePool};
use tokio::sync::watch as latest;

use crate::config::change::prefix_end;
use crate::config::{Entry, Event, Watch};
use crate::{Result, StoreError};

#[derive(Debug)]
pub(super) struct SqliteWatch {
    read: SqlitePool,
    head: latest::Receiver<i64>,
    prefix: String,
    end: Option<String>,
    told: i64,
}

impl SqliteWatch {
    pub(super) fn new(read: SqlitePool, head: latest::Receiver<i64>, prefix: &str, after: i64) -> Self {
        Self { read, head, prefix: prefix.to_owned(), end: prefix_end(prefix), told: after }
    }

    /// What changed after `told`, and up to which revision that is everything.
    async fn changed(&self) -> Result<(Vec<Event>, i64)> {
        // One read transaction: the entries, the deletions and the head belong together.
        let mut tx = self.read.begin().await?;
        let (head, floor): (i64, i64) =
            sqlx::query_as("SELECT head, floor FROM config_revision").fetch_one(&mut *tx).await?;
        if self.told < floor {
            return Err(StoreError::Compacted);
        }
        let rows = sqlx::query(
            "SELECT key, revision, value FROM config_entry
               WHERE revision > ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3)
             UNION ALL
             SELECT key, revision, NULL FROM config_tombstone
               WHERE revision > ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3)
             ORDER BY revision, key",
        )
        .bind(self.told)
        .bind(&self.prefix)
        .bind(&self.end)
        .fetch_all(&mut *tx)
        .await?;
        tx.rollback().await?;
        let events = rows
            .iter()
            .map(|row| {
                let (key, revision) = (row.try_get(0)?, row.try_get(1)?);
                let value: Option<Vec<u8>> = row.try_get(2)?;
                Ok(match value {
                    Some(value) => Event::Put(Entry { key, value, revision }),
                    None => Event::Deleted { key, revision },
                })
            })
            .collect::<Result<_>>()?;
        Ok((events, head))
    }
}

#[async_trait]
impl Watch for SqliteWatch {
    async fn next(&mut self) -> Result<Vec<Event>> {
        loop {
            let told = self.told;
            self.head.wait_for(|head| *head > told).await.map_err(|closed| StoreError::Unavailable(closed.into()))?;
            let (events, head) = self.changed().await?;
            self.told = head;
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }

    fn revision(&self) -> i64 {
        self.told
    }
}
