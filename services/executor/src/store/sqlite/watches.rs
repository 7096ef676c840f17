//! What is followed.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use rusqlite::params;

use super::documents::job_of;
use super::sql::{self, get, text};
use super::{SqliteRows, at_most};
use crate::job::{Job, JobState};
use crate::store::engine::WatchRows;
use crate::store::{Changed, Silence};

/// One walk along an index, whatever waits or has finished.
pub(super) const CHANGED_JOBS: &str = "SELECT document, due_at, holder, fence, version FROM jobs WHERE version > ?
     ORDER BY version LIMIT ?";

#[async_trait]
impl WatchRows for SqliteRows<'_> {
    async fn version(&mut self) -> Result<i64> {
        sql::the(self.connection(), "SELECT version FROM feed", (), |row| get(row, 0))
    }

    async fn running(&mut self, after: &str, limit: usize) -> Result<Vec<Job>> {
        let sql =
            "SELECT document, due_at, holder, fence FROM jobs WHERE state = 'running' AND id > ? ORDER BY id LIMIT ?";
        sql::all(self.connection(), sql, params![after, at_most(limit)], job_of)
    }

    async fn changed(&mut self, after: i64, limit: usize) -> Result<Vec<Changed>> {
        let sql = "SELECT document, due_at, holder, fence, version, id, state FROM jobs WHERE version > ?
             ORDER BY version LIMIT ?";
        sql::all(self.connection(), sql, params![after, at_most(limit)], |row| {
            let runs = text(row, 6)? == JobState::Running.name();
            let running = if runs { Some(Box::new(job_of(row)?)) } else { None };
            Ok(Changed { version: get(row, 4)?, id: get(row, 5)?, running })
        })
    }

    async fn changed_jobs(&mut self, after: i64, limit: usize) -> Result<Vec<(i64, Job)>> {
        sql::all(self.connection(), CHANGED_JOBS, params![after, at_most(limit)], |row| {
            Ok((get(row, 4)?, job_of(row)?))
        })
    }

    async fn follower(&mut self, tenant: &str, controller: &str) -> Result<Option<String>> {
        let sql = "SELECT holder FROM watches WHERE tenant = ? AND controller = ?";
        sql::one(self.connection(), sql, params![tenant, controller], |row| get(row, 0))
    }

    async fn put_follower(&mut self, tenant: &str, controller: &str, holder: &str) -> Result<()> {
        self.run(
            "INSERT INTO watches (tenant, controller, holder) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            params![tenant, controller, holder],
        )?;
        Ok(())
    }

    async fn remove_follower(&mut self, holder: &str) -> Result<()> {
        self.run("DELETE FROM watches WHERE holder = ?", params![holder])?;
        Ok(())
    }

    async fn silences(&mut self, tenant: &str) -> Result<Vec<Silence>> {
        let sql = "SELECT controller, since, why FROM silences WHERE tenant = ? ORDER BY controller";
        sql::all(self.connection(), sql, params![tenant], |row| {
            Ok(Silence { controller: get(row, 0)?, since: Moment::from_micros(get(row, 1)?), why: get(row, 2)? })
        })
    }

    async fn put_silence(&mut self, tenant: &str, silence: &Silence) -> Result<()> {
        self.run(
            "INSERT INTO silences (tenant, controller, since, why) VALUES (?, ?, ?, ?)
             ON CONFLICT (tenant, controller) DO UPDATE SET since = excluded.since, why = excluded.why",
            params![tenant, silence.controller, silence.since.micros(), silence.why],
        )?;
        Ok(())
    }

    async fn remove_silence(&mut self, tenant: &str, controller: &str) -> Result<()> {
        self.run("DELETE FROM silences WHERE tenant = ? AND controller = ?", params![tenant, controller])?;
        Ok(())
    }
}
