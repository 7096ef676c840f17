//! Logs in a SQLite file.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::path::Path;

use async_trait::async_trait;
use runwarden_engines::Result;
use runwarden_engines::sqlite::{Database, open};
use sqlx::SqlitePool;

use super::{append, query};
use crate::merkle::{TileId, Tiles};
use crate::store::{Batch, Filter, Found, LogStore, MIGRATIONS, Page, Tail};

/// All logs in one file. Exactly one process writes it.
#[derive(Debug, Clone)]
pub struct SqliteLogStore {
    pub(super) database: Database,
    /// What reads go through.
    reads: SqlitePool,
}

impl SqliteLogStore {
    /// Opens the file, making it if it is not there.
    ///
    /// # Errors
    /// When it cannot be opened, or is of a newer version.
    pub async fn open(path: &Path) -> Result<Self> {
        Ok(Self::on(open(path, MIGRATIONS).await?))
    }

    /// The logs in an open database.
    pub(crate) fn on(database: Database) -> Self {
        Self { reads: database.read.clone(), database }
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
        append::append(&self.database.grouped().writer, batches).await
    }
}
