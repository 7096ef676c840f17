//! The embedded config store: one SQLite file. It is read where the question is asked, and changed over a pool: what it
//! keeps changes rarely and is read all the time.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params};
use sqlx::{Sqlite, Transaction};

use super::{Database, open, open_read_only};
use crate::config::{Change, Commit, ConfigEntry, ConfigStore, Guard, MIGRATIONS, Write, Written, prefix_end};
use crate::{Result, StoreError, retrying};

/// A config store in a SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteConfigStore {
    database: Database,
}

impl SqliteConfigStore {
    /// Opens the store at `path`, making it if it is not there.
    pub async fn open(path: &Path) -> Result<Self> {
        Ok(Self { database: open(path, MIGRATIONS).await? })
    }

    /// Opens the store at `path` for reading only, also beside the process that writes it.
    pub async fn open_read_only(path: &Path) -> Result<Self> {
        Ok(Self { database: open_read_only(path).await? })
    }

    /// Closes the file.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// The file.
    #[cfg(test)]
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// A fresh store, open twice as by two processes, and its faults: for conformance suites.
    #[cfg(test)]
    pub(crate) async fn two_that_can_fail()
    -> anyhow::Result<(tempfile::TempDir, [std::sync::Arc<dyn ConfigStore>; 2], super::SqliteFaults)> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("config.db");
        let (one, two) = (Self::open(&path).await?, Self::open(&path).await?);
        let faults = super::SqliteFaults::of([one.database.clone(), two.database.clone()]);
        Ok((folder, [std::sync::Arc::new(one), std::sync::Arc::new(two)], faults))
    }

    async fn apply(&self, change: &Change) -> Result<Commit> {
        // IMMEDIATE takes the write lock at once: what the guards read stays so until the end.
        let mut tx = self.database.begin_write().await?;
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
        tx.commit().await?;
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
        }
        Write::Delete(key) => {
            sqlx::query("DELETE FROM config_entry WHERE key = ?").bind(key).execute(&mut **tx).await?;
        }
    }
    Ok(())
}

#[async_trait]
impl ConfigStore for SqliteConfigStore {
    async fn get(&self, key: &str) -> Result<Option<ConfigEntry>> {
        let reading = self.database.grouped().readers.get().await?;
        let mut statement = reading.prepare_cached("SELECT key, value, revision FROM config_entry WHERE key = ?")?;
        Ok(statement.query_row([key], entry).optional()?)
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ConfigEntry>> {
        let reading = self.database.grouped().readers.get().await?;
        let mut statement = reading.prepare_cached(
            "SELECT key, value, revision FROM config_entry
             WHERE key >= ?1 AND (?2 IS NULL OR key < ?2) AND (?3 IS NULL OR key > ?3) ORDER BY key LIMIT ?4",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![prefix, prefix_end(prefix), after, limit], entry)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    async fn count(&self, prefix: &str) -> Result<u64> {
        let reading = self.database.grouped().readers.get().await?;
        let mut statement =
            reading.prepare_cached("SELECT count(*) FROM config_entry WHERE key >= ?1 AND (?2 IS NULL OR key < ?2)")?;
        let count: i64 = statement.query_row(params![prefix, prefix_end(prefix)], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    async fn commit(&self, change: Change) -> Result<Commit> {
        change.check()?;
        let store = self.clone();
        // In a task of its own: a caller who hangs up does not cut it off in the middle.
        let commit = async move { retrying(|| store.apply(&change)).await };
        tokio::spawn(commit).await.map_err(StoreError::failed)?
    }

    async fn revision(&self) -> Result<i64> {
        Ok(revision(&*self.database.grouped().readers.get().await?)?)
    }

    async fn written_since(&self, prefix: &str, after: i64) -> Result<Written> {
        let reading = self.database.grouped().readers.get().await?;
        // Two statements, one snapshot.
        let snapshot = reading.unchecked_transaction()?;
        let head = revision(&snapshot)?;
        let entries = {
            let mut statement = snapshot.prepare_cached(
                "SELECT key, value, revision FROM config_entry INDEXED BY config_entry_by_revision
                 WHERE revision > ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3) ORDER BY revision, key",
            )?;
            let rows = statement.query_map(params![after, prefix, prefix_end(prefix)], entry)?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        snapshot.commit()?;
        Ok(Written { entries, head })
    }
}

fn revision(reading: &Connection) -> rusqlite::Result<i64> {
    reading.prepare_cached("SELECT head FROM config_revision")?.query_row((), |row| row.get(0))
}

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<ConfigEntry> {
    Ok(ConfigEntry { key: row.get(0)?, value: row.get(1)?, revision: row.get(2)? })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

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
    }

    #[tokio::test]
    async fn asking_what_was_written_costs_what_was_written_since_the_last_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteConfigStore::open(&dir.path().join("config.db")).await.unwrap();
        let mut change = Change::new();
        change.put("t/1", b"1");
        store.commit(change).await.unwrap();
        let (mut head, mut costs) = (store.written_since("t/", 0).await.unwrap().head, Vec::new());
        for writes in [10, 10_000] {
            for some in (0..writes).collect::<Vec<u32>>().chunks(100) {
                let mut change = Change::new();
                for number in some {
                    change.put(format!("client/{writes}/{number}"), b"1");
                }
                store.commit(change).await.unwrap();
            }
            head = store.written_since("t/", head).await.unwrap().head;
            let asked = store.written_since("t/", head);
            let (written, steps) = steps(&store, asked).await;
            assert!(written.unwrap().entries.is_empty());
            costs.push(steps);
        }
        assert!(costs[0] > 0 && costs[1] <= costs[0] * 2, "{costs:?}");
    }

    /// How many steps SQLite's machine takes for something on the connections that read.
    async fn steps<T>(store: &SqliteConfigStore, what: impl Future<Output = T>) -> (T, usize) {
        let taken = Arc::new(AtomicUsize::new(0));
        for reader in store.database.grouped().readers.all().await.unwrap() {
            let counted = Arc::clone(&taken);
            let count = move || {
                counted.fetch_add(1, Ordering::SeqCst);
                false
            };
            reader.progress_handler(1, Some(count)).unwrap();
        }
        let answer = what.await;
        (answer, taken.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn a_store_of_the_first_version_keeps_its_entries_and_its_revision() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.db");
        let old = open(&path, &MIGRATIONS[..1]).await.unwrap();
        for sql in [
            "INSERT INTO config_entry (key, value, revision) VALUES ('a', x'31', 6)",
            "INSERT INTO config_tombstone (key, revision) VALUES ('b', 7)",
            "UPDATE config_revision SET head = 7, floor = 2",
        ] {
            sqlx::query(sql).execute(&old.write).await.unwrap();
        }
        old.close().await;
        let store = SqliteConfigStore::open(&path).await.unwrap();
        assert_eq!(store.revision().await.unwrap(), 7);
        assert_eq!(store.written_since("", 5).await.unwrap().entries[0].key, "a");
        let mut change = Change::new();
        change.at("a", 6).put("b", b"2");
        assert_eq!(store.commit(change).await.unwrap(), Commit::Done { revision: 8 });
    }
}
