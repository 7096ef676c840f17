//! What every [`LogStore`] must do. An engine runs it with `log_store_conformance!`, which makes one test of each function
//! here.
//!
//! Each function takes a [`Bench`] whose store is fresh and empty.

mod appends;
mod searches;

use std::sync::Arc;

use anyhow::Result;
use runwarden_engines::conformance::Faults;

pub(crate) use appends::*;
pub(crate) use searches::*;

use super::{Batch, Filter, LogStore, Page, Sealed};
use crate::merkle::{Tile, TileId};
use crate::record::{Entry, Record, Timestamp, examples, line_hash};

/// Makes one test of each promise. `$make` is an async function without arguments that answers
/// `anyhow::Result<(guard, Bench)>`; the guard keeps what the store needs (a folder, a server) alive.
macro_rules! log_store_conformance {
    ($make:path) => {
        runwarden_engines::conformance_tests!(
            $make,
            [crate::store::conformance],
            a_batch_is_read_as_it_was_appended,
            what_is_not_there_is_empty,
            an_append_that_fails_leaves_nothing_in_any_log,
            an_append_that_is_cut_off_is_whole_or_not_done,
            of_writers_that_race_for_a_place_one_gets_it,
            logs_that_race_do_not_meet,
            the_end_of_a_log_is_of_one_moment,
            what_was_sealed_never_changes,
            a_search_takes_every_name_literally,
            times_that_go_back_leave_the_order_of_the_log,
            pages_follow_one_another_while_the_log_grows,
            a_search_that_stops_early_goes_on_where_it_stopped,
            any_number_of_entries_is_found_and_nothing_else,
        );
    };
}
pub(crate) use log_store_conformance;

/// A store under test.
pub(crate) struct Bench {
    /// Two ways to the same store, as two processes have them.
    pub(crate) stores: [Arc<dyn LogStore>; 2],
    /// How it is made to fail.
    pub(crate) faults: Arc<dyn Faults>,
}

impl Bench {
    fn store(&self) -> &dyn LogStore {
        &*self.stores[0]
    }

    /// Whether a log is so long, in all that there is of it.
    async fn is_so_long(&self, tenant: &str, size: u64) -> Result<bool> {
        let tail = self.store().tail(tenant).await?;
        let lines = self.store().lines(tenant, 0..u64::MAX >> 1).await?.len() as u64;
        let tiles = self.store().tiles(tenant, &[TileId { level: 0, index: 0 }]).await?;
        let hashes = tiles.get(TileId { level: 0, index: 0 }).map_or(0, |tile| tile.hashes().len() as u64);
        let checkpoint = tail.checkpoint.map_or(0, |(size, _)| size);
        Ok([tail.records, lines, hashes, checkpoint].iter().all(|length| *length == size))
    }
}

/// Everything there is.
const ALL: Page = Page { below: None, limit: 10_000, look: 10_000 };

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(1_795_327_200_000_000 + second * 1_000_000).expect("a time within the calendar")
}

/// An entry whose id is its place in the log.
fn numbered(index: u64) -> Entry {
    examples::entry(&format!("rec_{index}"))
}

/// The next of a log, of which so many records are there already; at most as many as the first tile has room for.
fn batch(tenant: &str, have: u64, entries: impl IntoIterator<Item = Entry>) -> Result<Batch> {
    let mut records = Vec::new();
    for (index, entry) in (have..).zip(entries) {
        let record = Record::new(tenant.to_owned(), index, at(0), entry);
        let line = record.to_line()?;
        records.push(Sealed { record, line });
    }
    let size = have + records.len() as u64;
    // A tile only grows: what was there before is made again, from the examples it was made of.
    let mut hashes = (0..have).map(|index| old_hash(tenant, index)).collect::<Result<Vec<_>>>()?;
    hashes.extend(records.iter().map(|sealed| line_hash(sealed.line.as_bytes())));
    let tiles = vec![(TileId { level: 0, index: 0 }, Tile::new(hashes))];
    Ok(Batch {
        tenant: tenant.to_owned(), records, tiles, size, checkpoint: format!("{tenant} {size} ä\n"), at: at(0)
    })
}

fn old_hash(tenant: &str, index: u64) -> Result<crate::merkle::Hash> {
    let line = Record::new(tenant.to_owned(), index, at(0), numbered(index)).to_line()?;
    Ok(line_hash(line.as_bytes()))
}

/// The next records of a log, each [`numbered`].
fn more(tenant: &str, have: u64, count: u64) -> Result<Batch> {
    batch(tenant, have, (have..have + count).map(numbered))
}

/// The indexes of lines.
fn indexes(lines: &[String]) -> Result<Vec<u64>> {
    lines.iter().map(|line| Ok(Record::from_line(line)?.index)).collect()
}

async fn found(store: &dyn LogStore, filter: &Filter) -> Result<Vec<u64>> {
    indexes(&store.list("acme", filter, ALL).await?.lines)
}
