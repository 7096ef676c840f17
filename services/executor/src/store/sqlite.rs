//! Jobs in SQLite.

use async_trait::async_trait;
use runwarden_awx::Installation;
use runwarden_engines::sqlite::Database;
use runwarden_engines::{Migration, migrations};
use runwarden_kit::caller::Visible;
use runwarden_kit::clock::Moment;
use runwarden_kit::{Error, Result};
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::effects::make;
use super::rows::{failed, job_of, read, write};
use super::{
    Acceptance, Accepted, Change, Committed, Effects, Happening, JobEvent, JobFilter, JobStore, News, Room, outbox,
};
use crate::job::Attempt;
use crate::job::{Bound, Job, Run};
use crate::wait::place::{self, RECENT};

mod executors;
mod queues;
mod strays;
mod watches;

pub(super) const MIGRATIONS: &[Migration] =
    migrations!["0001_jobs", "0002_controllers", "0003_queues", "0004_silences", "0005_outbox", "0006_identity"];

/// Jobs in one SQLite file.
pub(crate) struct SqliteJobs {
    pub(super) database: Database,
}

impl SqliteJobs {
    /// Opens the file, making it if it is not there: for tests, which look into it.
    #[cfg(test)]
    pub(crate) async fn open(path: &std::path::Path) -> anyhow::Result<Self> {
        Ok(Self { database: runwarden_engines::sqlite::open(path, MIGRATIONS).await? })
    }
}

/// The number of a change.
async fn next_version(connection: &mut SqliteConnection) -> Result<i64> {
    let row = sqlx::query("UPDATE feed SET version = version + 1 RETURNING version")
        .fetch_one(connection)
        .await
        .map_err(failed)?;
    Ok(row.get("version"))
}

/// Writes a job's row.
async fn save(connection: &mut SqliteConnection, job: &Job, insert: bool) -> Result<()> {
    let version = next_version(connection).await?;
    let sql = if insert {
        "INSERT INTO jobs (state, due_at, installation, run_id, run_created, document, holder, fence, rank, begun_at,
                           start_by, version, id, tenant, project, template, controller, principal, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    } else {
        "UPDATE jobs SET state = ?, due_at = ?, installation = ?, run_id = ?, run_created = ?, document = ?, holder = ?,
                         fence = ?, rank = ?, begun_at = ?, start_by = ?, version = ?
         WHERE id = ?"
    };
    let mut query = sqlx::query(sql)
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
        .bind(&job.id);
    if insert {
        query = query.bind(&job.tenant).bind(&job.project).bind(&job.template).bind(&job.controller);
        query = query.bind(&job.requested_by).bind(job.created_at.micros());
    }
    let done = query.execute(connection).await.map_err(failed)?;
    if done.rows_affected() == 1 {
        return Ok(());
    }
    Err(Error::internal(anyhow::anyhow!("the row of {} was not there to be written", job.id)))
}

/// Reads a job within a transaction.
async fn load(connection: &mut SqliteConnection, id: &str) -> Result<Option<Job>> {
    sqlx::query("SELECT document, due_at, holder, fence FROM jobs WHERE id = ?")
        .bind(id)
        .fetch_optional(connection)
        .await
        .map_err(failed)?
        .map(|row| job_of(&row))
        .transpose()
}

/// Whose queue has no room for one more.
async fn no_room(connection: &mut SqliteConnection, job: &Job, room: Room) -> Result<Option<&'static str>> {
    let limits = [("template", room.of_template), ("tenant", room.of_tenant)];
    for (of, limit) in limits.into_iter().filter(|(_, limit)| *limit > 0) {
        let sql = if of == "template" {
            "SELECT count(*) AS n FROM
                (SELECT 1 FROM jobs WHERE state = 'new' AND tenant = ?1 AND template = ?2 LIMIT ?3)"
        } else {
            "SELECT count(*) AS n FROM (SELECT 1 FROM jobs WHERE state = 'new' AND tenant = ?1 AND ?2 <> '' LIMIT ?3)"
        };
        let query = sqlx::query(sql).bind(&job.tenant).bind(&job.template).bind(limit);
        let row = query.fetch_one(&mut *connection).await.map_err(failed)?;
        if row.get::<i64, _>("n") >= i64::from(limit) {
            return Ok(Some(of));
        }
    }
    Ok(None)
}

