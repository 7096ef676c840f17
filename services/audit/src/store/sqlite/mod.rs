//! Logs in a SQLite file.

mod append;
pub(crate) mod columns;
mod query;
pub(crate) mod scan;

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::path::Path;

use async_trait::async_trait;
use runwarden_engines::sqlite::{Database, Migration, open};
use runwarden_engines::{Result, StoreError};
use sqlx::SqlitePool;

use super::{Batch, Filter, Found, LogStore, Page, Tail};
use crate::merkle::{TileId, Tiles};

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "log", sql: include_str!("../../../migrations/sqlite/0001_log.sql") },
    Migration { version: 2, name: "times", sql: include_str!("../../../migrations/sqlite/0002_times.sql") },
];

/// All logs in one file. Exactly one process writes it.
#[derive(Debug, Clone)]
pub struct SqliteLogStore {
    database: Database,
    /// What reads go through.
    reads: SqlitePool,
}

impl SqliteLogStore {
    /// Opens the file, making it if it is not there.
    ///
    /// # Errors
    /// When it cannot be opened, or is of a newer version.
    pub async fn open(path: &Path) -> Result<Self> {
        let database = open(path, MIGRATIONS).await?;
        Ok(Self { reads: database.read.clone(), database })
    }

    /// The same logs for the one who writes them: its reads go through the connection that it writes with, which nobody
    /// else uses. However many searches keep the others busy, an append waits for none of them.
    #[must_use]
    pub fn for_writer(&self) -> Self {
        Self { reads: self.database.write.clone(), database: self.database.clone() }
    }

    /// Closes the file.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

/// SQLite's integers have a sign; a log that long cannot be.
fn to_sql(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| StoreError::Invalid("a number larger than any log can have"))
}

fn from_sql(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| StoreError::Corrupt(format!("{number}, which must not be negative")))
}

#[async_trait]
impl LogStore for SqliteLogStore {
    async fn tenants(&self) -> Result<BTreeSet<String>> {
        query::tenants(&self.reads).await
    }

    async fn tail(&self, tenant: &str) -> Result<Tail> {
        query::tail(&self.reads, tenant).await
    }

    async fn has_tiles(&self, tenant: &str) -> Result<bool> {
        query::has_tiles(&self.reads, tenant).await
    }

    async fn tiles(&self, tenant: &str, ids: &[TileId]) -> Result<Tiles> {
        query::tiles(&self.reads, tenant, ids).await
    }

    async fn lines(&self, tenant: &str, range: Range<u64>) -> Result<Vec<String>> {
        query::lines(&self.reads, tenant, range).await
    }

    async fn find(&self, tenant: &str, entry_ids: &[&str]) -> Result<HashMap<String, String>> {
        query::find(&self.reads, tenant, entry_ids).await
    }

    async fn list(&self, tenant: &str, filter: &Filter, page: Page) -> Result<Found> {
        query::list(&self.reads, tenant, filter, page).await
    }

    async fn append(&self, batches: &[Batch]) -> Result<()> {
        append::append(&self.database.write, batches).await
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
