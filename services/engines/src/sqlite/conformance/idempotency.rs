//! Answers kept in a config store, on SQLite.

use std::sync::Arc;

use crate::idempotency::conformance::Bench;
use crate::sqlite::SqliteConfigStore;

async fn bench() -> anyhow::Result<(tempfile::TempDir, Bench)> {
    let (folder, stores, faults) = SqliteConfigStore::two_that_can_fail().await?;
    Ok((folder, Bench { stores, faults: Arc::new(faults) }))
}

crate::idempotency_conformance!(bench);
