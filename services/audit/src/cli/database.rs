//! Checking the service's own file, every log in it, with all that is stored beside the records: each checkpoint that
//! was ever signed, every tile, and the columns that records are found by.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use runwarden_engines::StoreError;

use super::{CliError, Known, Verdict, parse_key, read_text};
use crate::log::origin;
use crate::merkle::{Hash, TILE_WIDTH, Tile, TileId};
use crate::note::Checkpoint;
use crate::record::Record;
use crate::signing_key;
use crate::store::{Columns, Scan};
use crate::verify::{Claim, Finding, Verifier, tenant_of};

/// How many rows are read at once.
const AT_ONCE: u32 = 500;
/// How many changed records are named.
const MOST_NAMED: usize = 100;

/// What a database is held against, besides itself.
#[derive(Debug, Clone, Default)]
pub struct Against<'a> {
    /// Any log's verifier key (one key signs all logs); without it, signatures are checked with the key in
    /// `audit-signing.key` beside the database.
    pub key: Option<&'a str>,
    /// Checkpoints that were kept elsewhere: whoever owns the database and the signing key can rewrite both, but not
    /// those.
    pub since: &'a [PathBuf],
    /// What others know. It must have been read before the database is opened: then it cannot be ahead of it.
    pub known: Known,
}

/// Checks every log in the service's database and the file itself, also while the service runs.
///
/// # Errors
/// When nothing can be read, or there are no logs at all. A log that is not whole is not an error but a report.
pub async fn verify_database(path: &Path, against: Against<'_>) -> Result<Verdict, CliError> {
    let Against { key: given, since, known } = against;
    let key = match given {
        Some(key) => parse_key(key)?,
        None => {
            let key = signing_key::read(path.parent().unwrap_or(Path::new("."))).map_err(CliError::NoKey)?;
            key.verifier(&origin("any"))?
        }
    };
    let mut kept: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in since {
        let note = read_text(file)?;
        let checkpoint =
            Checkpoint::unverified(&note).map_err(|source| CliError::Checkpoint { path: file.clone(), source })?;
        kept.entry(tenant_of(&checkpoint.origin).to_owned()).or_default().push(note);
    }
    let failed = |source| CliError::Database { path: path.to_owned(), source };
    let mut scan = Scan::open(path).await.map_err(failed)?;
    let mut verdict = Verdict { engine: scan.integrity().await.map_err(failed)?, ..Verdict::default() };
    let mut tenants: BTreeSet<String> = match scan.tenants().await {
        Ok(tenants) => tenants.into_iter().collect(),
        // What the engine said already is more than that nothing can be read.
        Err(_) if !verdict.engine.is_empty() => return Ok(verdict),
        Err(error) => return Err(failed(error)),
    };
    // A log that is gone altogether is only missed by those who know of it.
    tenants.extend(kept.keys().cloned());
    tenants.extend(known.seen.iter().map(|seen| seen.log.clone()));
    let waiting = known.waiting.iter().filter(|tenant| !tenants.contains(*tenant)).cloned().collect::<Vec<_>>();
    let expected = known.tenants.clone().unwrap_or_default();
    tenants.extend(expected.iter().filter(|tenant| !waiting.contains(tenant)).cloned());
    if tenants.is_empty() {
        return Err(CliError::NoLogs(path.to_owned()));
    }
    for tenant in tenants {
        let since = kept.remove(&tenant).unwrap_or_default();
        let mut verifier = Verifier::new(key.renamed(&origin(&tenant))?);
        for note in since {
            verifier.checkpoint(&note, Claim::Trusted);
        }
        for seen in known.seen.iter().filter(|seen| seen.log == tenant) {
            verifier.seen(seen.clone());
        }
        if let Err(error) = verify_log(&mut scan, &tenant, &mut verifier).await {
            verifier.add(Finding::CannotBeRead { why: error.to_string() });
        }
        if verifier.records() == 0 && expected.contains(&tenant) {
            verifier.add(Finding::NoLog);
        }
        if !known.asked.is_empty() && !known.seen.iter().any(|seen| seen.log == tenant) {
            verifier.note(
                "no service reports how much of this log it saw: its end is taken from its own checkpoint".into(),
            );
        }
        verdict.reports.push(verifier.finish());
    }
    scan.close().await.map_err(failed)?;
    tell_what_was_compared(&mut verdict, given.is_some(), since.len(), &known, &waiting);
    Ok(verdict)
}

/// Says what the logs were held against, and what nobody could have noticed.
fn tell_what_was_compared(verdict: &mut Verdict, key: bool, since: usize, known: &Known, waiting: &[String]) {
    let mut told = |is: bool, compared: &str, not: &str| {
        if is { verdict.compared.push(compared.to_owned()) } else { verdict.uncompared.push(not.to_owned()) }
    };
    told(
        known.tenants.is_some(),
        "the tenants that exist",
        "which tenants exist; a log that is gone altogether goes unnoticed",
    );
    let asked = known.asked.join(", ");
    told(
        !known.asked.is_empty(),
        &format!("what was seen of the logs by {asked}"),
        "what services saw of the logs; an older copy looks intact",
    );
    told(
        since > 0,
        &format!("{since} earlier checkpoints"),
        "checkpoints kept elsewhere (--since); the owner of this machine can rewrite everything on it",
    );
    told(
        key,
        "the given key",
        "the key (--key); signatures were checked with the one beside the database, which may have been replaced",
    );
    for unasked in &known.unasked {
        verdict.uncompared.push(unasked.clone());
    }
    for tenant in waiting {
        verdict.compared.push(format!("the entries of {tenant} that wait to be recorded: its log begins with them"));
    }
}

