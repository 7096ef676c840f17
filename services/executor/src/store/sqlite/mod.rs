//! Rows in one SQLite file. Only SQL stands here, noun by noun.

mod attempts;
mod documents;
mod events;
mod executors;
mod jobs;
mod keys;
mod outbox;
mod queues;
mod strays;
mod watches;

use async_trait::async_trait;
use runwarden_engines::sqlite::Database;
use runwarden_engines::{Migration, migrations};
use runwarden_kit::Result;
use runwarden_kit::audit::Entry;
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::engine::{Engine, Rows, Serialise};
use super::kernel::Kernel;
use documents::failed;

pub(super) const MIGRATIONS: &[Migration] =
    migrations!["0001_jobs", "0002_controllers", "0003_queues", "0004_silences", "0005_outbox", "0006_identity"];

/// Jobs in one SQLite file.
pub(crate) type SqliteJobs = Kernel<SqliteEngine>;

/// One SQLite file.
pub(crate) struct SqliteEngine {
    database: Database,
}

impl SqliteJobs {
    /// Jobs in this database.
    pub(super) const fn on(database: Database) -> Self {
        Self::over(SqliteEngine { database })
    }

    /// Opens the file, making it if it is not there: for tests, which look into it.
    #[cfg(test)]
    pub(crate) async fn open(path: &std::path::Path) -> anyhow::Result<Self> {
        Ok(Self::on(runwarden_engines::sqlite::open(path, MIGRATIONS).await?))
    }
}

#[async_trait]
impl Engine for SqliteEngine {
    type Rows = SqliteRows;

    async fn read(&self) -> Result<SqliteRows> {
        Ok(SqliteRows::through(Way::Single(self.database.read.acquire().await.map_err(failed)?)))
    }

    async fn write(&self) -> Result<SqliteRows> {
        Ok(SqliteRows::through(Way::Single(self.database.write.acquire().await.map_err(failed)?)))
    }

    async fn begin(&self) -> Result<SqliteRows> {
        Ok(SqliteRows::through(Way::Transaction(self.database.begin_write().await.map_err(failed)?)))
    }
}

/// A connection, or a transaction that holds the file's write lock.
pub(crate) struct SqliteRows {
    way: Way,
    /// What the transaction asked to be serialised on.
    asked: Vec<Serialise>,
}

enum Way {
    Single(PoolConnection<Sqlite>),
    Transaction(Transaction<'static, Sqlite>),
}

impl SqliteRows {
    const fn through(way: Way) -> Self {
        Self { way, asked: Vec::new() }
    }

    fn connection(&mut self) -> &mut SqliteConnection {
        match &mut self.way {
            Way::Single(connection) => connection,
            Way::Transaction(transaction) => transaction,
        }
    }

    /// Takes note of what is asked for. One transaction writes at a time, so SQLite needs no more; but in debug builds
    /// every test sees whether another engine could rely on what it is asked.
    fn ask(&mut self, what: Serialise) {
        if cfg!(debug_assertions) && matches!(self.way, Way::Transaction(_)) {
            let in_order = self.asked.last().is_none_or(|last| last.order() <= what.order());
            assert!(in_order, "{what:?} is asked for after {:?}: others may wait in a circle", self.asked);
            self.asked.push(what);
        }
    }

    /// What a step of a transaction needs to have been asked for.
    fn needs(&self, what: impl FnOnce() -> Serialise) {
        if cfg!(debug_assertions) && matches!(self.way, Way::Transaction(_)) {
            let what = what();
            assert!(self.asked.contains(&what), "{what:?} was not asked for, only {:?}", self.asked);
        }
    }

    fn needs_job(&self, id: &str) {
        self.needs(|| Serialise::Job(id.to_owned()));
    }
}

#[async_trait]
impl Rows for SqliteRows {
    async fn serialise(&mut self, what: Serialise) -> Result<()> {
        self.ask(what);
        Ok(())
    }

    async fn commit(self) -> Result<()> {
        match self.way {
            Way::Single(_) => Ok(()),
            Way::Transaction(transaction) => transaction.commit().await.map_err(failed),
        }
    }

    async fn put_entries(&mut self, entries: &[Entry]) -> Result<()> {
        outbox::put(self.connection(), entries).await
    }
}

/// A number of rows, as SQL has it.
fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(crate) mod conformance;
#[cfg(test)]
mod tests;