/// The latest beginnings of a template's jobs, newest first.
async fn begun_lately(connection: &mut SqliteConnection, job: &Job) -> Result<Vec<Moment>> {
    let rows = sqlx::query(
        "SELECT begun_at FROM jobs WHERE tenant = ? AND template = ? AND begun_at IS NOT NULL
         ORDER BY begun_at DESC LIMIT ?",
    )
    .bind(&job.tenant)
    .bind(&job.template)
    .bind(i64::try_from(RECENT).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    Ok(rows.iter().map(|row| Moment::from_micros(row.get("begun_at"))).collect())
}

/// Writes what a change brings along; numbers events and output in the job.
async fn bring(connection: &mut SqliteConnection, job: &mut Job, now: Moment, effects: &Effects) -> Result<()> {
    if let Some(text) = effects.output.as_ref().filter(|t| !t.is_empty()) {
        job.last_event += 1;
        let offset = job.output_bytes;
        job.output_bytes += text.len() as u64;
        event(connection, job, now, "output", text, Some(offset)).await?;
    }
    if effects.announced {
        job.last_event += 1;
        // What was asked never changes: it is kept once, with the job, and not again with all that happens to it.
        let asked = (std::mem::take(&mut job.parameters), job.sealed_parameters.take());
        let document = write(job);
        (job.parameters, job.sealed_parameters) = asked;
        event(connection, job, now, "state", &document?, None).await?;
    }
    if let Some(attempt) = &effects.attempt {
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
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    }
    if let Some(stray) = &effects.stray {
        strays::put(connection, stray).await?;
    }
    outbox::put(connection, &effects.entries).await
}

async fn event(
    connection: &mut SqliteConnection,
    job: &Job,
    now: Moment,
    kind: &'static str,
    payload: &str,
    offset: Option<u64>,
) -> Result<()> {
    sqlx::query("INSERT INTO job_events (job_id, number, at, kind, payload, offset) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(&job.id)
        .bind(job.last_event)
        .bind(now.micros())
        .bind(kind)
        .bind(payload)
        .bind(offset.map(|o| i64::try_from(o).unwrap_or(i64::MAX)))
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(())
}

/// The runs with these ids that are bound to jobs other than this one.
async fn bound(connection: &mut SqliteConnection, ids: &[i64], other_than: &str) -> Result<Vec<Bound>> {
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
    let rows = query.build().fetch_all(connection).await.map_err(failed)?;
    let bound = |row: &sqlx::sqlite::SqliteRow| {
        let at = row.get::<Option<i64>, _>("at").map(Moment::from_micros);
        Ok(Bound { run: read(row.get("run"))?, at })
    };
    rows.iter().map(bound).collect()
}

#[async_trait]
impl JobStore for SqliteJobs {
    async fn accept(&self, acceptance: Acceptance) -> Result<Accepted> {
        let Acceptance { mut job, idempotency, entries, room } = acceptance;
        let mut transaction = self.database.begin_write().await.map_err(failed)?;
        if let Some(claim) = &idempotency
            && let Some((digest, earlier)) =
                by_key(&mut transaction, &job.tenant, &claim.principal, &claim.key_hash).await?
        {
            return Ok(if digest == claim.body_digest {
                Accepted::Replayed(Box::new(earlier))
            } else {
                Accepted::KeyReused
            });
        }
        let now = job.created_at;
        if let Some(of) = no_room(&mut transaction, &job, room).await? {
            let pace = place::pace(&begun_lately(&mut transaction, &job).await?, now);
            return Ok(Accepted::QueueFull { of, pace });
        }
        save(&mut transaction, &job, true).await?;
        let effects = Effects { entries, ..Effects::announced().with_news(News::Accepted) };
        bring(&mut transaction, &mut job, now, &effects).await?;
        save(&mut transaction, &job, false).await?;
        if let Some(claim) = idempotency {
            sqlx::query(
                "INSERT INTO idempotency (tenant, principal, key_hash, body_digest, job_id, created_at)
                 VALUES (?, ?, ?, ?, ?, ?)",
            )
            .bind(&job.tenant)
            .bind(claim.principal)
            .bind(claim.key_hash)
            .bind(claim.body_digest)
            .bind(&job.id)
            .bind(now.micros())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)?;
        Ok(Accepted::New(Box::new(effects)))
    }

    async fn find_by_key(&self, tenant: &str, principal: &str, key_hash: &str) -> Result<Option<(String, Job)>> {
        let mut connection = self.database.read.acquire().await.map_err(failed)?;
        by_key(&mut connection, tenant, principal, key_hash).await
    }

    async fn get(&self, tenant: &str, id: &str) -> Result<Option<Job>> {
        sqlx::query("SELECT document, due_at, holder, fence FROM jobs WHERE tenant = ? AND id = ?")
            .bind(tenant)
            .bind(id)
            .fetch_optional(&self.database.read)
            .await
            .map_err(failed)?
            .map(|row| job_of(&row))
            .transpose()
    }

    async fn list(&self, filter: JobFilter) -> Result<Vec<Job>> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT document, due_at, holder, fence FROM jobs WHERE tenant = ");
        query.push_bind(filter.tenant);
        if let Visible::Projects(projects) = filter.visible {
            among(&mut query, "project", projects);
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
        query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::try_from(filter.limit).unwrap_or(i64::MAX));
        let rows = query.build().fetch_all(&self.database.read).await.map_err(failed)?;
        rows.iter().map(job_of).collect()
    }

    async fn change(&self, id: &str, now: Moment, run: Option<&Run>, change: &Change<'_>) -> Result<Option<Committed>> {
        let mut transaction = self.database.begin_write().await.map_err(failed)?;
        let Some(before) = load(&mut transaction, id).await? else { return Ok(None) };
        let mut job = before.clone();
        let last = last_attempt(&mut transaction, id).await?;
        let held = match run {
            Some(run) => bound(&mut transaction, &[run.id], id).await?.iter().any(|bound| bound.is(run)),
            None => false,
        };
        let Some(effects) = make(change, &mut job, last, held)? else {
            return Ok(Some(Committed { job: before, effects: None }));
        };
        bring(&mut transaction, &mut job, now, &effects).await?;
        save(&mut transaction, &job, false).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(Some(Committed { job, effects: Some(effects) }))
    }

    async fn last_attempt(&self, job: &str) -> Result<Option<Attempt>> {
        let mut connection = self.database.read.acquire().await.map_err(failed)?;
        last_attempt(&mut connection, job).await
    }

    async fn oldest_unresolved(&self) -> Result<Option<Moment>> {
        let row = sqlx::query(
            "SELECT min(json_extract(a.document, '$.sent_at')) AS at
             FROM attempts a INDEXED BY attempts_open CROSS JOIN jobs j ON j.id = a.job_id
             WHERE a.open = 1 AND j.state = 'launching'",
        )
        .fetch_one(&self.database.read)
        .await
        .map_err(failed)?;
        Ok(row.get::<Option<i64>, _>("at").map(Moment::from_micros))
    }

    async fn attempts(&self, job: &str) -> Result<Vec<Attempt>> {
        let rows = sqlx::query("SELECT document FROM attempts WHERE job_id = ? ORDER BY number")
            .bind(job)
            .fetch_all(&self.database.read)
            .await
            .map_err(failed)?;
        rows.iter().map(|row| read(row.get("document"))).collect()
    }

    async fn bound(&self, ids: &[i64]) -> Result<Vec<Bound>> {
        let mut connection = self.database.read.acquire().await.map_err(failed)?;
        bound(&mut connection, ids, "").await
    }

    async fn latest_run(&self, installation: &Installation, by: Moment) -> Result<Option<Run>> {
        sqlx::query(
            "SELECT json_extract(document, '$.run') AS run FROM jobs
             WHERE installation IN (?, ?) AND run_created > 0 AND run_created <= ? ORDER BY run_created DESC LIMIT 1",
        )
        // Under its address is what was bound while it gave no uuid.
        .bind(installation.key())
        .bind(installation.address())
        .bind(by.micros())
        .fetch_optional(&self.database.read)
        .await
        .map_err(failed)?
        .map(|row| read(row.get("run")))
        .transpose()
    }

    async fn events(&self, job: &str, after: i64, limit: usize) -> Result<Vec<JobEvent>> {
        let rows = sqlx::query(
            "SELECT number, at, kind, payload FROM job_events WHERE job_id = ? AND number > ? ORDER BY number LIMIT ?",
        )
        .bind(job)
        .bind(after)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.database.read)
        .await
        .map_err(failed)?;
        let mut connection = self.database.read.acquire().await.map_err(failed)?;
        let Some(now) = load(&mut connection, job).await? else { return Ok(Vec::new()) };
        rows.iter()
            .map(|row| {
                let payload: String = row.get("payload");
                let what = if row.get::<&str, _>("kind") == "state" {
                    let (parameters, sealed_parameters) = (now.parameters.clone(), now.sealed_parameters.clone());
                    Happening::State(Box::new(Job { parameters, sealed_parameters, ..read(&payload)? }))
                } else {
                    Happening::Output(payload)
                };
                Ok(JobEvent { number: row.get("number"), at: Moment::from_micros(row.get("at")), what })
            })
            .collect()
    }

    async fn output(&self, job: &str, offset: u64, limit: usize) -> Result<String> {
        let offset_sql = i64::try_from(offset).unwrap_or(i64::MAX);
        // The last piece that begins at or before the offset, and those after it.
        let rows = sqlx::query(
            "SELECT offset, payload FROM job_events WHERE job_id = ? AND offset >= coalesce(
                (SELECT max(offset) FROM job_events WHERE job_id = ? AND offset <= ?), 0)
             ORDER BY offset LIMIT 64",
        )
        .bind(job)
        .bind(job)
        .bind(offset_sql)
        .fetch_all(&self.database.read)
        .await
        .map_err(failed)?;
        let mut text = String::new();
        for row in &rows {
            let begins = u64::try_from(row.get::<i64, _>("offset")).unwrap_or(0);
            let piece: &str = row.get("payload");
            let skip = usize::try_from(offset.saturating_sub(begins)).unwrap_or(usize::MAX);
            // An offset inside a character, or past the end, is moved to where a character begins.
            let from = (skip..=piece.len()).find(|at| piece.is_char_boundary(*at)).unwrap_or(piece.len());
            text.push_str(piece.get(from..).unwrap_or_default());
            if text.len() >= limit {
                break;
            }
        }
        let end = (0..=limit.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        Ok(text)
    }

    async fn forget_keys(&self, before: Moment) -> Result<()> {
        sqlx::query("DELETE FROM idempotency WHERE created_at < ?")
            .bind(before.micros())
            .execute(&self.database.write)
            .await
            .map_err(failed)?;
        Ok(())
    }
}

