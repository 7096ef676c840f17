//! Rows in one SQLite file. Only SQL stands here, noun by noun.

mod attempts;
mod documents;
mod events;
mod executors;
mod first_due;
mod heads;
mod jobs;
mod keys;
mod outbox;
mod queues;
mod sql;
mod strays;
mod watches;

use async_trait::async_trait;
use futures::FutureExt as _;
use runwarden_engines::sqlite::{Database, Reader};
use runwarden_engines::{Migration, migrations};
use runwarden_kit::audit::Entry;
use runwarden_kit::{Error, Result};
use rusqlite::{Connection, Params};

use super::engine::{Engine, Rows, Serialise, Work};
use super::kernel::Kernel;

pub(super) const MIGRATIONS: &[Migration] = migrations![
    "0001_jobs",
    "0002_controllers",
    "0003_queues",
    "0004_silences",
    "0005_outbox",
    "0006_identity",
    "0007_counts_and_queues",
    "0008_leaner_rows"
];

/// Jobs in one SQLite file.
pub(crate) type SqliteJobs = Kernel<SqliteEngine>;

/// One SQLite file.
pub(crate) struct SqliteEngine {
    database: Database,
}

impl SqliteJobs {
    /// Jobs in this database.
    pub(super) fn on(database: Database) -> Self {
        Self::over(SqliteEngine { database })
    }

    /// Opens the file, making it if it is not there: for tests, which look into it.
    #[cfg(test)]
    pub(crate) async fn open(path: &std::path::Path) -> anyhow::Result<Self> {
        Ok(Self::on(runwarden_engines::sqlite::open(path, MIGRATIONS).await?))
    }
}

impl SqliteEngine {
    async fn reading(&self) -> Result<Reader> {
        Ok(self.database.grouped().readers.get().await?)
    }

    async fn writing<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.database.grouped().writer.change(work).await
    }
}

impl Engine for SqliteEngine {
    async fn read(&self) -> Result<Box<dyn Rows>> {
        Ok(Box::new(SqliteRows::through(Way::Reading(Box::new(self.reading().await?)))))
    }

    async fn transaction<C, T>(&self, with: C, work: Work<C, T>) -> Result<T>
    where
        C: Send + Sync + 'static,
        T: Send + 'static,
    {
        let make = move |connection: &mut Connection| {
            let mut rows = SqliteRows::through(Way::Writing(connection));
            // No step here waits for anything, so the work is done when it was looked at once.
            let done = work(&with, &mut rows).now_or_never();
            done.unwrap_or_else(|| Err(Error::internal(anyhow::anyhow!("a transaction waits for something else"))))
        };
        self.writing(make).await
    }
}

/// A connection that reads, or the one that writes inside a transaction.
pub(crate) struct SqliteRows<'c> {
    way: Way<'c>,
    /// What the transaction asked to be serialised on.
    asked: Vec<Serialise>,
}

enum Way<'c> {
    Reading(Box<Reader>),
    Writing(&'c mut Connection),
}

impl<'c> SqliteRows<'c> {
    const fn through(way: Way<'c>) -> Self {
        Self { way, asked: Vec::new() }
    }

    fn connection(&self) -> &Connection {
        match &self.way {
            Way::Reading(connection) => connection,
            Way::Writing(connection) => connection,
        }
    }

    fn run(&self, sql: &str, with: impl Params) -> Result<usize> {
        sql::run(self.connection(), sql, with)
    }

    /// Takes note of what is asked for. One transaction writes at a time, so SQLite needs no more; but in debug builds
    /// every test sees whether another engine could rely on what it is asked.
    fn ask(&mut self, what: Serialise) {
        if cfg!(debug_assertions) && matches!(self.way, Way::Writing(_)) {
            let in_order = self.asked.last().is_none_or(|last| last.order() <= what.order());
            assert!(in_order, "{what:?} is asked for after {:?}: others may wait in a circle", self.asked);
            self.asked.push(what);
        }
    }

    /// What a step of a transaction needs to have been asked for.
    fn needs(&self, what: impl FnOnce() -> Serialise) {
        if cfg!(debug_assertions) && matches!(self.way, Way::Writing(_)) {
            let what = what();
            assert!(self.asked.contains(&what), "{what:?} was not asked for, only {:?}", self.asked);
        }
    }

    fn needs_job(&self, id: &str) {
        self.needs(|| Serialise::Job(id.to_owned()));
    }
}

#[async_trait]
impl Rows for SqliteRows<'_> {
    async fn serialise(&mut self, what: Serialise) -> Result<()> {
        self.ask(what);
        Ok(())
    }

    async fn put_entries(&mut self, entries: &[Entry]) -> Result<()> {
        outbox::put(self.connection(), entries)
    }
}

/// A number of rows, as SQL has it.
fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(crate) mod conformance;
#[cfg(test)]
mod costs;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod tests;
