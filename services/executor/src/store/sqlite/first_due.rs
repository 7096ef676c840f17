//! The first due job of one queue: what is next of those that are due at once, of those whose time has come, and of those
//! that were begun, each one look along an index.

use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use rusqlite::{Connection, Params, params};

use super::documents::write;
use super::sql::{at_length, failed, get, text};
use crate::job::Queue;
use crate::wait::scheduler::Turn;

/// How many of those whose time has come are looked at: the ones that waited longest for their turn.
const LONGEST_WAITING: i64 = 1000;

/// Those that are due at once, the first first.
const READY: &str = "SELECT rank, id FROM jobs INDEXED BY jobs_ready
    WHERE due_at = 0 AND holder IS NULL AND tenant = ?1 AND controller = ?2 AND template = ?3 AND rank >= ?4
    ORDER BY rank DESC, id LIMIT 1";
/// The same, without what holds principals back.
const READY_WITHOUT: &str = "SELECT rank, id FROM jobs INDEXED BY jobs_ready
    WHERE due_at = 0 AND holder IS NULL AND tenant = ?1 AND controller = ?2 AND template = ?3 AND rank >= ?4
        AND (rank >= ?5 OR principal NOT IN (SELECT value FROM json_each(?6)))
    ORDER BY rank DESC, id LIMIT 1";
/// Those whose time has come, in the order in which it came.
const TIMED: &str = "SELECT rank, id FROM jobs INDEXED BY jobs_timed
    WHERE due_at > 0 AND holder IS NULL AND tenant = ?1 AND controller = ?2 AND template = ?3 AND due_at <= ?4
        AND rank >= ?5
    ORDER BY due_at, rank DESC, id LIMIT ?6";
/// The same, without what holds principals back.
const TIMED_WITHOUT: &str = "SELECT rank, id FROM jobs INDEXED BY jobs_timed
    WHERE due_at > 0 AND holder IS NULL AND tenant = ?1 AND controller = ?2 AND template = ?3 AND due_at <= ?4
        AND rank >= ?5 AND (rank >= ?7 OR principal NOT IN (SELECT value FROM json_each(?8)))
    ORDER BY due_at, rank DESC, id LIMIT ?6";
/// Those that were begun, however many others wait, the first first.
const BEGUN: &str = "SELECT rank, id FROM jobs INDEXED BY jobs_timed_begun
    WHERE due_at > 0 AND holder IS NULL AND rank >= 10 AND tenant = ?1 AND controller = ?2 AND template = ?3
        AND due_at <= ?4 AND rank >= ?5
    ORDER BY rank DESC, id LIMIT 1";

/// Its id. Jobs below the rank `not_held_back` are passed over if they are of principals who may have no more.
pub(super) fn id(connection: &Connection, turn: &Turn, not_held_back: i64, now: Moment) -> Result<Option<String>> {
    let Queue { tenant, controller, template } = &turn.queue;
    let (tenant, from_rank, now) = (tenant.as_str(), turn.from_rank, now.micros());
    let mut first = None;
    let begun = params![tenant, controller, template, now, from_rank];
    if turn.without.is_empty() {
        look(connection, READY, params![tenant, controller, template, from_rank], &mut first)?;
        let timed = params![tenant, controller, template, now, from_rank, LONGEST_WAITING];
        look(connection, TIMED, timed, &mut first)?;
        look(connection, BEGUN, begun, &mut first)?;
    } else {
        // Each of theirs is looked at.
        at_length(|| {
            let without = write(&turn.without)?;
            let ready = params![tenant, controller, template, from_rank, not_held_back, without];
            look(connection, READY_WITHOUT, ready, &mut first)?;
            let timed = params![tenant, controller, template, now, from_rank, LONGEST_WAITING, not_held_back, without];
            look(connection, TIMED_WITHOUT, timed, &mut first)?;
            look(connection, BEGUN, begun, &mut first)
        })?;
    }
    Ok(first.map(|(_, id)| id))
}

/// Keeps the first of what a statement finds and of what was found before: the one of the highest rank, and of those the
/// one with the least id.
fn look(connection: &Connection, sql: &str, with: impl Params, first: &mut Option<(i64, String)>) -> Result<()> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(with).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let (rank, id) = (get::<i64>(row, 0)?, text(row, 1)?);
        if first.as_ref().is_none_or(|(highest, least)| rank > *highest || (rank == *highest && id < least.as_str())) {
            *first = Some((rank, id.to_owned()));
        }
    }
    Ok(())
}
