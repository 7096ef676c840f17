//! Events of jobs.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use rusqlite::{Row, params};

use super::sql::{self, get, text};
use super::{SqliteRows, at_most};
use crate::store::engine::{EventRow, EventRows, Kept};

#[async_trait]
impl EventRows for SqliteRows<'_> {
    async fn append_event(&mut self, job: &str, event: &EventRow) -> Result<()> {
        self.needs_job(job);
        let sql = "INSERT INTO job_events (job_id, number, at, kind, payload, offset) VALUES (?, ?, ?, ?, ?, ?)";
        let (number, at) = (event.number, event.at.micros());
        match &event.what {
            Kept::State(state) => self.run(sql, params![job, number, at, "state", state, None::<i64>]),
            Kept::Output { offset, text } => {
                let offset = i64::try_from(*offset).unwrap_or(i64::MAX);
                self.run(sql, params![job, number, at, "output", text, offset])
            }
        }?;
        Ok(())
    }

    async fn events(&mut self, job: &str, after: i64, limit: usize) -> Result<Vec<EventRow>> {
        let sql = "SELECT number, at, kind, payload, offset FROM job_events WHERE job_id = ? AND number > ?
             ORDER BY number LIMIT ?";
        sql::all(self.connection(), sql, params![job, after, at_most(limit)], |row| {
            let what = match text(row, 2)? {
                "state" => Kept::State(get(row, 3)?),
                _ => Kept::Output { offset: offset_of(row, 4)?, text: get(row, 3)? },
            };
            Ok(EventRow { number: get(row, 0)?, at: Moment::from_micros(get(row, 1)?), what })
        })
    }

    async fn output(&mut self, job: &str, offset: u64, pieces: usize) -> Result<Vec<(u64, String)>> {
        let sql = "SELECT offset, payload FROM job_events WHERE job_id = ?1 AND offset >= coalesce(
                (SELECT max(offset) FROM job_events WHERE job_id = ?1 AND offset <= ?2), 0)
             ORDER BY offset LIMIT ?3";
        let with = params![job, i64::try_from(offset).unwrap_or(i64::MAX), at_most(pieces)];
        sql::all(self.connection(), sql, with, |row| Ok((offset_of(row, 0)?, get(row, 1)?)))
    }
}

fn offset_of(row: &Row<'_>, column: usize) -> Result<u64> {
    Ok(get::<Option<i64>>(row, column)?.and_then(|offset| u64::try_from(offset).ok()).unwrap_or(0))
}
