//! SQLite does what every store of jobs must do, and every outbox.

use std::sync::Arc;

use async_trait::async_trait;
use runwarden_engines::outbox::conformance as outbox;
use runwarden_engines::sqlite::SqliteFaults;
use runwarden_kit::audit::Entry;

use super::SqliteJobs;
use crate::job::tests::example;
use crate::store::conformance::{Bench, job_store_conformance};
use crate::store::{Acceptance, JobStore as _};

/// A fresh store, open twice as by two executors, and its faults.
async fn stores() -> anyhow::Result<(tempfile::TempDir, [Arc<SqliteJobs>; 2], Arc<SqliteFaults>)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("jobs.db");
    let stores = [Arc::new(SqliteJobs::open(&path).await?), Arc::new(SqliteJobs::open(&path).await?)];
    let faults = SqliteFaults::of(stores.iter().map(|store| store.engine.database.clone()));
    Ok((folder, stores, Arc::new(faults)))
}

pub(crate) async fn bench() -> anyhow::Result<(tempfile::TempDir, Bench)> {
    let (folder, stores, faults) = stores().await?;
    let outbox = stores[0].clone();
    Ok((folder, Bench { stores: stores.map(|store| store as _), outbox, faults }))
}

job_store_conformance!(super::bench);

struct Acceptances(Arc<SqliteJobs>);

#[async_trait]
impl outbox::Carrier for Acceptances {
    async fn change(&self, entries: Vec<Entry>) -> anyhow::Result<()> {
        self.0.accept(Acceptance { entries, ..Acceptance::of(example()) }).await?;
        Ok(())
    }
}

async fn outbox_bench() -> anyhow::Result<(tempfile::TempDir, outbox::Bench)> {
    let (folder, stores, faults) = stores().await?;
    let carriers = stores.clone().map(|store| Arc::new(Acceptances(store)) as _);
    Ok((folder, outbox::Bench { outboxes: stores.map(|store| store as _), carriers, faults }))
}

mod outboxes {
    runwarden_engines::outbox_conformance!(super::outbox_bench);
}
