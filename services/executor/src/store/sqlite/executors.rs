//! Executors that share the store, in SQLite.

use async_trait::async_trait;
use runwarden_kit::Result;
use sqlx::{Row as _, SqliteConnection};

use super::SqliteJobs;
use crate::job::AT_ONCE;
use crate::store::rows::failed;
use crate::store::{Beat, Executors};

#[async_trait]
impl Executors for SqliteJobs {
    async fn resume(&self, holder: &str) -> Result<u64> {
        let mut transaction = self.database.begin_write().await.map_err(failed)?;
        let freed = let_go(&mut transaction, holder).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(freed)
    }

    async fn beat(&self, holder: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO executors (holder, beat) VALUES (?, 1) ON CONFLICT (holder) DO UPDATE SET beat = beat + 1",
        )
        .bind(holder)
        .execute(&self.database.write)
        .await
        .map_err(failed)?;
        Ok(())
    }

    async fn beats(&self, holder: &str) -> Result<Vec<Beat>> {
        let rows = sqlx::query("SELECT holder, beat FROM executors WHERE holder <> ?")
            .bind(holder)
            .fetch_all(&self.database.read)
            .await
            .map_err(failed)?;
        Ok(rows.iter().map(|row| Beat { holder: row.get("holder"), beat: row.get("beat") }).collect())
    }

    async fn free(&self, gone: &Beat) -> Result<Option<u64>> {
        let mut transaction = self.database.begin_write().await.map_err(failed)?;
        let removed = sqlx::query("DELETE FROM executors WHERE holder = ? AND beat = ?")
            .bind(&gone.holder)
            .bind(gone.beat)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        if removed.rows_affected() == 0 {
            return Ok(None);
        }
        let freed = let_go(&mut transaction, &gone.holder).await?;
        sqlx::query("DELETE FROM watches WHERE holder = ?")
            .bind(&gone.holder)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(Some(freed))
    }
}

/// Frees the jobs somebody holds, under new fences, so that nothing counts any more of what they may still do.
async fn let_go(connection: &mut SqliteConnection, holder: &str) -> Result<u64> {
    let done = sqlx::query(
        "UPDATE jobs SET holder = NULL, fence = fence + 1, due_at = CASE WHEN due_at IS NULL THEN NULL ELSE ? END
         WHERE holder = ?",
    )
    .bind(AT_ONCE.micros())
    .bind(holder)
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(done.rows_affected())
}
