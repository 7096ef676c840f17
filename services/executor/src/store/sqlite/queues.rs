//! Jobs that wait, and what limits them.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::documents::{failed, job_of};
use super::{SqliteRows, at_most};
use crate::job::{Job, Queue};
use crate::store::engine::{Counted, QueueRows, Serialise};
use crate::wait::limits::LimitScope;
use crate::wait::scheduler::{Head, Turn};

#[async_trait]
impl QueueRows for SqliteRows {
    async fn heads(&mut self, now: Moment) -> Result<Vec<Head>> {
        let rows = sqlx::query(
            "SELECT tenant, controller, template, max(rank) AS rank, min(id) AS id FROM jobs
             WHERE due_at IS NOT NULL AND holder IS NULL AND due_at <= ?
             GROUP BY tenant, controller, template",
        )
        .bind(now.micros())
        .fetch_all(self.connection())
        .await
        .map_err(failed)?;
        let head = |row: &SqliteRow| Head {
            queue: Queue {
                tenant: TenantId::trusted(row.get("tenant")),
                controller: row.get("controller"),
                template: row.get("template"),
            },
            rank: row.get("rank"),
            job: row.get("id"),
        };
        Ok(rows.iter().map(head).collect())
    }

    async fn next_due(&mut self, now: Moment) -> Result<Option<Moment>> {
        let row = sqlx::query(
            "SELECT min(due_at) AS due FROM jobs WHERE due_at IS NOT NULL AND holder IS NULL AND due_at > ?",
        )
        .bind(now.micros())
        .fetch_one(self.connection())
        .await
        .map_err(failed)?;
        Ok(row.get::<Option<i64>, _>("due").map(Moment::from_micros))
    }

