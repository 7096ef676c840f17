//! Jobs that wait, in SQLite.

use async_trait::async_trait;
use runwarden_awx::Installation;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::{SqliteJobs, begun_lately, bring, last_attempt, load, save};
use crate::job::{BEGUN, Queue};
use crate::job::{Job, JobState};
use crate::launch::protocol::{self, Around, Beginning};
use crate::store::rows::{failed, read, write};
use crate::store::{Begin, Begun, Claim, Claimed, Effects, Queues};
use crate::wait::limits::{Limits, Scope, Usage};
use crate::wait::place::{self, COUNTED, Place};
use crate::wait::scheduler::{Goal, Head};

/// How many jobs are told of at once that are to end unbegun.
const SOME: i64 = 100;

#[async_trait]
impl Queues for SqliteJobs {
    async fn heads(&self, now: Moment) -> Result<Vec<Head>> {
        let rows = sqlx::query(
            "SELECT tenant, controller, template, max(rank) AS rank, min(id) AS id FROM jobs
             WHERE due_at IS NOT NULL AND holder IS NULL AND due_at <= ?
             GROUP BY tenant, controller, template",
        )
        .bind(now.micros())
        .fetch_all(&self.database.read)
        .await
        .map_err(failed)?;
        let head = |row: &sqlx::sqlite::SqliteRow| Head {
            queue: Queue {
                tenant: row.get("tenant"),
                controller: row.get("controller"),
                template: row.get("template"),
            },
            rank: row.get("rank"),
            job: row.get("id"),
        };
        Ok(rows.iter().map(head).collect())
    }

    async fn next_due(&self, now: Moment) -> Result<Option<Moment>> {
        let row = sqlx::query(
            "SELECT min(due_at) AS due FROM jobs WHERE due_at IS NOT NULL AND holder IS NULL AND due_at > ?",
        )
        .bind(now.micros())
        .fetch_one(&self.database.read)
        .await
        .map_err(failed)?;
        Ok(row.get::<Option<i64>, _>("due").map(Moment::from_micros))
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Claimed> {
        let mut reading = self.database.read.acquire().await.map_err(failed)?;
        if let Claimable::No(why) = claimable(&mut reading, &claim).await? {
            return Ok(why);
        }
        drop(reading);
        let mut transaction = self.database.begin_write().await.map_err(failed)?;
        let mut job = match claimable(&mut transaction, &claim).await? {
            Claimable::Yes(job) => *job,
            Claimable::No(why) => return Ok(why),
        };
        job.lease.fence += 1;
        job.lease.holder = Some(claim.holder.to_owned());
        // The document is as it was, and nobody follows who holds a job: only the claim is written.
        sqlx::query("UPDATE jobs SET holder = ?, fence = ? WHERE id = ?")
            .bind(claim.holder)
            .bind(job.lease.fence)
            .bind(&job.id)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(Claimed::Job(Box::new(job)))
    }

    async fn release(&self, job: &str, fence: i64) -> Result<()> {
        sqlx::query("UPDATE jobs SET holder = NULL WHERE id = ? AND fence = ? AND holder IS NOT NULL")
            .bind(job)
            .bind(fence)
            .execute(&self.database.write)
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn begin_attempt(&self, begin: Begin) -> Result<Begun> {
        let Begin { attempt, fence, limits, now, entries } = begin;
        let mut transaction = self.database.begin_write().await.map_err(failed)?;
        let Some(mut job) = load(&mut transaction, &attempt.job_id).await? else { return Ok(Begun::Lost) };
        let last = last_attempt(&mut transaction, &job.id).await?;
        let around = Around {
            blocked: {
                let installation = attempt.installation.clone();
                let (controller_template, marked) = (attempt.controller_template, attempt.is_marked());
                is_blocked(&mut transaction, &Goal { installation, controller_template, marked }, &job.id).await?
            },
            full: full(&mut transaction, &job, &limits, now, Counting::Begun).await?,
        };
        match protocol::begin(&mut job, last.as_ref(), &attempt, fence, &around, now)? {
            Beginning::Begun => {}
            Beginning::Blocked => return Ok(Begun::Blocked),
            Beginning::Full(scope, until) => return Ok(Begun::Full(scope, until)),
            Beginning::Lost => return Ok(Begun::Lost),
        }
        let effects = Effects { attempt: Some(attempt), entries, ..Effects::announced() };
        bring(&mut transaction, &mut job, now, &effects).await?;
        save(&mut transaction, &job, false).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(Begun::Yes(Box::new(job), Box::new(effects)))
    }

    async fn is_in_the_way(&self, goal: &Goal) -> Result<bool> {
        let mut connection = self.database.read.acquire().await.map_err(failed)?;
        is_blocked(&mut connection, goal, "").await
    }

    async fn place(&self, job: &Job, limits: &Limits, now: Moment) -> Result<Place> {
        let mut connection = self.database.read.acquire().await.map_err(failed)?;
        let row = sqlx::query(
            "SELECT count(*) AS n FROM (
                SELECT 1 FROM jobs WHERE state = 'new' AND tenant = ? AND template = ? AND rank >= ?
                    AND (rank > ? OR id < ?) LIMIT ?)",
        )
        .bind(&job.tenant)
        .bind(&job.template)
        .bind(job.rank())
        .bind(job.rank())
        .bind(&job.id)
        .bind(COUNTED - 1)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
        let position = u32::try_from(row.get::<i64, _>("n")).unwrap_or(COUNTED).saturating_add(1);
        let pace = place::pace(&begun_lately(&mut connection, job).await?, now);
        let held_by = full(&mut connection, job, limits, now, Counting::Held).await?.map(|(scope, _)| scope);
        let blocked = unmarked_is_out(&mut connection, job).await?;
        let expected_start_at = place::expected(position, pace, job.start_at, now);
        Ok(Place { position, expected_start_at, held_by, blocked })
    }

    async fn outdated(&self, queue: &Queue, launch_digest: Option<&str>) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT id FROM jobs WHERE state = 'new' AND tenant = ?1 AND template = ?2 AND controller = ?3
                AND holder IS NULL AND (?4 IS NULL OR json_extract(document, '$.launch_digest') <> ?4) LIMIT ?5",
        )
        .bind(&queue.tenant)
        .bind(&queue.template)
        .bind(&queue.controller)
        .bind(launch_digest)
        .bind(SOME)
        .fetch_all(&self.database.read)
        .await
        .map_err(failed)?;
        Ok(rows.iter().map(|row| row.get("id")).collect())
    }

    async fn expiring(&self, now: Moment) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT id FROM jobs
             WHERE start_by IS NOT NULL AND due_at IS NOT NULL AND start_by < ? AND holder IS NULL
                -- What is cancelled ends as that, and must not stand before what is to be told that it is too late.
                AND NOT coalesce(json_extract(document, '$.cancel_requested'), 0)
                AND NOT EXISTS (SELECT 1 FROM attempts WHERE attempts.job_id = jobs.id AND attempts.open = 1)
             ORDER BY start_by LIMIT ?",
        )
        .bind(now.micros())
        .bind(SOME)
        .fetch_all(&self.database.read)
        .await
        .map_err(failed)?;
        Ok(rows.iter().map(|row| row.get("id")).collect())
    }
}

