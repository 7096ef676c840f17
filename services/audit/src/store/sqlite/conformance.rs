//! SQLite does what every log store must do.

use std::sync::Arc;

use runwarden_engines::sqlite::SqliteFaults;

use super::SqliteLogStore;
use crate::store::conformance::{Bench, log_store_conformance};

async fn bench() -> anyhow::Result<(tempfile::TempDir, Bench)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("audit.db");
    let (one, two) = (SqliteLogStore::open(&path).await?, SqliteLogStore::open(&path).await?);
    let faults = Arc::new(SqliteFaults::of([one.database.clone(), two.database.clone()]));
    Ok((folder, Bench { stores: [Arc::new(one.for_writer()), Arc::new(two)], faults }))
}

log_store_conformance!(bench);
