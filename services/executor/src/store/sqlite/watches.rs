//! What is followed.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::documents::{failed, job_of};
use super::{SqliteRows, at_most};
use crate::job::{Job, JobState};
use crate::store::engine::WatchRows;
use crate::store::{Changed, Silence};

#[async_trait]
impl WatchRows for SqliteRows {
    async fn version(&mut self) -> Result<i64> {
        let row = sqlx::query("SELECT version FROM feed").fetch_one(self.connection()).await.map_err(failed)?;
        Ok(row.get("version"))
    }

    async fn running(&mut self, after: &str, limit: usize) -> Result<Vec<Job>> {
        let rows = sqlx::query(
            "SELECT document, due_at, holder, fence FROM jobs WHERE state = 'running' AND id > ? ORDER BY id LIMIT ?",
        )
        .bind(after)
        .bind(at_most(limit))
        .fetch_all(self.connection())
        .await
        .map_err(failed)?;
        rows.iter().map(job_of).collect()
    }

    async fn changed(&mut self, after: i64, limit: usize) -> Result<Vec<Changed>> {
        let rows = sqlx::query(
            "SELECT version, id, state, document, due_at, holder, fence FROM jobs WHERE version > ?
             ORDER BY version LIMIT ?",
        )
        .bind(after)
        .bind(at_most(limit))
        .fetch_all(self.connection())
        .await
        .map_err(failed)?;
        let changed = |row: &SqliteRow| {
            let runs = row.get::<&str, _>("state") == JobState::Running.name();
            let running = if runs { Some(Box::new(job_of(row)?)) } else { None };
            Ok(Changed { version: row.get("version"), id: row.get("id"), running })
        };
        rows.iter().map(changed).collect()
    }

    async fn follower(&mut self, tenant: &str, controller: &str) -> Result<Option<String>> {
        let row = sqlx::query("SELECT holder FROM watches WHERE tenant = ? AND controller = ?")
            .bind(tenant)
            .bind(controller)
            .fetch_optional(self.connection())
            .await
            .map_err(failed)?;
        Ok(row.map(|row| row.get("holder")))
    }

    async fn put_follower(&mut self, tenant: &str, controller: &str, holder: &str) -> Result<()> {
        sqlx::query("INSERT INTO watches (tenant, controller, holder) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
            .bind(tenant)
            .bind(controller)
            .bind(holder)
            .execute(self.connection())
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn remove_follower(&mut self, holder: &str) -> Result<()> {
        sqlx::query("DELETE FROM watches WHERE holder = ?")
            .bind(holder)
            .execute(self.connection())
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn silences(&mut self, tenant: &str) -> Result<Vec<Silence>> {
        let rows = sqlx::query("SELECT controller, since, why FROM silences WHERE tenant = ? ORDER BY controller")
            .bind(tenant)
            .fetch_all(self.connection())
            .await
            .map_err(failed)?;
        let silence = |row: &SqliteRow| Silence {
            controller: row.get("controller"),
            since: Moment::from_micros(row.get("since")),
            why: row.get("why"),
        };
        Ok(rows.iter().map(silence).collect())
    }

    async fn put_silence(&mut self, tenant: &str, silence: &Silence) -> Result<()> {
        sqlx::query(
            "INSERT INTO silences (tenant, controller, since, why) VALUES (?, ?, ?, ?)
             ON CONFLICT (tenant, controller) DO UPDATE SET since = excluded.since, why = excluded.why",
        )
        .bind(tenant)
        .bind(&silence.controller)
        .bind(silence.since.micros())
        .bind(&silence.why)
        .execute(self.connection())
        .await
        .map_err(failed)?;
        Ok(())
    }

    async fn remove_silence(&mut self, tenant: &str, controller: &str) -> Result<()> {
        sqlx::query("DELETE FROM silences WHERE tenant = ? AND controller = ?")
            .bind(tenant)
            .bind(controller)
            .execute(self.connection())
            .await
            .map_err(failed)?;
        Ok(())
    }
}
