//! Everything an executor keeps, on the engine that its settings name.

use std::path::Path;
use std::sync::Arc;

use runwarden_engines::sqlite::Stage;
use runwarden_engines::{Engines, OnDatabase, sqlite};
use runwarden_kit::audit::OutboxStore;

use super::JobStore;
use super::sqlite::{MIGRATIONS, SqliteJobs};
use crate::failpoint::{At, Failpoint};

/// The file of an embedded engine, in the executor's folder.
const FILE: &str = "jobs.db";

/// The stores of an executor.
pub struct Stores {
    /// Jobs, and what belongs to them.
    pub jobs: Arc<dyn JobStore>,
    /// The audit entries that became durable with changes of them.
    pub outbox: Arc<dyn OutboxStore>,
}

impl Stores {
    /// Opens them; `file` is where an embedded engine keeps them if not in the executor's own folder.
    ///
    /// # Errors
    /// When they do not open, or are of a later version.
    pub async fn open(engines: &Engines, file: Option<&Path>) -> anyhow::Result<Self> {
        Self::open_failing(engines, file, Failpoint::default()).await
    }

    /// As [`Stores::open`], where a test may have the process die inside a commit.
    ///
    /// # Errors
    /// As [`Stores::open`].
    pub async fn open_failing(engines: &Engines, file: Option<&Path>, failpoint: Failpoint) -> anyhow::Result<Self> {
        let database = match file {
            // As everywhere on a command line, seen from the working folder.
            Some(path) => engines.database(std::path::absolute(path)?, MIGRATIONS).await?,
            None => engines.database(FILE, MIGRATIONS).await?,
        };
        database.on_stage(Box::new(move |stage| {
            failpoint.pass(match stage {
                Stage::Filling => At::GroupFilling,
                Stage::Committed => At::GroupCommitted,
            });
        }));
        Ok(database.stores())
    }
}

impl OnDatabase for Stores {
    fn on_sqlite(database: sqlite::Database) -> Self {
        let jobs = Arc::new(SqliteJobs::on(database));
        Self { outbox: jobs.clone(), jobs }
    }
}
