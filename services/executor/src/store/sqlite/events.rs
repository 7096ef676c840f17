//! Events of jobs.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::documents::{failed, read, write};
use super::{SqliteRows, at_most};
use crate::store::engine::{EventRow, EventRows, Kept};

#[async_trait]
impl EventRows for SqliteRows {
    async fn append_event(&mut self, job: &str, event: &EventRow) -> Result<()> {
        self.needs_job(job);
        let query =
            sqlx::query("INSERT INTO job_events (job_id, number, at, kind, payload, offset) VALUES (?, ?, ?, ?, ?, ?)");
        let query = query.bind(job).bind(event.number).bind(event.at.micros());
        let query = match &event.what {
            Kept::State(job) => query.bind("state").bind(write(job)?).bind(None::<i64>),
            Kept::Output { offset, text } => {
                query.bind("output").bind(text).bind(Some(i64::try_from(*offset).unwrap_or(i64::MAX)))
            }
        };
        query.execute(self.connection()).await.map_err(failed)?;
        Ok(())
    }

    async fn events(&mut self, job: &str, after: i64, limit: usize) -> Result<Vec<EventRow>> {
        let rows = sqlx::query(
            "SELECT number, at, kind, payload, offset FROM job_events WHERE job_id = ? AND number > ?
             ORDER BY number LIMIT ?",
        )
        .bind(job)
        .bind(after)
        .bind(at_most(limit))
        .fetch_all(self.connection())
        .await
        .map_err(failed)?;
        let event = |row: &SqliteRow| {
            let text: String = row.get("payload");
            let what = match row.get::<&str, _>("kind") {
                "state" => Kept::State(read(&text)?),
                _ => Kept::Output { offset: offset_of(row), text },
            };
            Ok(EventRow { number: row.get("number"), at: Moment::from_micros(row.get("at")), what })
        };
        rows.iter().map(event).collect()
    }

    async fn output(&mut self, job: &str, offset: u64, pieces: usize) -> Result<Vec<(u64, String)>> {
        let rows = sqlx::query(
            "SELECT offset, payload FROM job_events WHERE job_id = ? AND offset >= coalesce(
                (SELECT max(offset) FROM job_events WHERE job_id = ? AND offset <= ?), 0)
             ORDER BY offset LIMIT ?",
        )
        .bind(job)
        .bind(job)
        .bind(i64::try_from(offset).unwrap_or(i64::MAX))
        .bind(at_most(pieces))
        .fetch_all(self.connection())
        .await
        .map_err(failed)?;
        Ok(rows.iter().map(|row| (offset_of(row), row.get("payload"))).collect())
    }
}

fn offset_of(row: &SqliteRow) -> u64 {
    row.get::<Option<i64>, _>("offset").and_then(|offset| u64::try_from(offset).ok()).unwrap_or(0)
}
