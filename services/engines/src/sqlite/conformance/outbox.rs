//! The outbox in a config store, on SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use runwarden_proto::audit::v1::Entry;

use crate::config::{Change, ConfigStore};
use crate::outbox::conformance::{Bench, Carrier};
use crate::outbox::{ConfigOutbox, put};
use crate::sqlite::SqliteConfigStore;

struct Changes(Arc<dyn ConfigStore>);

#[async_trait]
impl Carrier for Changes {
    async fn change(&self, entries: Vec<Entry>) -> anyhow::Result<()> {
        let mut change = Change::new();
        for entry in &entries {
            put(&mut change, entry);
        }
        self.0.commit(change).await?;
        Ok(())
    }
}

async fn bench() -> anyhow::Result<(tempfile::TempDir, Bench)> {
    let (folder, stores, faults) = SqliteConfigStore::two_that_can_fail().await?;
    let outboxes = stores.clone().map(|store| Arc::new(ConfigOutbox::new(store)) as _);
    let carriers = stores.map(|store| Arc::new(Changes(store)) as _);
    Ok((folder, Bench { outboxes, carriers, faults: Arc::new(faults) }))
}

crate::outbox_conformance!(bench);