async fn verify_log(scan: &mut Scan, tenant: &str, verifier: &mut Verifier) -> Result<(), StoreError> {
    let mut beside = Beside::default();
    let mut position = None;
    let mut above = None;
    loop {
        // Checkpoints ahead of the records they cover, a page of each at a time.
        let checkpoints = scan.checkpoints(tenant, above, AT_ONCE).await?;
        let Some((last, _)) = checkpoints.last() else { break };
        above = Some(*last);
        for (size, note) in &checkpoints {
            let checkpoint = verifier.checkpoint(note, Claim::Own);
            if let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.size != *size) {
                let why = format!("it covers {} records but is stored as covering {size}", checkpoint.size);
                verifier.add(Finding::CheckpointRefused { claim: Claim::Own, why });
            }
        }
        beside.read_records(scan, tenant, verifier, &mut position, above).await?;
    }
    beside.read_records(scan, tenant, verifier, &mut position, None).await?;
    beside.report(scan, tenant, verifier).await
}

/// What is stored beside the records and must agree with them.
#[derive(Debug, Default)]
struct Beside {
    /// Records whose stored leaf hash is another.
    changed: Vec<u64>,
    /// Tiles that differ in anything.
    tiles: BTreeSet<TileId>,
    /// The last tile of each level, which may still grow: compared at the end.
    edge: BTreeMap<u32, (TileId, Tile)>,
}

impl Beside {
    /// Feeds records up to a size, or all that are left.
    async fn read_records(
        &mut self,
        scan: &mut Scan,
        tenant: &str,
        verifier: &mut Verifier,
        position: &mut Option<u64>,
        upto: Option<u64>,
    ) -> Result<(), StoreError> {
        while upto.is_none_or(|size| verifier.records() < size) {
            let left = upto.map_or(u64::MAX, |size| size - verifier.records());
            let limit = u32::try_from(left).unwrap_or(AT_ONCE).min(AT_ONCE);
            let records = scan.records(tenant, *position, limit).await?;
            let Some(last) = records.last() else { return Ok(()) };
            *position = Some(last.index);
            for stored in &records {
                verifier.record(stored.line.as_bytes());
                let Ok(record) = Record::from_line(&stored.line) else { continue };
                for column in Columns::of(&record).differences(&stored.columns) {
                    verifier.add(Finding::ColumnDiffers { index: stored.index, column });
                }
                if record.index != stored.index {
                    verifier.add(Finding::ColumnDiffers { index: record.index, column: "index" });
                }
            }
            for (id, tile) in verifier.take_tiles() {
                if tile.is_full() {
                    self.compare(scan, tenant, id, &tile).await?;
                    self.edge.remove(&id.level);
                } else {
                    self.edge.insert(id.level, (id, tile));
                }
            }
        }
        Ok(())
    }

    async fn compare(&mut self, scan: &mut Scan, tenant: &str, id: TileId, tile: &Tile) -> Result<(), StoreError> {
        let stored = scan.tile(tenant, id).await?.unwrap_or_default();
        if stored == tile.to_bytes() {
            return Ok(());
        }
        if self.tiles.len() < MOST_NAMED {
            self.tiles.insert(id);
        }
        if id.level == 0 {
            let pairs = tile.hashes().iter().zip(stored.chunks(Hash::LENGTH));
            for (at, _) in pairs.enumerate().filter(|(_, (hash, stored))| hash.as_bytes() != stored) {
                if self.changed.len() < MOST_NAMED {
                    self.changed.push(id.index * TILE_WIDTH as u64 + at as u64);
                }
            }
        }
        Ok(())
    }

    /// Says what disagrees. A record whose hash is not the stored one was changed if the checkpoints say that one
    /// was; if they say that none was, it is the tile that is wrong.
    async fn report(mut self, scan: &mut Scan, tenant: &str, verifier: &mut Verifier) -> Result<(), StoreError> {
        for (id, tile) in std::mem::take(&mut self.edge).into_values() {
            self.compare(scan, tenant, id, &tile).await?;
        }
        if !verifier.in_order() {
            // Everything behind the first record out of place has another hash; that is said already.
            return Ok(());
        }
        verifier.narrow(&self.changed);
        if verifier.fits_so_far() {
            for id in &self.tiles {
                verifier.add(Finding::TileDiffers { level: id.level, index: id.index });
            }
            let expected = crate::merkle::count_tiles(verifier.records());
            let stored = scan.count_tiles(tenant).await?;
            if stored != expected {
                verifier.add(Finding::TileCount { stored, expected });
            }
        }
        Ok(())
    }
}