/// Whether the first due job of a queue may be taken.
enum Claimable {
    Yes(Box<Job>),
    No(Claimed),
}

async fn claimable(connection: &mut SqliteConnection, claim: &Claim<'_>) -> Result<Claimable> {
    let Some(job) = first(connection, claim).await? else { return Ok(Claimable::No(Claimed::Nothing)) };
    if job.state == JobState::New
        && let Some((scope, until)) = full(connection, &job, &claim.limits, claim.now, Counting::Held).await?
    {
        let name = match scope {
            Scope::Template => job.template,
            Scope::Controller => job.controller,
            Scope::Principal => job.requested_by,
        };
        return Ok(Claimable::No(Claimed::Full { scope, name, until }));
    }
    if !job.attempt_open && unmarked_is_out(connection, &job).await? {
        return Ok(Claimable::No(Claimed::Blocked));
    }
    Ok(Claimable::Yes(Box::new(job)))
}

/// Whether an unmarked launch is open of another job that was accepted for the same: then no other launch of theirs
/// could be told from it, marked or not. What else may be in the way is known only when the template was read.
async fn unmarked_is_out(connection: &mut SqliteConnection, job: &Job) -> Result<bool> {
    let row = sqlx::query(
        "SELECT EXISTS (
            -- Few are open, however many wait: SQLite would not guess that.
            SELECT 1 FROM attempts a INDEXED BY attempts_open CROSS JOIN jobs j ON j.id = a.job_id
            WHERE a.open = 1 AND a.marked = 0 AND j.id <> ? AND j.tenant = ? AND j.controller = ? AND j.template = ?
                AND json_extract(j.document, '$.launch_digest') = ?) AS found",
    )
    .bind(&job.id)
    .bind(&job.tenant)
    .bind(&job.controller)
    .bind(&job.template)
    .bind(&job.launch_digest)
    .fetch_one(connection)
    .await
    .map_err(failed)?;
    Ok(row.get::<i64, _>("found") > 0)
}

