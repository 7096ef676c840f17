//! Runs that should not be, in SQLite.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::audit::Entry;
use runwarden_kit::clock::Moment;
use sqlx::{Row as _, SqliteConnection};

use super::SqliteJobs;
use crate::job::Stray;
use crate::store::rows::{failed, read, write};
use crate::store::{Effects, StrayRuns, outbox};

/// Keeps one that came to light.
pub(super) async fn put(connection: &mut SqliteConnection, stray: &Stray) -> Result<()> {
    sqlx::query(
        "INSERT INTO strays (job_id, attempt, due_at, document) VALUES (?, ?, ?, ?)
         ON CONFLICT (job_id, attempt) DO UPDATE SET due_at = excluded.due_at, document = excluded.document",
    )
    .bind(&stray.job)
    .bind(stray.attempt)
    .bind(stray.due_at.micros())
    .bind(write(stray)?)
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(())
}

#[async_trait]
impl StrayRuns for SqliteJobs {
    async fn strays(&self, now: Moment, limit: usize) -> Result<Vec<Stray>> {
        let rows = sqlx::query("SELECT document, due_at FROM strays WHERE due_at <= ? ORDER BY due_at LIMIT ?")
            .bind(now.micros())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.database.read)
            .await
            .map_err(failed)?;
        let stray = |row: &sqlx::sqlite::SqliteRow| {
            let kept: Stray = read(row.get("document"))?;
            Ok(Stray { due_at: Moment::from_micros(row.get("due_at")), ..kept })
        };
        rows.iter().map(stray).collect()
    }

    async fn count_strays(&self) -> Result<usize> {
        let row =
            sqlx::query("SELECT count(*) AS n FROM strays").fetch_one(&self.database.read).await.map_err(failed)?;
        Ok(usize::try_from(row.get::<i64, _>("n")).unwrap_or(0))
    }

    async fn take_stray(&self, stray: &Stray, until: Moment) -> Result<bool> {
        let done = sqlx::query("UPDATE strays SET due_at = ? WHERE job_id = ? AND attempt = ? AND due_at = ?")
            .bind(until.micros())
            .bind(&stray.job)
            .bind(stray.attempt)
            .bind(stray.due_at.micros())
            .execute(&self.database.write)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected() == 1)
    }

    async fn keep_stray(&self, stray: &Stray) -> Result<()> {
        sqlx::query("UPDATE strays SET due_at = ?, document = ? WHERE job_id = ? AND attempt = ?")
            .bind(stray.due_at.micros())
            .bind(write(stray)?)
            .bind(&stray.job)
            .bind(stray.attempt)
            .execute(&self.database.write)
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn settle_stray(&self, stray: &Stray, entry: Entry) -> Result<Option<Effects>> {
        let mut transaction = self.database.begin_write().await.map_err(failed)?;
        let done = sqlx::query("DELETE FROM strays WHERE job_id = ? AND attempt = ?")
            .bind(&stray.job)
            .bind(stray.attempt)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        if done.rows_affected() == 0 {
            return Ok(None);
        }
        let effects = Effects::default().with_entry(entry);
        outbox::put(&mut transaction, &effects.entries).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(Some(effects))
    }
}
