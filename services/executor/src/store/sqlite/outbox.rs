//! Audit entries beside jobs.

use async_trait::async_trait;
use runwarden_engines::sqlite::outbox::SqliteOutbox;
pub(super) use runwarden_engines::sqlite::outbox::put;
use runwarden_kit::Result;
use runwarden_kit::audit::{Entry, LogHead, OutboxStore, SetAside};

use super::SqliteJobs;

impl SqliteJobs {
    fn outbox(&self) -> SqliteOutbox {
        SqliteOutbox::on(self.engine.database.clone())
    }
}

#[async_trait]
impl OutboxStore for SqliteJobs {
    async fn waiting(&self) -> Result<Vec<String>> {
        self.outbox().waiting().await
    }

    async fn pending(&self, tenant: &str, limit: usize) -> Result<Vec<Entry>> {
        self.outbox().pending(tenant, limit).await
    }

    async fn count(&self, tenant: &str) -> Result<usize> {
        self.outbox().count(tenant).await
    }

    async fn totals(&self) -> Result<(usize, usize)> {
        self.outbox().totals().await
    }

    async fn settle(&self, tenant: &str, entry_ids: &[String], seen: &[LogHead]) -> Result<()> {
        self.outbox().settle(tenant, entry_ids, seen).await
    }

    async fn seen(&self) -> Result<Vec<LogHead>> {
        self.outbox().seen().await
    }

    async fn set_aside(&self, refused: &SetAside) -> Result<()> {
        self.outbox().set_aside(refused).await
    }

    async fn aside(&self) -> Result<Vec<SetAside>> {
        self.outbox().aside().await
    }

    async fn send_again(&self, tenant: &str, entry_id: &str) -> Result<bool> {
        self.outbox().send_again(tenant, entry_id).await
    }
}

#[cfg(test)]
mod tests;
