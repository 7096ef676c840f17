//! Attempts.

use async_trait::async_trait;
use runwarden_awx::Installation;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use rusqlite::params;

use super::SqliteRows;
use super::documents::{moment, read, write};
use super::sql::{self, get, text};
use crate::job::{Attempt, Queue};
use crate::store::engine::{AttemptRows, Serialise};

/// On which installations attempts at a controller's template are open.
const OPEN: &str = "SELECT json_extract(document, '$.installation'), json_type(document, '$.installation')
    FROM attempts INDEXED BY attempts_open WHERE open = 1 AND controller_template = ? AND job_id <> ?";
/// The same, of those without a marker.
const OPEN_UNMARKED: &str = "SELECT json_extract(document, '$.installation'), json_type(document, '$.installation')
    FROM attempts INDEXED BY attempts_unmarked
    WHERE open = 1 AND marked = 0 AND controller_template = ? AND job_id <> ?";

#[async_trait]
impl AttemptRows for SqliteRows<'_> {
    async fn last_attempt(&mut self, job: &str) -> Result<Option<Attempt>> {
        self.needs_job(job);
        let sql = "SELECT document FROM attempts WHERE job_id = ? ORDER BY number DESC LIMIT 1";
        sql::one(self.connection(), sql, params![job], |row| read(text(row, 0)?))
    }

    async fn attempts(&mut self, job: &str) -> Result<Vec<Attempt>> {
        let sql = "SELECT document FROM attempts WHERE job_id = ? ORDER BY number";
        sql::all(self.connection(), sql, params![job], |row| read(text(row, 0)?))
    }

    async fn put_attempt(&mut self, attempt: &Attempt) -> Result<()> {
        self.needs_job(&attempt.job_id);
        self.run(
            "INSERT INTO attempts (job_id, number, installation, controller_template, marked, open, document)
             VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (job_id, number) DO UPDATE SET open = excluded.open, document = excluded.document",
            params![
                attempt.job_id,
                attempt.number,
                attempt.installation.key(),
                attempt.controller_template,
                attempt.is_marked(),
                attempt.is_open(),
                write(attempt)?,
            ],
        )?;
        Ok(())
    }

    async fn oldest_open(&mut self) -> Result<Option<Moment>> {
        let sql = "SELECT min(json_extract(a.document, '$.sent_at'))
             FROM attempts a INDEXED BY attempts_open CROSS JOIN jobs j ON j.id = a.job_id
             WHERE a.open = 1 AND j.state = 'launching'";
        sql::the(self.connection(), sql, (), |row| moment(row, 0))
    }

    async fn open_at(
        &mut self,
        controller_template: i64,
        unmarked_only: bool,
        other_than: &str,
    ) -> Result<Vec<Installation>> {
        self.needs(|| Serialise::ControllerTemplate(controller_template));
        let sql = if unmarked_only { OPEN_UNMARKED } else { OPEN };
        sql::all(self.connection(), sql, params![controller_template, other_than], |row| {
            let installation = text(row, 0)?;
            // Text of an earlier version stands for itself.
            if text(row, 1)? == "text" { read(&write(&installation)?) } else { read(installation) }
        })
    }

    async fn unmarked_of(&mut self, queue: &Queue, other_than: &str) -> Result<Vec<String>> {
        let sql = "SELECT json_extract(j.document, '$.launch_digest')
             -- Few are open, however many wait: SQLite would not guess that.
             FROM attempts a INDEXED BY attempts_unmarked CROSS JOIN jobs j ON j.id = a.job_id
             WHERE a.open = 1 AND a.marked = 0 AND j.id <> ? AND j.tenant = ? AND j.controller = ? AND j.template = ?";
        let with = params![other_than, queue.tenant.as_str(), queue.controller, queue.template];
        sql::all(self.connection(), sql, with, |row| get(row, 0))
    }
}
