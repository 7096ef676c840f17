//! The embedded config store: one SQLite file, with an in-process watch.

mod watch;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{Row, Sqlite, Transaction};
use tokio::sync::watch as latest;

use super::change::prefix_end;
use super::{Change, Commit, ConfigStore, Entry, Guard, Watch, Write};
use crate::sqlite::{Database, Migration, open};
use crate::{Result, StoreError};

const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "config", sql: include_str!("../../migrations/sqlite/config/0001_config.sql") }];

/// For how many revisions deletions are remembered.
const REMEMBERED: i64 = 10_000;
/// How often, in revisions, older ones are forgotten.
const FORGET_EVERY: i64 = 500;

/// A config store in a SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteConfigStore {
    database: Database,
    /// The revision of the last commit: what watchers wait on.
    head: Arc<latest::Sender<i64>>,
    remembered: i64,
}

impl SqliteConfigStore {
    /// Opens the store at `path`, making it if it is not there.
    pub async fn open(path: &Path) -> Result<Self> {
        Self::open_remembering(path, REMEMBERED).await
    }

    async fn open_remembering(path: &Path, remembered: i64) -> Result<Self> {
        let database = open(path, MIGRATIONS).await?;
        let head: i64 = sqlx::query_scalar("SELECT head FROM config_revision").fetch_one(&database.read).await?;
        Ok(Self { database, head: Arc::new(latest::Sender::new(head)), remembered })
    }

    /// Closes the file.
    pub async fn close(&self) {
        self.database.close().await;
    }

    async fn apply(&self, change: &Change) -> Result<Commit> {
        // IMMEDIATE takes the write lock at once: what the guards read stays so until the end.
        let mut tx = self.database.write.begin_with("BEGIN IMMEDIATE").await?;
        for guard in change.guards() {
            if !holds(&mut tx, guard).await? {
                tx.rollback().await?;
                return Ok(Commit::Refused { key: guard.key().to_owned() });
            }
        }
        let revision: i64 =
            sqlx::query_scalar("UPDATE config_revision SET head = head + 1 RETURNING head").fetch_one(&mut *tx).await?;
        for write in change.writes() {
            apply_write(&mut tx, write, revision).await?;
        }
        if revision % FORGET_EVERY.min(self.remembered) == 0 {
            forget(&mut tx, revision - self.remembered).await?;
        }
        tx.commit().await?;
        // Two commits may tell of themselves out of order.
        self.head.send_if_modified(|head| {
            let newer = revision > *head;
            *head = revision.max(*head);
            newer
        });
        Ok(Commit::Done { revision })
    }
}

async fn holds(tx: &mut Transaction<'static, Sqlite>, guard: &Guard) -> Result<bool> {
    let found: Option<i64> = match guard {
        Guard::Absent(key) | Guard::At(key, _) => {
            sqlx::query_scalar("SELECT revision FROM config_entry WHERE key = ?")
                .bind(key)
                .fetch_optional(&mut **tx)
                .await?
        }
        Guard::Vacant(prefix) => {
            sqlx::query_scalar("SELECT revision FROM config_entry WHERE key >= ?1 AND (?2 IS NULL OR key < ?2) LIMIT 1")
                .bind(prefix)
                .bind(prefix_end(prefix))
                .fetch_optional(&mut **tx)
                .await?
        }
    };
    Ok(match guard {
        Guard::Absent(_) | Guard::Vacant(_) => found.is_none(),
        Guard::At(_, revision) => found == Some(*revision),
    })
}

async fn apply_write(tx: &mut Transaction<'static, Sqlite>, write: &Write, revision: i64) -> Result<()> {
    match write {
        Write::Put(key, value) => {
            sqlx::query(
                "INSERT INTO config_entry (key, value, revision) VALUES (?, ?, ?)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision",
            )
            .bind(key)
            .bind(value.as_slice())
            .bind(revision)
            .execute(&mut **tx)
            .await?;
            sqlx::query("DELETE FROM config_tombstone WHERE key = ?").bind(key).execute(&mut **tx).await?;
        }
        Write::Delete(key) => {
            let gone = sqlx::query("DELETE FROM config_entry WHERE key = ?").bind(key).execute(&mut **tx).await?;
            if gone.rows_affected() > 0 {
                sqlx::query("INSERT OR REPLACE INTO config_tombstone (key, revision) VALUES (?, ?)")
                    .bind(key)
                    .bind(revision)
                    .execute(&mut **tx)
                    .await?;
            }
        }
    }
    Ok(())
}

