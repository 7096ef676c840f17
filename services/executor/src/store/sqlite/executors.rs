//! Executors that share the store.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use sqlx::Row as _;

use super::SqliteRows;
use super::documents::failed;
use crate::store::Beat;
use crate::store::engine::{ExecutorRows, Serialise};

#[async_trait]
impl ExecutorRows for SqliteRows {
    async fn beat(&mut self, holder: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO executors (holder, beat) VALUES (?, 1) ON CONFLICT (holder) DO UPDATE SET beat = beat + 1",
        )
        .bind(holder)
        .execute(self.connection())
        .await
        .map_err(failed)?;
        Ok(())
    }

    async fn beats(&mut self, holder: &str) -> Result<Vec<Beat>> {
        let rows = sqlx::query("SELECT holder, beat FROM executors WHERE holder <> ?")
            .bind(holder)
            .fetch_all(self.connection())
            .await
            .map_err(failed)?;
        Ok(rows.iter().map(|row| Beat { holder: row.get("holder"), beat: row.get("beat") }).collect())
    }

    async fn remove_executor(&mut self, gone: &Beat) -> Result<bool> {
        self.needs(|| Serialise::Holder(gone.holder.clone()));
        let done = sqlx::query("DELETE FROM executors WHERE holder = ? AND beat = ?")
            .bind(&gone.holder)
            .bind(gone.beat)
            .execute(self.connection())
            .await
            .map_err(failed)?;
        Ok(done.rows_affected() == 1)
    }

    async fn take_away(&mut self, holder: &str, due: Moment) -> Result<u64> {
        self.needs(|| Serialise::Holder(holder.to_owned()));
        let done = sqlx::query(
            "UPDATE jobs SET holder = NULL, fence = fence + 1, due_at = CASE WHEN due_at IS NULL THEN NULL ELSE ? END
             WHERE holder = ?",
        )
        .bind(due.micros())
        .bind(holder)
        .execute(self.connection())
        .await
        .map_err(failed)?;
        Ok(done.rows_affected())
    }
}
