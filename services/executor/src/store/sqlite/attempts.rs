//! Attempts.

use async_trait::async_trait;
use runwarden_awx::Installation;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::SqliteRows;
use super::documents::{failed, read, write};
use crate::job::{Attempt, Queue};
use crate::store::engine::{AttemptRows, Serialise};

#[async_trait]
impl AttemptRows for SqliteRows {
    async fn last_attempt(&mut self, job: &str) -> Result<Option<Attempt>> {
        self.needs_job(job);
        sqlx::query("SELECT document FROM attempts WHERE job_id = ? ORDER BY number DESC LIMIT 1")
            .bind(job)
            .fetch_optional(self.connection())
            .await
            .map_err(failed)?
            .map(|row| read(row.get("document")))
            .transpose()
    }

    async fn attempts(&mut self, job: &str) -> Result<Vec<Attempt>> {
        let rows = sqlx::query("SELECT document FROM attempts WHERE job_id = ? ORDER BY number")
            .bind(job)
            .fetch_all(self.connection())
            .await
            .map_err(failed)?;
        rows.iter().map(|row| read(row.get("document"))).collect()
    }

    async fn put_attempt(&mut self, attempt: &Attempt) -> Result<()> {
        self.needs_job(&attempt.job_id);
        sqlx::query(
            "INSERT INTO attempts (job_id, number, installation, controller_template, marked, open, document)
             VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (job_id, number) DO UPDATE SET open = excluded.open, document = excluded.document",
        )
        .bind(&attempt.job_id)
        .bind(attempt.number)
        .bind(attempt.installation.key())
        .bind(attempt.controller_template)
        .bind(attempt.is_marked())
        .bind(attempt.is_open())
        .bind(write(attempt)?)
        .execute(self.connection())
        .await
        .map_err(failed)?;
        Ok(())
    }

    async fn oldest_open(&mut self) -> Result<Option<Moment>> {
        let row = sqlx::query(
            "SELECT min(json_extract(a.document, '$.sent_at')) AS at
             FROM attempts a INDEXED BY attempts_open CROSS JOIN jobs j ON j.id = a.job_id
             WHERE a.open = 1 AND j.state = 'launching'",
        )
        .fetch_one(self.connection())
        .await
        .map_err(failed)?;
        Ok(row.get::<Option<i64>, _>("at").map(Moment::from_micros))
    }

    async fn open_at(
        &mut self,
        controller_template: i64,
        unmarked_only: bool,
        other_than: &str,
    ) -> Result<Vec<Installation>> {
        self.needs(|| Serialise::ControllerTemplate(controller_template));
        let rows = sqlx::query(
            "SELECT DISTINCT json_extract(document, '$.installation') AS installation,
                    json_type(document, '$.installation') AS kind FROM attempts
             WHERE open = 1 AND controller_template = ? AND job_id <> ? AND (marked = 0 OR ? = 0)",
        )
        .bind(controller_template)
        .bind(other_than)
        .bind(unmarked_only)
        .fetch_all(self.connection())
        .await
        .map_err(failed)?;
        let open = |row: &SqliteRow| {
            let text: String = row.get("installation");
            // Text of an earlier version stands for itself.
            let text = if row.get::<&str, _>("kind") == "text" { write(&text)? } else { text };
            read(&text)
        };
        rows.iter().map(open).collect()
    }

    async fn unmarked_of(&mut self, queue: &Queue, other_than: &str) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT DISTINCT json_extract(j.document, '$.launch_digest') AS digest
             -- Few are open, however many wait: SQLite would not guess that.
             FROM attempts a INDEXED BY attempts_open CROSS JOIN jobs j ON j.id = a.job_id
             WHERE a.open = 1 AND a.marked = 0 AND j.id <> ? AND j.tenant = ? AND j.controller = ? AND j.template = ?",
        )
        .bind(other_than)
        .bind(queue.tenant.as_str())
        .bind(&queue.controller)
        .bind(&queue.template)
        .fetch_all(self.connection())
        .await
        .map_err(failed)?;
        Ok(rows.iter().map(|row| row.get("digest")).collect())
    }
}
