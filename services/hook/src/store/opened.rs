//! The tables of this service, on the engine that its settings name.

use std::path::Path;
use std::sync::Arc;

use runwarden_engines::sqlite::Stage;
use runwarden_engines::sqlite::outbox::SqliteOutbox;
use runwarden_engines::{Engines, OnDatabase, sqlite};
use runwarden_kit::audit::OutboxStore;

use super::InboxStore;
use super::run_tasks::RunTaskStore;
use super::sqlite::{MIGRATIONS, SqliteInbox, SqliteRunTasks};
use crate::failpoint::{At, Failpoint};

/// The file of an embedded engine, in the service's folder.
const FILE: &str = "inbox.db";

/// The stores of this service that have tables.
pub struct Stores {
    /// Deliveries.
    pub inbox: Arc<dyn InboxStore>,
    /// Run tasks that are owed a result.
    pub run_tasks: Arc<dyn RunTaskStore>,
    /// The audit entries that became durable with them.
    pub outbox: Arc<dyn OutboxStore>,
}

impl Stores {
    /// Opens them.
    ///
    /// # Errors
    /// When they do not open, or are of a later version.
    pub async fn open(engines: &Engines) -> anyhow::Result<Self> {
        Self::open_failing(engines, Failpoint::default()).await
    }

    /// Opens those in this file.
    ///
    /// # Errors
    /// As [`Stores::open`].
    pub async fn open_at(engines: &Engines, file: &Path) -> anyhow::Result<Self> {
        Ok(engines.database(std::path::absolute(file)?, MIGRATIONS).await?.stores())
    }

    /// As [`Stores::open`], where a test may have the process die inside a commit.
    ///
    /// # Errors
    /// As [`Stores::open`].
    pub async fn open_failing(engines: &Engines, failpoint: Failpoint) -> anyhow::Result<Self> {
        let database = engines.database(FILE, MIGRATIONS).await?;
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
        let outbox = Arc::new(SqliteOutbox::on(database.clone()));
        let run_tasks = Arc::new(SqliteRunTasks(database.clone()));
        Self { inbox: Arc::new(SqliteInbox::on(database)), run_tasks, outbox }
    }
}