/// The first due job of a queue.
async fn first(connection: &mut SqliteConnection, claim: &Claim<'_>) -> Result<Option<Job>> {
    let Queue { tenant, controller, template } = &claim.turn.queue;
    let mut query = QueryBuilder::<Sqlite>::new(
        "SELECT document, due_at, holder, fence FROM jobs WHERE due_at IS NOT NULL AND holder IS NULL AND tenant = ",
    );
    query.push_bind(tenant).push(" AND controller = ").push_bind(controller);
    query.push(" AND template = ").push_bind(template);
    query.push(" AND due_at <= ").push_bind(claim.now.micros());
    query.push(" AND rank >= ").push_bind(claim.turn.from_rank);
    if !claim.turn.without.is_empty() {
        query.push(" AND (rank >= ").push_bind(BEGUN).push(" OR principal NOT IN (");
        let mut list = query.separated(", ");
        for principal in &claim.turn.without {
            list.push_bind(principal);
        }
        query.push("))");
    }
    query.push(" ORDER BY rank DESC, id LIMIT 1");
    let row = query.build().fetch_optional(connection).await.map_err(failed)?;
    row.map(|row| crate::store::rows::job_of(&row)).transpose()
}

/// What counts as under way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counting {
    /// What was begun.
    Begun,
    /// And what somebody is about to begin.
    Held,
}

/// Which limit a job would exceed, and until when.
async fn full(
    connection: &mut SqliteConnection,
    job: &Job,
    limits: &Limits,
    now: Moment,
    counting: Counting,
) -> Result<Option<(Scope, Moment)>> {
    let mut found: Option<(Scope, Moment)> = None;
    for scope in Scope::ALL {
        let limit = limits.of(scope);
        let (column, value) = match scope {
            Scope::Template => ("template", &job.template),
            Scope::Controller => ("controller", &job.controller),
            Scope::Principal => ("principal", &job.requested_by),
        };
        let mut usage = Usage::default();
        if limit.at_once > 0 {
            usage.active = active(connection, job, column, value, counting).await?;
        }
        if let Some(rate) = limit.rate {
            usage.nth_last_begun = nth_last_begun(connection, job, column, value, rate.jobs).await?;
        }
        if let Some(until) = limit.full_until(&usage, now)
            && found.is_none_or(|(_, latest)| until > latest)
        {
            found = Some((scope, until));
        }
    }
    Ok(found)
}

/// How many others are under way. The job itself is not counted: it is new, and not held when its claim is judged.
async fn active(
    connection: &mut SqliteConnection,
    job: &Job,
    column: &'static str,
    value: &str,
    counting: Counting,
) -> Result<u32> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT (SELECT count(*) FROM jobs WHERE tenant = ");
    query.push_bind(&job.tenant).push(" AND ").push(column).push(" = ").push_bind(value);
    query.push(" AND state IN ('launching', 'running'))");
    if counting == Counting::Held {
        // Few are held, however many are new: SQLite would not guess that.
        query.push(" + (SELECT count(*) FROM jobs INDEXED BY jobs_held WHERE holder IS NOT NULL AND state = 'new'");
        query.push(" AND tenant = ").push_bind(&job.tenant);
        query.push(" AND ").push(column).push(" = ").push_bind(value).push(")");
    }
    query.push(" AS n");
    let row = query.build().fetch_one(connection).await.map_err(failed)?;
    Ok(u32::try_from(row.get::<i64, _>("n")).unwrap_or(u32::MAX))
}

async fn nth_last_begun(
    connection: &mut SqliteConnection,
    job: &Job,
    column: &'static str,
    value: &str,
    nth: u32,
) -> Result<Option<Moment>> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT begun_at FROM jobs WHERE tenant = ");
    query.push_bind(&job.tenant).push(" AND ").push(column).push(" = ").push_bind(value);
    query.push(" AND begun_at IS NOT NULL ORDER BY begun_at DESC LIMIT 1 OFFSET ").push_bind(nth.saturating_sub(1));
    let row = query.build().fetch_optional(connection).await.map_err(failed)?;
    Ok(row.map(|row| Moment::from_micros(row.get("begun_at"))))
}

/// Whether an open attempt of another job at the same controller's template could not be told from one that goes there: with a
/// marker only those without stand in the way, without a marker any does.
async fn is_blocked(connection: &mut SqliteConnection, goal: &Goal, other_than: &str) -> Result<bool> {
    let rows = sqlx::query(
        "SELECT DISTINCT json_extract(document, '$.installation') AS installation,
                json_type(document, '$.installation') AS kind FROM attempts
         WHERE open = 1 AND controller_template = ? AND job_id <> ? AND (marked = 0 OR ? = 0)",
    )
    .bind(goal.controller_template)
    .bind(other_than)
    .bind(goal.marked)
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    for row in &rows {
        let text: String = row.get("installation");
        // Text of an earlier version stands for itself.
        let text = if row.get::<&str, _>("kind") == "text" { write(&text)? } else { text };
        if read::<Installation>(&text)?.is_same(&goal.installation) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
