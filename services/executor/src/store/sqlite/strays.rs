//! Runs that should not be.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::documents::{failed, read, write};
use super::{SqliteRows, at_most};
use crate::job::Stray;
use crate::store::engine::StrayRows;

#[async_trait]
impl StrayRows for SqliteRows {
    async fn put_stray(&mut self, stray: &Stray) -> Result<()> {
        self.needs_job(&stray.job);
        sqlx::query(
            "INSERT INTO strays (job_id, attempt, due_at, document) VALUES (?, ?, ?, ?)
             ON CONFLICT (job_id, attempt) DO UPDATE SET due_at = excluded.due_at, document = excluded.document",
        )
        .bind(&stray.job)
        .bind(stray.attempt)
        .bind(stray.due_at.micros())
        .bind(write(stray)?)
        .execute(self.connection())
        .await
        .map_err(failed)?;
        Ok(())
    }

    async fn save_stray(&mut self, stray: &Stray) -> Result<()> {
        sqlx::query("UPDATE strays SET due_at = ?, document = ? WHERE job_id = ? AND attempt = ?")
            .bind(stray.due_at.micros())
            .bind(write(stray)?)
            .bind(&stray.job)
            .bind(stray.attempt)
            .execute(self.connection())
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn defer_stray(&mut self, stray: &Stray, until: Moment) -> Result<bool> {
        let done = sqlx::query("UPDATE strays SET due_at = ? WHERE job_id = ? AND attempt = ? AND due_at = ?")
            .bind(until.micros())
            .bind(&stray.job)
            .bind(stray.attempt)
            .bind(stray.due_at.micros())
            .execute(self.connection())
            .await
            .map_err(failed)?;
        Ok(done.rows_affected() == 1)
    }

    async fn remove_stray(&mut self, stray: &Stray) -> Result<bool> {
        self.needs_job(&stray.job);
        let done = sqlx::query("DELETE FROM strays WHERE job_id = ? AND attempt = ?")
            .bind(&stray.job)
            .bind(stray.attempt)
            .execute(self.connection())
            .await
            .map_err(failed)?;
        Ok(done.rows_affected() == 1)
    }

    async fn strays(&mut self, now: Moment, limit: usize) -> Result<Vec<Stray>> {
        let rows = sqlx::query("SELECT document, due_at FROM strays WHERE due_at <= ? ORDER BY due_at LIMIT ?")
            .bind(now.micros())
            .bind(at_most(limit))
            .fetch_all(self.connection())
            .await
            .map_err(failed)?;
        let stray = |row: &SqliteRow| {
            let kept: Stray = read(row.get("document"))?;
            Ok(Stray { due_at: Moment::from_micros(row.get("due_at")), ..kept })
        };
        rows.iter().map(stray).collect()
    }

    async fn count_strays(&mut self) -> Result<usize> {
        let query = sqlx::query("SELECT count(*) AS n FROM strays");
        let row = query.fetch_one(self.connection()).await.map_err(failed)?;
        Ok(usize::try_from(row.get::<i64, _>("n")).unwrap_or(0))
    }
}
