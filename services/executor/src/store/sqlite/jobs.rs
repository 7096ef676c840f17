//! Jobs.

use async_trait::async_trait;
use runwarden_awx::Installation;
use runwarden_kit::caller::Visible;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::documents::{failed, job_of, read, write};
use super::{SqliteRows, at_most};
use crate::job::{Bound, Job, Run};
use crate::store::JobFilter;
use crate::store::engine::{JobRows, Serialise};

#[async_trait]
impl JobRows for SqliteRows {
    async fn job(&mut self, id: &str) -> Result<Option<Job>> {
        self.needs_job(id);
        sqlx::query("SELECT document, due_at, holder, fence FROM jobs WHERE id = ?")
            .bind(id)
            .fetch_optional(self.connection())
            .await
            .map_err(failed)?
            .map(|row| job_of(&row))
            .transpose()
    }

    async fn job_of(&mut self, tenant: &str, id: &str) -> Result<Option<Job>> {
        sqlx::query("SELECT document, due_at, holder, fence FROM jobs WHERE tenant = ? AND id = ?")
            .bind(tenant)
            .bind(id)
            .fetch_optional(self.connection())
            .await
            .map_err(failed)?
            .map(|row| job_of(&row))
            .transpose()
    }

    async fn jobs(&mut self, tenant: &TenantId, visible: &Visible, filter: JobFilter) -> Result<Vec<Job>> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT document, due_at, holder, fence FROM jobs WHERE tenant = ");
        query.push_bind(tenant.as_str().to_owned());
        if let Visible::Projects(projects) = visible {
            among(&mut query, "project", projects.iter().cloned());
        }
        if !filter.states.is_empty() {
            among(&mut query, "state", filter.states.into_iter().map(|s| s.name().to_owned()));
        }
        if let Some(template) = filter.template {
            query.push(" AND template = ").push_bind(template);
        }
        if let Some(project) = filter.project {
            query.push(" AND project = ").push_bind(project);
        }
        if let Some(after) = filter.created_after {
            query.push(" AND created_at > ").push_bind(after.micros());
        }
        if let Some(before) = filter.before {
            query.push(" AND id < ").push_bind(before);
        }
        query.push(" ORDER BY id DESC LIMIT ").push_bind(at_most(filter.limit));
        let rows = query.build().fetch_all(self.connection()).await.map_err(failed)?;
        rows.iter().map(job_of).collect()
    }

    async fn insert_job(&mut self, job: &Job) -> Result<()> {
        self.needs_job(&job.id);
        let version = next_version(self.connection()).await?;
        let query = sqlx::query(
            "INSERT INTO jobs (state, due_at, installation, run_id, run_created, document, holder, fence, rank, begun_at,
                               start_by, version, id, tenant, project, template, controller, principal, created_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        );
        let query = with_columns(query, job, version)?;
        let query = query.bind(job.tenant.as_str()).bind(&job.project).bind(&job.template).bind(&job.controller);
        let query = query.bind(&job.requested_by).bind(job.created_at.micros());
        query.execute(self.connection()).await.map_err(failed)?;
        Ok(())
    }

    async fn save_job(&mut self, job: &Job) -> Result<()> {
        self.needs_job(&job.id);
        let version = next_version(self.connection()).await?;
        let query = sqlx::query(
            "UPDATE jobs SET state = ?, due_at = ?, installation = ?, run_id = ?, run_created = ?, document = ?,
                             holder = ?, fence = ?, rank = ?, begun_at = ?, start_by = ?, version = ?
             WHERE id = ?",
        );
        let done = with_columns(query, job, version)?.execute(self.connection()).await.map_err(failed)?;
        if done.rows_affected() == 1 {
            return Ok(());
        }
        Err(Error::internal(anyhow::anyhow!("the row of {} was not there to be written", job.id)))
    }

    async fn save_lease(&mut self, job: &Job) -> Result<()> {
        self.needs_job(&job.id);
        sqlx::query("UPDATE jobs SET holder = ?, fence = ? WHERE id = ?")
            .bind(&job.lease.holder)
            .bind(job.lease.fence)
            .bind(&job.id)
            .execute(self.connection())
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn release(&mut self, job: &str, fence: i64) -> Result<()> {
        sqlx::query("UPDATE jobs SET holder = NULL WHERE id = ? AND fence = ? AND holder IS NOT NULL")
            .bind(job)
            .bind(fence)
            .execute(self.connection())
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn bound(&mut self, ids: &[i64], other_than: &str) -> Result<Vec<Bound>> {
        for id in ids {
            self.needs(|| Serialise::Run(*id));
        }
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT json_extract(document, '$.run') AS run, json_extract(document, '$.launched_at') AS at FROM jobs
             WHERE id <> ",
        );
        query.push_bind(other_than.to_owned()).push(" AND run_id IN (");
        let mut list = query.separated(", ");
        for id in ids {
            list.push_bind(*id);
        }
        query.push(")");
        let rows = query.build().fetch_all(self.connection()).await.map_err(failed)?;
        let bound = |row: &SqliteRow| {
            let at = row.get::<Option<i64>, _>("at").map(Moment::from_micros);
            Ok(Bound { run: read(row.get("run"))?, at })
        };
        rows.iter().map(bound).collect()
    }

    async fn latest_run(&mut self, installation: &Installation, by: Moment) -> Result<Option<Run>> {
        sqlx::query(
            "SELECT json_extract(document, '$.run') AS run FROM jobs
             WHERE installation IN (?, ?) AND run_created > 0 AND run_created <= ? ORDER BY run_created DESC LIMIT 1",
        )
        // Under its address is what was bound while it gave no uuid.
        .bind(installation.key())
        .bind(installation.address())
        .bind(by.micros())
        .fetch_optional(self.connection())
        .await
        .map_err(failed)?
        .map(|row| read(row.get("run")))
        .transpose()
    }
}

/// The number of a change. It is drawn inside the transaction that writes the change, and there is one at a time: they
/// become visible in their order.
async fn next_version(connection: &mut SqliteConnection) -> Result<i64> {
    let row = sqlx::query("UPDATE feed SET version = version + 1 RETURNING version")
        .fetch_one(connection)
        .await
        .map_err(failed)?;
    Ok(row.get("version"))
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// What changes of a row, and its id.
fn with_columns<'q>(query: Query<'q>, job: &'q Job, version: i64) -> Result<Query<'q>> {
    Ok(query
        .bind(job.state.name())
        .bind(job.due_at.map(Moment::micros))
        .bind(job.run.as_ref().map(|r| r.installation.key()))
        .bind(job.run.as_ref().map(|r| r.id))
        .bind(job.run.as_ref().and_then(|r| r.created).map_or(0, Moment::micros))
        .bind(write(job)?)
        .bind(&job.lease.holder)
        .bind(job.lease.fence)
        .bind(job.rank())
        .bind(job.begun_at.map(Moment::micros))
        .bind(job.start_by.map(Moment::micros))
        .bind(version)
        .bind(&job.id))
}

fn among(query: &mut QueryBuilder<Sqlite>, column: &str, values: impl IntoIterator<Item = String>) {
    query.push(" AND ").push(column).push(" IN (");
    let mut list = query.separated(", ");
    for value in values {
        list.push_bind(value);
    }
    query.push(")");
}
