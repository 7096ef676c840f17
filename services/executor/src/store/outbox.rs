//! Audit entries waiting to be handed over.

use async_trait::async_trait;
use prost::Message as _;
use runwarden_kit::audit::{Entry, OutboxStore};
use runwarden_kit::{Error, Result};
use sqlx::{Row as _, SqliteConnection};

use super::rows::failed;
use super::sqlite::SqliteJobs;

/// Puts entries beside the change they tell of.
pub(super) async fn put(connection: &mut SqliteConnection, entries: &[Entry]) -> Result<()> {
    for entry in entries {
        sqlx::query("INSERT INTO outbox (entry_id, entry) VALUES (?, ?)")
            .bind(&entry.entry_id)
            .bind(entry.encode_to_vec())
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

#[async_trait]
impl OutboxStore for SqliteJobs {
    async fn pending(&self, limit: usize) -> Result<Vec<Entry>> {
        let rows = sqlx::query("SELECT entry FROM outbox ORDER BY number LIMIT ?")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.database.read)
            .await
            .map_err(failed)?;
        rows.iter().map(|row| Entry::decode(row.get::<&[u8], _>("entry")).map_err(Error::internal)).collect()
    }

    async fn remove(&self, entry_ids: &[String]) -> Result<()> {
        let mut transaction = self.database.begin_write().await.map_err(failed)?;
        for id in entry_ids {
            sqlx::query("DELETE FROM outbox WHERE entry_id = ?")
                .bind(id)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn count(&self) -> Result<usize> {
        let row =
            sqlx::query("SELECT count(*) AS n FROM outbox").fetch_one(&self.database.read).await.map_err(failed)?;
        Ok(usize::try_from(row.get::<i64, _>("n")).unwrap_or(0))
    }
}
