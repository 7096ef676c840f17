//! The first due job of each queue: from queue to queue along an index, whatever waits in them.

use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use rusqlite::{Connection, Row, params};

use super::documents::moment;
use super::sql::{self, FEW, at_length, get, text};
use crate::job::Queue;
use crate::wait::scheduler::Head;

// The indexes are made with these numbers.
const _: () = assert!(crate::job::BEGUN == 10 && crate::job::AT_ONCE.micros() == 0);

/// How the first job of the next queue is found: of the very first; of the next template on the same controller, of the
/// next controller of the same tenant, of the next tenant. Each is one look into the index.
struct Steps {
    first: &'static str,
    template: &'static str,
    controller: &'static str,
    tenant: &'static str,
}

macro_rules! steps {
    ($index:literal, $which:literal, $order:literal) => {
        Steps {
            first: steps!(@ $index, $which, "", $order),
            template: steps!(@ $index, $which, " AND tenant = ?1 AND controller = ?2 AND template > ?3", $order),
            controller: steps!(@ $index, $which, " AND tenant = ?1 AND controller > ?2", $order),
            tenant: steps!(@ $index, $which, " AND tenant > ?1", $order),
        }
    };
    // The index is named: SQLite would sort what it found by another one.
    (@ $index:literal, $which:literal, $behind:literal, $order:literal) => {
        concat!(
            "SELECT tenant, controller, template, rank, id, due_at FROM jobs INDEXED BY ", $index, " WHERE ", $which,
            " AND holder IS NULL", $behind, " ORDER BY tenant, controller, template, ", $order, " LIMIT 1"
        )
    };
}

/// Jobs that are due at once.
const READY: Steps = steps!("jobs_ready", "due_at = 0", "rank DESC, id");
/// Jobs that are due at some time.
const TIMED: Steps = steps!("jobs_timed", "due_at > 0", "due_at, rank DESC, id");

/// Every statement of this file.
#[cfg(test)]
pub(super) fn statements() -> impl Iterator<Item = &'static str> {
    let steps = [&READY, &TIMED].into_iter();
    steps.flat_map(|steps| [steps.first, steps.template, steps.controller, steps.tenant]).chain([BEGUN])
}

/// Jobs that were begun and are looked at again at some time: as many as launches are under way, whatever waits.
const BEGUN: &str = "SELECT tenant, controller, template, rank, id, due_at FROM jobs INDEXED BY jobs_timed_begun
    WHERE due_at > 0 AND holder IS NULL AND rank >= 10 AND due_at <= ?1";

/// The first due job of each queue, of those that nobody holds.
pub(super) fn read(connection: &Connection, now: Moment) -> Result<Vec<Head>> {
    let mut heads = firsts(connection, &READY)?;
    heads.extend(firsts(connection, &TIMED)?.into_iter().filter(|(_, due)| *due <= now));
    heads.extend(sql::all(connection, BEGUN, params![now.micros()], first)?);
    let mut heads: Vec<Head> = heads.into_iter().map(|(head, _)| head).collect();
    heads.sort_by(|a, b| place_of(a).cmp(&place_of(b)));
    heads.dedup_by(|later, first| later.queue == first.queue);
    Ok(heads)
}

/// Where a head stands among all: by queue, the first of each before its others.
fn place_of(head: &Head) -> (&str, &str, &str, i64, &str) {
    let Queue { tenant, controller, template } = &head.queue;
    (tenant.as_str(), controller, template, -head.rank, &head.job)
}

/// The first job of each queue in the order of an index, and when it is due.
fn firsts(connection: &Connection, steps: &Steps) -> Result<Vec<(Head, Moment)>> {
    let mut found: Vec<(Head, Moment)> = Vec::new();
    let mut next = sql::one(connection, steps.first, (), first)?;
    let mut step_up_to = |most: usize| -> Result<bool> {
        while found.len() < most {
            let Some(one) = next.take() else { return Ok(false) };
            next = behind(connection, steps, &one.0.queue)?;
            found.push(one);
        }
        Ok(true)
    };
    if step_up_to(FEW)? {
        at_length(|| step_up_to(usize::MAX))?;
    }
    Ok(found)
}

fn behind(connection: &Connection, steps: &Steps, queue: &Queue) -> Result<Option<(Head, Moment)>> {
    let Queue { tenant, controller, template } = queue;
    let tenant = tenant.as_str();
    if let Some(next) = sql::one(connection, steps.template, params![tenant, controller, template], first)? {
        return Ok(Some(next));
    }
    if let Some(next) = sql::one(connection, steps.controller, params![tenant, controller], first)? {
        return Ok(Some(next));
    }
    sql::one(connection, steps.tenant, params![tenant], first)
}

fn first(row: &Row<'_>) -> Result<(Head, Moment)> {
    let tenant = TenantId::trusted(text(row, 0)?);
    let queue = Queue { tenant, controller: get(row, 1)?, template: get(row, 2)? };
    let due = moment(row, 5)?.unwrap_or(crate::job::AT_ONCE);
    Ok((Head { queue, rank: get(row, 3)?, job: get(row, 4)? }, due))
}