async fn last_attempt(connection: &mut SqliteConnection, job: &str) -> Result<Option<Attempt>> {
    sqlx::query("SELECT document FROM attempts WHERE job_id = ? ORDER BY number DESC LIMIT 1")
        .bind(job)
        .fetch_optional(connection)
        .await
        .map_err(failed)?
        .map(|row| read(row.get("document")))
        .transpose()
}

fn among(query: &mut QueryBuilder<Sqlite>, column: &str, values: impl IntoIterator<Item = String>) {
    query.push(" AND ").push(column).push(" IN (");
    let mut list = query.separated(", ");
    for value in values {
        list.push_bind(value);
    }
    query.push(")");
}

async fn by_key(
    connection: &mut SqliteConnection,
    tenant: &str,
    principal: &str,
    key_hash: &str,
) -> Result<Option<(String, Job)>> {
    sqlx::query(
        "SELECT i.body_digest, j.document, j.due_at, j.holder, j.fence FROM idempotency i JOIN jobs j ON j.id = i.job_id
         WHERE i.tenant = ? AND i.principal = ? AND i.key_hash = ?",
    )
    .bind(tenant)
    .bind(principal)
    .bind(key_hash)
    .fetch_optional(connection)
    .await
    .map_err(failed)?
    .map(|row| Ok((row.get("body_digest"), job_of(&row)?)))
    .transpose()
}

#[cfg(test)]
pub(crate) mod conformance;
#[cfg(test)]
mod tests;