async fn forget(tx: &mut Transaction<'static, Sqlite>, floor: i64) -> Result<()> {
    if floor <= 0 {
        return Ok(());
    }
    sqlx::query("DELETE FROM config_tombstone WHERE revision <= ?").bind(floor).execute(&mut **tx).await?;
    sqlx::query("UPDATE config_revision SET floor = ?").bind(floor).execute(&mut **tx).await?;
    Ok(())
}

#[async_trait]
impl ConfigStore for SqliteConfigStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        let row = sqlx::query("SELECT key, value, revision FROM config_entry WHERE key = ?")
            .bind(key)
            .fetch_optional(&self.database.read)
            .await?;
        row.as_ref().map(entry).transpose()
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>> {
        let rows = sqlx::query(
            "SELECT key, value, revision FROM config_entry
             WHERE key >= ?1 AND (?2 IS NULL OR key < ?2) AND (?3 IS NULL OR key > ?3) ORDER BY key LIMIT ?4",
        )
        .bind(prefix)
        .bind(prefix_end(prefix))
        .bind(after)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.database.read)
        .await?;
        rows.iter().map(entry).collect()
    }

    async fn count(&self, prefix: &str) -> Result<u64> {
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM config_entry WHERE key >= ?1 AND (?2 IS NULL OR key < ?2)")
                .bind(prefix)
                .bind(prefix_end(prefix))
                .fetch_one(&self.database.read)
                .await?;
        Ok(count.unsigned_abs())
    }

    async fn commit(&self, change: Change) -> Result<Commit> {
        change.check()?;
        let store = self.clone();
        // In a task of its own: a caller who hangs up between the commit and the watchers' wake-up changes nothing.
        tokio::spawn(async move { store.apply(&change).await }).await.map_err(StoreError::failed)?
    }

    async fn revision(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT head FROM config_revision").fetch_one(&self.database.read).await?)
    }

    fn watch(&self, prefix: &str, after: i64) -> Box<dyn Watch> {
        Box::new(watch::SqliteWatch::new(self.database.read.clone(), self.head.subscribe(), prefix, after))
    }
}

fn entry(row: &sqlx::sqlite::SqliteRow) -> Result<Entry> {
    Ok(Entry { key: row.try_get(0)?, value: row.try_get(1)?, revision: row.try_get(2)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Event;

    async fn store() -> anyhow::Result<(impl Send + Sync + 'static, Arc<dyn ConfigStore>)> {
        let dir = tempfile::tempdir()?;
        let store = SqliteConfigStore::open(&dir.path().join("config.db")).await?;
        Ok((dir, Arc::new(store) as Arc<dyn ConfigStore>))
    }

    crate::config_store_conformance!(store);

    #[tokio::test]
    async fn what_was_committed_is_there_after_a_restart_and_revisions_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.db");
        let first = SqliteConfigStore::open(&path).await.unwrap();
        let mut change = Change::new();
        change.put("a", b"1");
        first.commit(change.clone()).await.unwrap();
        first.close().await;
        let second = SqliteConfigStore::open(&path).await.unwrap();
        assert_eq!(second.get("a").await.unwrap().unwrap().value, b"1");
        assert_eq!(second.commit(change).await.unwrap(), Commit::Done { revision: 2 });
        let events = second.watch("a", 1).next().await.unwrap();
        assert_eq!(events.iter().map(Event::revision).collect::<Vec<_>>(), [2]);
    }

    #[tokio::test]
    async fn a_watcher_that_was_away_too_long_is_told_to_list_anew() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteConfigStore::open_remembering(&dir.path().join("config.db"), 5).await.unwrap();
        for n in 0..20 {
            let mut change = Change::new();
            if n % 2 == 0 {
                change.put("a", b"1")
            } else {
                change.delete("a")
            };
            store.commit(change).await.unwrap();
        }
        assert!(matches!(store.watch("a", 1).next().await, Err(StoreError::Compacted)));
        let head = store.revision().await.unwrap();
        let events = store.watch("a", head - 1).next().await.unwrap();
        assert_eq!(events, [Event::Deleted { key: "a".to_owned(), revision: head }]);
    }
}
