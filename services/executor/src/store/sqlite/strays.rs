//! Runs that should not be.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use rusqlite::params;

use super::documents::{read, write};
use super::sql::{self, get, text};
use super::{SqliteRows, at_most};
use crate::job::Stray;
use crate::store::engine::StrayRows;

#[async_trait]
impl StrayRows for SqliteRows<'_> {
    async fn put_stray(&mut self, stray: &Stray) -> Result<()> {
        self.needs_job(&stray.job);
        self.run(
            "INSERT INTO strays (job_id, attempt, due_at, document) VALUES (?, ?, ?, ?)
             ON CONFLICT (job_id, attempt) DO UPDATE SET due_at = excluded.due_at, document = excluded.document",
            params![stray.job, stray.attempt, stray.due_at.micros(), write(stray)?],
        )?;
        Ok(())
    }

    async fn save_stray(&mut self, stray: &Stray) -> Result<()> {
        self.run(
            "UPDATE strays SET due_at = ?, document = ? WHERE job_id = ? AND attempt = ?",
            params![stray.due_at.micros(), write(stray)?, stray.job, stray.attempt],
        )?;
        Ok(())
    }

    async fn defer_stray(&mut self, stray: &Stray, until: Moment) -> Result<bool> {
        let deferred = self.run(
            "UPDATE strays SET due_at = ? WHERE job_id = ? AND attempt = ? AND due_at = ?",
            params![until.micros(), stray.job, stray.attempt, stray.due_at.micros()],
        )?;
        Ok(deferred == 1)
    }

    async fn remove_stray(&mut self, stray: &Stray) -> Result<bool> {
        self.needs_job(&stray.job);
        let removed =
            self.run("DELETE FROM strays WHERE job_id = ? AND attempt = ?", params![stray.job, stray.attempt])?;
        Ok(removed == 1)
    }

    async fn strays(&mut self, now: Moment, limit: usize) -> Result<Vec<Stray>> {
        let sql = "SELECT document, due_at FROM strays WHERE due_at <= ? ORDER BY due_at LIMIT ?";
        let with = params![now.micros(), at_most(limit)];
        sql::all(self.connection(), sql, with, |row| {
            let kept: Stray = read(text(row, 0)?)?;
            Ok(Stray { due_at: Moment::from_micros(get(row, 1)?), ..kept })
        })
    }

    async fn count_strays(&mut self) -> Result<usize> {
        let count: i64 = sql::the(self.connection(), "SELECT count(*) FROM strays", (), |row| get(row, 0))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }
}
