//! SQLite does what every store of deliveries must do, and every outbox.

use std::sync::Arc;

use async_trait::async_trait;
use runwarden_engines::outbox::conformance as outboxes;
use runwarden_engines::sqlite::outbox::SqliteOutbox;
use runwarden_engines::sqlite::{Database, SqliteFaults, open};
use runwarden_kit::audit::Entry;

use super::{MIGRATIONS, SqliteInbox, SqliteRunTasks};
use crate::store::InboxStore as _;
use crate::store::conformance::run_tasks::TaskBench;
use crate::store::conformance::{Bench, inbox_store_conformance};

/// A fresh store, open twice, and its faults.
async fn databases() -> anyhow::Result<(tempfile::TempDir, [Database; 2], Arc<SqliteFaults>)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("inbox.db");
    let databases = [open(&path, MIGRATIONS).await?, open(&path, MIGRATIONS).await?];
    let faults = SqliteFaults::of(databases.iter().cloned());
    Ok((folder, databases, Arc::new(faults)))
}

async fn bench() -> anyhow::Result<(tempfile::TempDir, Bench)> {
    let (folder, databases, faults) = databases().await?;
    let outbox = Arc::new(SqliteOutbox::on(databases[0].clone()));
    let stores = databases.map(|database| Arc::new(SqliteInbox::on(database)) as _);
    Ok((folder, Bench { stores, outbox, faults }))
}

inbox_store_conformance!(self::bench);

async fn task_bench() -> anyhow::Result<(tempfile::TempDir, TaskBench)> {
    let (folder, databases, faults) = databases().await?;
    let outbox = Arc::new(SqliteOutbox::on(databases[0].clone()));
    let inbox = Arc::new(SqliteInbox::on(databases[0].clone()));
    let tasks = databases.map(|database| Arc::new(SqliteRunTasks(database)) as _);
    Ok((folder, TaskBench { inbox, tasks, outbox, faults }))
}

mod run_tasks {
    crate::store::conformance::run_tasks::run_task_store_conformance!(super::task_bench);
}

struct Notes(SqliteInbox);

#[async_trait]
impl outboxes::Carrier for Notes {
    async fn change(&self, entries: Vec<Entry>) -> anyhow::Result<()> {
        self.0.note(entries).await?;
        Ok(())
    }
}

async fn outbox_bench() -> anyhow::Result<(tempfile::TempDir, outboxes::Bench)> {
    let (folder, databases, faults) = databases().await?;
    let carriers = databases.clone().map(|database| Arc::new(Notes(SqliteInbox::on(database))) as _);
    let outboxes = databases.map(|database| Arc::new(SqliteOutbox::on(database)) as _);
    Ok((folder, outboxes::Bench { outboxes, carriers, faults }))
}

mod outbox {
    runwarden_engines::outbox_conformance!(super::outbox_bench);
}
