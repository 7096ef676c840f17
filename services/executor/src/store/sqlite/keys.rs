//! Idempotency keys.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use rusqlite::params;

use super::SqliteRows;
use super::documents::job_of;
use super::sql::{self, get};
use crate::job::Job;
use crate::store::engine::{Key, KeyRows, Serialise};

#[async_trait]
impl KeyRows for SqliteRows<'_> {
    async fn by_key(&mut self, key: &Key) -> Result<Option<(String, Job)>> {
        self.needs(|| Serialise::Key(key.clone()));
        let sql = "SELECT j.document, j.due_at, j.holder, j.fence, i.body_digest
             FROM idempotency i JOIN jobs j ON j.id = i.job_id
             WHERE i.tenant = ? AND i.principal = ? AND i.key_hash = ?";
        let with = params![key.tenant, key.principal, key.hash];
        sql::one(self.connection(), sql, with, |row| Ok((get(row, 4)?, job_of(row)?)))
    }

    async fn put_key(&mut self, key: &Key, body_digest: &str, job: &Job) -> Result<()> {
        self.needs(|| Serialise::Key(key.clone()));
        self.run(
            "INSERT INTO idempotency (tenant, principal, key_hash, body_digest, job_id, created_at)
             VALUES (?, ?, ?, ?, ?, ?)",
            params![key.tenant, key.principal, key.hash, body_digest, job.id, job.created_at.micros()],
        )?;
        Ok(())
    }

    async fn forget_keys(&mut self, before: Moment) -> Result<()> {
        self.run("DELETE FROM idempotency WHERE created_at < ?", params![before.micros()])?;
        Ok(())
    }
}
