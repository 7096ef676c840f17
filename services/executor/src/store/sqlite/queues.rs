//! Jobs that wait, and what limits them.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use rusqlite::{ToSql, params};

use super::documents::moment;
use super::sql::{self, Assembled, at_length, failed, get};
use super::{SqliteRows, at_most, first_due, heads};
use crate::job::{Job, Queue};
use crate::store::engine::{Counted, QueueRows, Serialise};
use crate::wait::limits::LimitScope;
use crate::wait::place::Mark;
use crate::wait::scheduler::{Head, Turn};

/// New jobs of a template with this rank, from one id to before another.
const AHEAD_IN_RANK: &str = "
    SELECT count(*) FROM (SELECT 1 FROM jobs INDEXED BY jobs_new
        WHERE state = 'new' AND tenant = ?1 AND template = ?2 AND rank = ?3 AND id >= ?4 AND id < ?5 LIMIT ?6)";
/// New jobs of a template with a rank between these.
const AHEAD_BY_RANK: &str = "
    SELECT count(*) FROM (SELECT 1 FROM jobs INDEXED BY jobs_new
        WHERE state = 'new' AND tenant = ?1 AND template = ?2 AND rank > ?3 AND rank < ?4 LIMIT ?5)";
/// After every id.
const LAST_ID: &str = "\u{10ffff}";
/// The highest rank of the new jobs of a template below one.
const NEXT_RANK: &str = "
    SELECT max(rank) FROM jobs INDEXED BY jobs_new WHERE state = 'new' AND tenant = ?1 AND template = ?2 AND rank < ?3";
/// New jobs of a template with this rank as they go.
const IN_RANK: &str = "
    SELECT id FROM jobs INDEXED BY jobs_new WHERE state = 'new' AND tenant = ?1 AND template = ?2 AND rank = ?3
    ORDER BY id LIMIT ?4";