    async fn first_due(&mut self, turn: &Turn, not_held_back: i64, now: Moment) -> Result<Option<Job>> {
        self.needs(|| Serialise::Queue(turn.queue.clone()));
        let Queue { tenant, controller, template } = &turn.queue;
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT document, due_at, holder, fence FROM jobs WHERE due_at IS NOT NULL AND holder IS NULL AND tenant = ",
        );
        query.push_bind(tenant.as_str()).push(" AND controller = ").push_bind(controller);
        query.push(" AND template = ").push_bind(template);
        query.push(" AND due_at <= ").push_bind(now.micros());
        query.push(" AND rank >= ").push_bind(turn.from_rank);
        if !turn.without.is_empty() {
            query.push(" AND (rank >= ").push_bind(not_held_back).push(" OR principal NOT IN (");
            let mut list = query.separated(", ");
            for principal in &turn.without {
                list.push_bind(principal);
            }
            query.push("))");
        }
        query.push(" ORDER BY rank DESC, id LIMIT 1");
        let row = query.build().fetch_optional(self.connection()).await.map_err(failed)?;
        let job = row.map(|row| job_of(&row)).transpose()?;
        if let Some(job) = &job {
            self.ask(Serialise::Job(job.id.clone()));
        }
        Ok(job)
    }

    async fn waiting(&mut self, tenant: &str, template: Option<&str>, up_to: u32) -> Result<u32> {
        self.needs(|| Serialise::Waiting(tenant.to_owned(), template.map(str::to_owned)));
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT count(*) AS n FROM (SELECT 1 FROM jobs WHERE state = 'new' AND tenant = ",
        );
        query.push_bind(tenant);
        if let Some(template) = template {
            query.push(" AND template = ").push_bind(template);
        }
        query.push(" LIMIT ").push_bind(up_to).push(")");
        let row = query.build().fetch_one(self.connection()).await.map_err(failed)?;
        Ok(counted(&row))
    }

    async fn ahead_of(&mut self, job: &Job, up_to: u32) -> Result<u32> {
        let row = sqlx::query(
            "SELECT count(*) AS n FROM (
                SELECT 1 FROM jobs WHERE state = 'new' AND tenant = ? AND template = ? AND rank >= ?
                    AND (rank > ? OR id < ?) LIMIT ?)",
        )
        .bind(job.tenant.as_str())
        .bind(&job.template)
        .bind(job.rank())
        .bind(job.rank())
        .bind(&job.id)
        .bind(up_to)
        .fetch_one(self.connection())
        .await
        .map_err(failed)?;
        Ok(counted(&row))
    }

    async fn begun(&mut self, of: &Counted, skip: u32, limit: u32) -> Result<Vec<Moment>> {
        self.needs(|| under_way(of));
        let mut query = QueryBuilder::<Sqlite>::new("SELECT begun_at FROM jobs WHERE tenant = ");
        query.push_bind(&of.tenant).push(" AND ").push(column(of.scope)).push(" = ").push_bind(&of.name);
        query.push(" AND begun_at IS NOT NULL ORDER BY begun_at DESC LIMIT ").push_bind(limit);
        query.push(" OFFSET ").push_bind(skip);
        let rows = query.build().fetch_all(self.connection()).await.map_err(failed)?;
        Ok(rows.iter().map(|row| Moment::from_micros(row.get("begun_at"))).collect())
    }

    async fn under_way(&mut self, of: &Counted) -> Result<u32> {
        self.needs(|| under_way(of));
        let mut query = QueryBuilder::<Sqlite>::new("SELECT count(*) AS n FROM jobs WHERE tenant = ");
        query.push_bind(&of.tenant).push(" AND ").push(column(of.scope)).push(" = ").push_bind(&of.name);
        query.push(" AND state IN ('launching', 'running')");
        let row = query.build().fetch_one(self.connection()).await.map_err(failed)?;
        Ok(counted(&row))
    }

    async fn under_way_or_held(&mut self, of: &Counted) -> Result<u32> {
        self.needs(|| under_way(of));
        let mut query = QueryBuilder::<Sqlite>::new("SELECT (SELECT count(*) FROM jobs WHERE tenant = ");
        query.push_bind(&of.tenant).push(" AND ").push(column(of.scope)).push(" = ").push_bind(&of.name);
        query.push(" AND state IN ('launching', 'running'))");
        // Few are held, however many are new: SQLite would not guess that.
        query.push(" + (SELECT count(*) FROM jobs INDEXED BY jobs_held WHERE holder IS NOT NULL AND state = 'new'");
        query.push(" AND tenant = ").push_bind(&of.tenant);
        query.push(" AND ").push(column(of.scope)).push(" = ").push_bind(&of.name).push(") AS n");
        let row = query.build().fetch_one(self.connection()).await.map_err(failed)?;
        Ok(counted(&row))
    }

    async fn outdated(&mut self, queue: &Queue, launch_digest: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT id FROM jobs WHERE state = 'new' AND tenant = ?1 AND template = ?2 AND controller = ?3
                AND holder IS NULL AND (?4 IS NULL OR json_extract(document, '$.launch_digest') <> ?4) LIMIT ?5",
        )
        .bind(queue.tenant.as_str())
        .bind(&queue.template)
        .bind(&queue.controller)
        .bind(launch_digest)
        .bind(at_most(limit))
        .fetch_all(self.connection())
        .await
        .map_err(failed)?;
        Ok(rows.iter().map(|row| row.get("id")).collect())
    }

    async fn overdue(&mut self, now: Moment, limit: usize) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT id FROM jobs
             WHERE start_by IS NOT NULL AND due_at IS NOT NULL AND start_by < ? AND holder IS NULL
                -- What is cancelled ends as that, and must not stand before what is to be told that it is too late.
                AND NOT coalesce(json_extract(document, '$.cancel_requested'), 0)
                AND NOT EXISTS (SELECT 1 FROM attempts WHERE attempts.job_id = jobs.id AND attempts.open = 1)
             ORDER BY start_by LIMIT ?",
        )
        .bind(now.micros())
        .bind(at_most(limit))
        .fetch_all(self.connection())
        .await
        .map_err(failed)?;
        Ok(rows.iter().map(|row| row.get("id")).collect())
    }
}

fn under_way(of: &Counted) -> Serialise {
    Serialise::UnderWay(of.tenant.clone(), of.scope, of.name.clone())
}

/// By which column a scope's jobs are found.
const fn column(scope: LimitScope) -> &'static str {
    match scope {
        LimitScope::Template => "template",
        LimitScope::Controller => "controller",
        LimitScope::Principal => "principal",
    }
}

fn counted(row: &SqliteRow) -> u32 {
    u32::try_from(row.get::<i64, _>("n")).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
