//! What is followed, in SQLite.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use sqlx::Row as _;

use super::SqliteJobs;
use crate::job::{Job, JobState};
use crate::store::rows::{failed, job_of};
use crate::store::{Changed, Silence, Watches};

#[async_trait]
impl Watches for SqliteJobs {
    async fn version(&self) -> Result<i64> {
        let row = sqlx::query("SELECT version FROM feed").fetch_one(&self.database.read).await.map_err(failed)?;
        Ok(row.get("version"))
    }

    async fn running(&self, after: &str, limit: usize) -> Result<Vec<Job>> {
        let rows = sqlx::query(
            "SELECT document, due_at, holder, fence FROM jobs WHERE state = 'running' AND id > ? ORDER BY id LIMIT ?",
        )
        .bind(after)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.database.read)
        .await
        .map_err(failed)?;
        rows.iter().map(job_of).collect()
    }

    async fn changed(&self, after: i64, limit: usize) -> Result<Vec<Changed>> {
        let rows = sqlx::query(
            "SELECT version, id, state, document, due_at, holder, fence FROM jobs WHERE version > ?
             ORDER BY version LIMIT ?",
        )
        .bind(after)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.database.read)
        .await
        .map_err(failed)?;
        let changed = |row: &sqlx::sqlite::SqliteRow| {
            let runs = row.get::<&str, _>("state") == JobState::Running.name();
            let running = if runs { Some(Box::new(job_of(row)?)) } else { None };
            Ok(Changed { version: row.get("version"), id: row.get("id"), running })
        };
        rows.iter().map(changed).collect()
    }

    async fn watch(&self, tenant: &str, controller: &str, holder: &str) -> Result<bool> {
        const HOLDER: &str = "SELECT holder FROM watches WHERE tenant = ? AND controller = ?";
        let found = sqlx::query(HOLDER)
            .bind(tenant)
            .bind(controller)
            .fetch_optional(&self.database.read)
            .await
            .map_err(failed)?;
        if let Some(row) = found {
            return Ok(row.get::<&str, _>("holder") == holder);
        }
        sqlx::query("INSERT INTO watches (tenant, controller, holder) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
            .bind(tenant)
            .bind(controller)
            .bind(holder)
            .execute(&self.database.write)
            .await
            .map_err(failed)?;
        let row = sqlx::query(HOLDER)
            .bind(tenant)
            .bind(controller)
            .fetch_optional(&self.database.write)
            .await
            .map_err(failed)?;
        Ok(row.is_some_and(|row| row.get::<&str, _>("holder") == holder))
    }

    async fn unwatch(&self, holder: &str) -> Result<()> {
        sqlx::query("DELETE FROM watches WHERE holder = ?")
            .bind(holder)
            .execute(&self.database.write)
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn silences(&self, tenant: &str) -> Result<Vec<Silence>> {
        let rows = sqlx::query("SELECT controller, since, why FROM silences WHERE tenant = ? ORDER BY controller")
            .bind(tenant)
            .fetch_all(&self.database.read)
            .await
            .map_err(failed)?;
        let silence = |row: &sqlx::sqlite::SqliteRow| Silence {
            controller: row.get("controller"),
            since: Moment::from_micros(row.get("since")),
            why: row.get("why"),
        };
        Ok(rows.iter().map(silence).collect())
    }

    async fn silent(&self, tenant: &str, silence: &Silence) -> Result<()> {
        sqlx::query(
            "INSERT INTO silences (tenant, controller, since, why) VALUES (?, ?, ?, ?)
             ON CONFLICT (tenant, controller) DO UPDATE SET since = excluded.since, why = excluded.why",
        )
        .bind(tenant)
        .bind(&silence.controller)
        .bind(silence.since.micros())
        .bind(&silence.why)
        .execute(&self.database.write)
        .await
        .map_err(failed)?;
        Ok(())
    }

    async fn heard(&self, tenant: &str, controller: &str) -> Result<()> {
        sqlx::query("DELETE FROM silences WHERE tenant = ? AND controller = ?")
            .bind(tenant)
            .bind(controller)
            .execute(&self.database.write)
            .await
            .map_err(failed)?;
        Ok(())
    }
}
