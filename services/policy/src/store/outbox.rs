//! Records that wait for the audit service, as the kit's task wants them.

use std::sync::Arc;

use async_trait::async_trait;
use runwarden_engines::config::ConfigStore;
use runwarden_engines::outbox::ConfigOutbox;
use runwarden_kit::Result;
use runwarden_kit::audit::{Entry, OutboxStore};

use super::failure::refuse;

/// The outbox of this service.
#[derive(Debug, Clone)]
pub struct Outbox(ConfigOutbox);

impl Outbox {
    /// The outbox in this store.
    #[must_use]
    pub fn new(store: Arc<dyn ConfigStore>) -> Self {
        Self(ConfigOutbox::new(store))
    }
}

#[async_trait]
impl OutboxStore for Outbox {
    async fn pending(&self, limit: usize) -> Result<Vec<Entry>> {
        self.0.pending(limit).await.map_err(refuse)
    }

    async fn remove(&self, entry_ids: &[String]) -> Result<()> {
        self.0.remove(entry_ids).await.map_err(refuse)
    }

    async fn count(&self) -> Result<usize> {
        let count = self.0.count().await.map_err(refuse)?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }
}
