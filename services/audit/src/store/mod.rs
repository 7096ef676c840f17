//! Where logs are kept: one trait, one engine a folder.

mod columns;
#[cfg(test)]
mod conformance;
mod sqlite;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use runwarden_engines::{Database, Engines, Migration, NotOpened, OnDatabase, Result, migrations, sqlite as engine};

pub(crate) use columns::Columns;
pub use sqlite::SqliteLogStore;
pub(crate) use sqlite::scan::Scan;

use crate::merkle::{Tile, TileId, Tiles};
use crate::record::{Record, Timestamp};

/// The file of an embedded engine, in the service's folder.
pub(crate) const FILE: &str = "audit.db";

/// The tables of the logs.
pub(crate) const MIGRATIONS: &[Migration] = migrations!["0001_log", "0002_times"];

/// The logs, opened.
#[derive(Debug)]
pub(crate) struct Logs {
    database: Database,
    /// For everybody who reads.
    pub(crate) reads: Arc<dyn LogStore>,
    /// For the one who writes: it waits for no reader.
    pub(crate) writes: Arc<dyn LogStore>,
}

impl Logs {
    /// Opens them where the service's settings say.
    pub(crate) async fn open(engines: &Engines) -> Result<Self, NotOpened> {
        let database = engines.database(FILE, MIGRATIONS).await?;
        let Stores { reads, writes } = database.stores();
        Ok(Self { database, reads, writes })
    }

    /// Closes them.
    pub(crate) async fn close(&self) {
        self.database.close().await;
    }
}

struct Stores {
    reads: Arc<dyn LogStore>,
    writes: Arc<dyn LogStore>,
}

impl OnDatabase for Stores {
    fn on_sqlite(database: engine::Database) -> Self {
        let logs = SqliteLogStore::on(database);
        Self { writes: Arc::new(logs.for_writer()), reads: Arc::new(logs) }
    }
}

/// A record with the line that was hashed for it.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// What the line says.
    pub record: Record,
    /// The line.
    pub line: String,
}

/// What is added to one log at once.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Whose log.
    pub tenant: String,
    /// The records, in order.
    pub records: Vec<Sealed>,
    /// The tiles that they change.
    pub tiles: Vec<(TileId, Tile)>,
    /// How many records there are afterwards.
    pub size: u64,
    /// The signed checkpoint over all of them.
    pub checkpoint: String,
    /// When it was signed.
    pub at: Timestamp,
}

/// The end of a log as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tail {
    /// How many records there are, by the last one's index.
    pub records: u64,
    /// The newest checkpoint: the size it is stored under, and the note.
    pub checkpoint: Option<(u64, String)>,
}

/// Which records to list. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// About this job.
    pub job: Option<String>,
    /// Of this principal, by its id or its client's.
    pub principal: Option<String>,
    /// With this action.
    pub action: Option<ActionFilter>,
    /// Of this time or later.
    pub after: Option<Timestamp>,
    /// Before this time.
    pub before: Option<Timestamp>,
}

/// One action, or all of a noun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionFilter {
    /// Exactly this one.
    Is(String),
    /// All whose name begins with this noun and a dot.
    Noun(String),
}

/// A page of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Only records below this index; `None` for all.
    pub below: Option<u64>,
    /// At most so many records.
    pub limit: usize,
    /// After looking at so many records the search stops, whether they fit or not.
    pub look: usize,
}

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The lines of the records that fit, newest first.
    pub lines: Vec<String>,
    /// Down to which index it looked, when it stopped there rather than at the end of the log.
    pub stopped_at: Option<u64>,
}

/// Keeps the logs of all tenants. There is no way to ask without naming a tenant, except for who has a log.
#[async_trait]
pub trait LogStore: fmt::Debug + Send + Sync + 'static {
    /// Whose logs there are anything of. What it costs grows with their number, not with their records.
    async fn tenants(&self) -> Result<BTreeSet<String>>;

    /// The end of a log; an empty one when there is none.
    async fn tail(&self, tenant: &str) -> Result<Tail>;

    /// Whether there is any tile of a log.
    async fn has_tiles(&self, tenant: &str) -> Result<bool>;

    /// The tiles that are there, of those asked for.
    async fn tiles(&self, tenant: &str, ids: &[TileId]) -> Result<Tiles>;

    /// The lines of a range of records, in order; fewer when there are not so many.
    async fn lines(&self, tenant: &str, range: Range<u64>) -> Result<Vec<String>>;

    /// The lines of the entries that are in the log already, by entry id.
    async fn find(&self, tenant: &str, entry_ids: &[&str]) -> Result<HashMap<String, String>>;

    /// Looks for records that fit, newest first. What it costs is bounded by the page, however long the log is.
    async fn list(&self, tenant: &str, filter: &Filter, page: Page) -> Result<Found>;

    /// Adds to several logs, all or nothing, durable when it returns. When it fails, it may be that all of it was done:
    /// then the tail says so. Fails without doing anything when a record does not come right after the last one, when
    /// an entry is in its log already, when a checkpoint covers no more than the last one, and when a tile is not a
    /// longer form of what it was: of two writers that race, one gets the place.
    async fn append(&self, batches: &[Batch]) -> Result<()>;
}