#[async_trait]
impl QueueRows for SqliteRows<'_> {
    async fn heads(&mut self, now: Moment) -> Result<Vec<Head>> {
        heads::read(self.connection(), now)
    }

    async fn next_due(&mut self, now: Moment) -> Result<Option<Moment>> {
        let sql = "SELECT min(due_at) FROM jobs INDEXED BY jobs_due WHERE due_at > 0 AND holder IS NULL AND due_at > ?";
        sql::the(self.connection(), sql, params![now.micros()], |row| moment(row, 0))
    }

    async fn first_due(&mut self, turn: &Turn, not_held_back: i64, now: Moment) -> Result<Option<String>> {
        self.needs(|| Serialise::Queue(turn.queue.clone()));
        let first = first_due::id(self.connection(), turn, not_held_back, now)?;
        if let Some(id) = &first {
            self.ask(Serialise::Job(id.clone()));
        }
        Ok(first)
    }

    async fn waiting(&mut self, tenant: &str, template: Option<&str>) -> Result<u32> {
        self.needs(|| Serialise::Waiting(tenant.to_owned(), template.map(str::to_owned)));
        let (scope, name) = template.map_or(("tenant", ""), |name| ("template", name));
        self.kept("SELECT waiting FROM job_counts WHERE tenant = ?1 AND scope = ?2 AND name = ?3", tenant, scope, name)
    }

    async fn ahead_of(&mut self, job: &Job, from: Option<&Mark>, up_to: u32) -> Result<u32> {
        let (tenant, template, rank) = (job.tenant.as_str(), job.template.as_str(), job.rank());
        let mut found = 0;
        let mut count = |sql: &str, with: &[&dyn ToSql]| -> Result<()> {
            if found < up_to {
                found += sql::the(self.connection(), sql, with, |row| get::<u32>(row, 0))?;
            }
            Ok(())
        };
        // Those of its own rank, and those of higher ones: apart, since together they are no range of the index.
        match from {
            Some(from) if from.rank == rank => {
                count(AHEAD_IN_RANK, params![tenant, template, rank, from.id, job.id, up_to])?;
            }
            from => {
                count(AHEAD_IN_RANK, params![tenant, template, rank, "", job.id, up_to])?;
                let below = from.map_or(i64::MAX, |from| from.rank);
                count(AHEAD_BY_RANK, params![tenant, template, rank, below, up_to])?;
                if let Some(from) = from {
                    count(AHEAD_IN_RANK, params![tenant, template, from.rank, from.id, LAST_ID, up_to])?;
                }
            }
        }
        Ok(found.min(up_to))
    }

    async fn marks(&mut self, tenant: &TenantId, template: &str, every: u32, up_to: u32) -> Result<Vec<Mark>> {
        let tenant = tenant.as_str();
        at_length(|| {
            let (mut marks, mut seen, mut below) = (Vec::new(), 0_u32, i64::MAX);
            while seen < up_to {
                let next = sql::the(self.connection(), NEXT_RANK, params![tenant, template, below], |row| get(row, 0))?;
                let Some(rank) = next else { break };
                let mut statement = self.connection().prepare_cached(IN_RANK).map_err(failed)?;
                let mut rows = statement.query(params![tenant, template, rank, up_to - seen]).map_err(failed)?;
                while let Some(row) = rows.next().map_err(failed)? {
                    if seen.is_multiple_of(every) {
                        marks.push(Mark { rank, id: get(row, 0)? });
                    }
                    seen += 1;
                }
                below = rank;
            }
            Ok(marks)
        })
    }

    async fn begun(&mut self, of: &Counted, skip: u32, limit: u32) -> Result<Vec<Moment>> {
        self.needs(|| under_way(of));
        let mut query = Assembled::new("SELECT begun_at FROM jobs WHERE ");
        among(&mut query, of).push(" AND begun_at IS NOT NULL ORDER BY begun_at DESC LIMIT ").bind(limit);
        query.push(" OFFSET ").bind(skip);
        sql::all(self.connection(), query.sql(), query.values(), |row| Ok(Moment::from_micros(get(row, 0)?)))
    }

    async fn under_way(&mut self, of: &Counted) -> Result<u32> {
        self.needs(|| under_way(of));
        let sql = "SELECT under_way FROM job_counts WHERE tenant = ?1 AND scope = ?2 AND name = ?3";
        self.kept(sql, &of.tenant, column(of.scope), &of.name)
    }

    async fn under_way_or_held(&mut self, of: &Counted) -> Result<u32> {
        // Few are held, however many are new: SQLite would not guess that.
        let mut query = Assembled::new(
            "SELECT count(*) FROM jobs INDEXED BY jobs_held WHERE holder IS NOT NULL AND state = 'new' AND ",
        );
        among(&mut query, of);
        Ok(self.under_way(of).await?.saturating_add(self.count(&query)?))
    }

    async fn outdated(&mut self, queue: &Queue, launch_digest: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let Queue { tenant, controller, template } = queue;
        let Some(digest) = launch_digest else {
            let sql = "SELECT id FROM jobs INDEXED BY jobs_new WHERE state = 'new' AND tenant = ?1 AND template = ?2
                AND controller = ?3 AND holder IS NULL LIMIT ?4";
            let with = params![tenant.as_str(), template, controller, at_most(limit)];
            return at_length(|| sql::all(self.connection(), sql, with, |row| get(row, 0)));
        };
        // Those before it in the index and those behind: nobody looks at all that have it.
        let sql = "SELECT id FROM (
                SELECT id FROM jobs INDEXED BY jobs_grounds WHERE state = 'new' AND tenant = ?1 AND template = ?2
                    AND controller = ?3 AND launch_digest < ?4 AND holder IS NULL
                UNION ALL
                SELECT id FROM jobs INDEXED BY jobs_grounds WHERE state = 'new' AND tenant = ?1 AND template = ?2
                    AND controller = ?3 AND launch_digest > ?4 AND holder IS NULL)
             LIMIT ?5";
        let with = params![tenant.as_str(), template, controller, digest, at_most(limit)];
        at_length(|| sql::all(self.connection(), sql, with, |row| get(row, 0)))
    }

    async fn overdue(&mut self, now: Moment, limit: usize) -> Result<Vec<String>> {
        let sql = "SELECT id FROM jobs
             WHERE start_by IS NOT NULL AND due_at IS NOT NULL AND start_by < ? AND holder IS NULL
                -- What is cancelled ends as that, and must not stand before what is to be told that it is too late.
                AND NOT coalesce(json_extract(document, '$.cancel_requested'), 0)
                AND NOT EXISTS (SELECT 1 FROM attempts WHERE attempts.job_id = jobs.id AND attempts.open = 1)
             ORDER BY start_by LIMIT ?";
        at_length(|| sql::all(self.connection(), sql, params![now.micros(), at_most(limit)], |row| get(row, 0)))
    }
}

impl SqliteRows<'_> {
    /// A number that is kept with the jobs, by its tenant, scope and name.
    fn kept(&self, sql: &str, tenant: &str, scope: &str, name: &str) -> Result<u32> {
        let kept = sql::one(self.connection(), sql, params![tenant, scope, name], |row| get::<i64>(row, 0))?;
        Ok(u32::try_from(kept.unwrap_or(0)).unwrap_or(u32::MAX))
    }

    fn count(&self, query: &Assembled) -> Result<u32> {
        let count: i64 = sql::the(self.connection(), query.sql(), query.values(), |row| get(row, 0))?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }
}

/// Leaves those that count together.
fn among<'q>(query: &'q mut Assembled, of: &Counted) -> &'q mut Assembled {
    query.push("tenant = ").bind(of.tenant.clone());
    query.push(" AND ").push(column(of.scope)).push(" = ").bind(of.name.clone())
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

#[cfg(test)]
mod tests;
