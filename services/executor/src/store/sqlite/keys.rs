//! Idempotency keys.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use sqlx::Row as _;

use super::SqliteRows;
use super::documents::{failed, job_of};
use crate::job::Job;
use crate::store::engine::{Key, KeyRows, Serialise};

#[async_trait]
impl KeyRows for SqliteRows {
    async fn by_key(&mut self, key: &Key) -> Result<Option<(String, Job)>> {
        self.needs(|| Serialise::Key(key.clone()));
        sqlx::query(
            "SELECT i.body_digest, j.document, j.due_at, j.holder, j.fence
             FROM idempotency i JOIN jobs j ON j.id = i.job_id
             WHERE i.tenant = ? AND i.principal = ? AND i.key_hash = ?",
        )
        .bind(&key.tenant)
        .bind(&key.principal)
        .bind(&key.hash)
        .fetch_optional(self.connection())
        .await
        .map_err(failed)?
        .map(|row| Ok((row.get("body_digest"), job_of(&row)?)))
        .transpose()
    }

    async fn put_key(&mut self, key: &Key, body_digest: &str, job: &Job) -> Result<()> {
        self.needs(|| Serialise::Key(key.clone()));
        sqlx::query(
            "INSERT INTO idempotency (tenant, principal, key_hash, body_digest, job_id, created_at)
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(&key.tenant)
        .bind(&key.principal)
        .bind(&key.hash)
        .bind(body_digest)
        .bind(&job.id)
        .bind(job.created_at.micros())
        .execute(self.connection())
        .await
        .map_err(failed)?;
        Ok(())
    }

    async fn forget_keys(&mut self, before: Moment) -> Result<()> {
        sqlx::query("DELETE FROM idempotency WHERE created_at < ?")
            .bind(before.micros())
            .execute(self.connection())
            .await
            .map_err(failed)?;
        Ok(())
    }
}
