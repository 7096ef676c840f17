//! Jobs.

use async_trait::async_trait;
use runwarden_awx::Installation;
use runwarden_kit::caller::Visible;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result};
use rusqlite::params;

use super::documents::{job_of, moment, read};
use super::sql::{self, Assembled, at_length, get, text};
use super::{SqliteRows, at_most};
use crate::job::{Bound, Job, Lease, Run};
use crate::store::JobFilter;
use crate::store::engine::{FoundBy, JobRows, Revision, Serialise};

#[async_trait]
impl JobRows for SqliteRows<'_> {
    async fn job(&mut self, id: &str) -> Result<Option<Job>> {
        self.needs_job(id);
        let sql = "SELECT document, due_at, holder, fence FROM jobs WHERE id = ?";
        sql::one(self.connection(), sql, params![id], job_of)
    }

    async fn job_at(&mut self, id: &str) -> Result<Option<(Revision, Job)>> {
        self.needs_job(id);
        let sql = "SELECT document, due_at, holder, fence, version FROM jobs WHERE id = ?";
        sql::one(self.connection(), sql, params![id], |row| {
            let job = job_of(row)?;
            Ok((Revision { version: get(row, 4)?, due_at: job.due_at, lease: job.lease.clone() }, job))
        })
    }

    async fn revision(&mut self, id: &str) -> Result<Option<Revision>> {
        self.needs_job(id);
        let sql = "SELECT version, due_at, holder, fence FROM jobs WHERE id = ?";
        sql::one(self.connection(), sql, params![id], |row| {
            let lease = Lease { holder: get(row, 2)?, fence: get(row, 3)? };
            Ok(Revision { version: get(row, 0)?, due_at: moment(row, 1)?, lease })
        })
    }

    async fn job_of(&mut self, tenant: &str, id: &str) -> Result<Option<Job>> {
        let sql = "SELECT document, due_at, holder, fence FROM jobs WHERE tenant = ? AND id = ?";
        sql::one(self.connection(), sql, params![tenant, id], job_of)
    }

    async fn jobs(&mut self, tenant: &TenantId, visible: &Visible, filter: JobFilter) -> Result<Vec<Job>> {
        let mut query = Assembled::new("SELECT document, due_at, holder, fence FROM jobs WHERE tenant = ");
        query.bind(tenant.as_str().to_owned());
        if let Visible::Projects(projects) = visible {
            query.push(" AND project IN ").list(projects.iter().cloned());
        }
        if !filter.states.is_empty() {
            query.push(" AND state IN ").list(filter.states.into_iter().map(|state| state.name().to_owned()));
        }
        if let Some(template) = filter.template {
            query.push(" AND template = ").bind(template);
        }
        if let Some(project) = filter.project {
            query.push(" AND project = ").bind(project);
        }
        if let Some(after) = filter.created_after {
            query.push(" AND created_at > ").bind(after.micros());
        }
        if let Some(before) = filter.before {
            query.push(" AND id < ").bind(before);
        }
        query.push(" ORDER BY id DESC LIMIT ").bind(at_most(filter.limit));
        at_length(|| sql::all(self.connection(), query.sql(), query.values(), job_of))
    }

    async fn insert_job(&mut self, job: &Job, document: &str) -> Result<()> {
        self.needs_job(&job.id);
        let version = self.next_version()?;
        let FoundBy { state, due_at, run, lease, rank, begun_at } = FoundBy::of(job);
        let (installation, run_id, created) =
            run.map_or((None, None, 0), |(key, id, created)| (Some(key), Some(id), created));
        self.run(
            "INSERT INTO jobs (id, tenant, project, template, controller, principal, created_at, start_by, launch_digest,
                               state, due_at, installation, run_id, run_created, document, holder, fence, rank, begun_at,
                               version)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                job.id,
                job.tenant.as_str(),
                job.project,
                job.template,
                job.controller,
                job.requested_by,
                job.created_at.micros(),
                job.start_by.map(Moment::micros),
                job.launch_digest,
                state.name(),
                due_at.map(Moment::micros),
                installation,
                run_id,
                created,
                document,
                lease.holder,
                lease.fence,
                rank,
                begun_at.map(Moment::micros),
                version,
            ],
        )?;
        Ok(())
    }

    async fn save_job(&mut self, before: &FoundBy, job: &Job, document: &str) -> Result<()> {
        self.needs_job(&job.id);
        let version = self.next_version()?;
        let now = FoundBy::of(job);
        // A column that is named is written anew into each index that has it, whatever its value: most stay as they are.
        let mut update = Assembled::new("UPDATE jobs SET document = ");
        update.bind(document.to_owned()).push(", version = ").bind(version);
        if now.state != before.state {
            update.push(", state = ").bind(now.state.name().to_owned());
        }
        if now.due_at != before.due_at {
            update.push(", due_at = ").bind(now.due_at.map(Moment::micros));
        }
        if now.run != before.run {
            let (installation, id, created) =
                now.run.map_or((None, None, 0), |(key, id, at)| (Some(key), Some(id), at));
            update.push(", installation = ").bind(installation);
            update.push(", run_id = ").bind(id).push(", run_created = ").bind(created);
        }
        if now.lease != before.lease {
            update.push(", holder = ").bind(now.lease.holder).push(", fence = ").bind(now.lease.fence);
        }
        if now.rank != before.rank {
            update.push(", rank = ").bind(now.rank);
        }
        if now.begun_at != before.begun_at {
            update.push(", begun_at = ").bind(now.begun_at.map(Moment::micros));
        }
        update.push(" WHERE id = ").bind(job.id.clone());
        if self.run(update.sql(), update.values())? == 1 {
            return Ok(());
        }
        Err(Error::internal(anyhow::anyhow!("the row of {} was not there to be written", job.id)))
    }

    async fn save_lease(&mut self, job: &Job) -> Result<()> {
        self.needs_job(&job.id);
        let sql = "UPDATE jobs SET holder = ?, fence = ? WHERE id = ?";
        self.run(sql, params![job.lease.holder, job.lease.fence, job.id])?;
        Ok(())
    }

    async fn release(&mut self, job: &str, fence: i64) -> Result<()> {
        let sql = "UPDATE jobs SET holder = NULL WHERE id = ? AND fence = ? AND holder IS NOT NULL";
        self.run(sql, params![job, fence])?;
        Ok(())
    }

    async fn bound(&mut self, ids: &[i64], other_than: &str) -> Result<Vec<Bound>> {
        for id in ids {
            self.needs(|| Serialise::Run(*id));
        }
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = Assembled::new(
            "SELECT json_extract(document, '$.run'), json_extract(document, '$.launched_at') FROM jobs WHERE id <> ",
        );
        query.bind(other_than.to_owned()).push(" AND run_id IN ").list(ids.iter().copied());
        sql::all(self.connection(), query.sql(), query.values(), |row| {
            Ok(Bound { run: read(text(row, 0)?)?, at: moment(row, 1)? })
        })
    }

    async fn latest_run(&mut self, installation: &Installation, by: Moment) -> Result<Option<Run>> {
        let sql = "SELECT json_extract(document, '$.run') FROM jobs
             WHERE installation IN (?, ?) AND run_created > 0 AND run_created <= ? ORDER BY run_created DESC LIMIT 1";
        // Under its address is what was bound while it gave no uuid.
        let with = params![installation.key(), installation.address(), by.micros()];
        sql::one(self.connection(), sql, with, |row| read(text(row, 0)?))
    }
}

impl SqliteRows<'_> {
    /// The number of a change. It is drawn inside the transaction that writes the change, and there is one at a time: they
    /// become visible in their order.
    fn next_version(&self) -> Result<i64> {
        sql::the(self.connection(), "UPDATE feed SET version = version + 1 RETURNING version", (), |row| get(row, 0))
    }
}
