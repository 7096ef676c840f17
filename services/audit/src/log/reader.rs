//! Reading and proving. Whatever is proven is checked against the signed checkpoint before it is handed out.

use std::ops::Range;
use std::sync::Arc;

use super::{LogError, origin};
use crate::merkle::proof::{ProofError, consistency_ranges, inclusion_ranges, verify_inclusion};
use crate::merkle::{Hash, Tiles, empty_root};
use crate::note::{Checkpoint, SigningKey, VerifierKey};
use crate::record::{Record, line_hash};
use crate::store::{Filter, Found, LogStore, Page};

/// A checkpoint as it was signed, and what it says.
#[derive(Debug, Clone)]
pub struct SignedCheckpoint {
    /// The note.
    pub note: String,
    /// What it says.
    pub checkpoint: Checkpoint,
    /// What checks its signature.
    pub verifier: VerifierKey,
}

/// A proof that a record is in a log.
#[derive(Debug, Clone)]
pub struct InclusionProof {
    /// Its place.
    pub index: u64,
    /// The line that was hashed.
    pub line: String,
    /// The hashes beside its way to the root, from the leaf up.
    pub hashes: Vec<Hash>,
    /// What it proves against.
    pub against: SignedCheckpoint,
}

/// A proof that a log continues what it was.
#[derive(Debug, Clone)]
pub struct ConsistencyProof {
    /// The hashes, as RFC 9162 orders them.
    pub hashes: Vec<Hash>,
    /// What it proves against.
    pub against: SignedCheckpoint,
}

/// How many records one search looks at, whether they fit or not.
#[derive(Debug, Clone, Copy)]
pub struct SearchLimits {
    /// With one statement: nobody waits longer than that for a connection.
    pub at_once: usize,
    /// In all, in so many statements.
    pub statements: usize,
}

impl Default for SearchLimits {
    fn default() -> Self {
        Self { at_once: 4096, statements: 25 }
    }
}

/// A page of records, and where the search for more of them continues.
#[derive(Debug)]
pub struct RecordPage {
    /// The records with their leaf hashes, newest first.
    pub records: Vec<(Record, Hash)>,
    /// Below which index there may be more that fit; `None` when there are none. What was found ends there, or the
    /// search has looked at all it may.
    pub next_below: Option<u64>,
}

/// Reads logs.
#[derive(Debug, Clone)]
pub struct Reader {
    store: Arc<dyn LogStore>,
    key: Arc<SigningKey>,
    limits: SearchLimits,
}

impl Reader {
    /// Reads from this store the logs signed by this key.
    #[must_use]
    pub fn new(store: Arc<dyn LogStore>, key: Arc<SigningKey>) -> Self {
        Self { store, key, limits: SearchLimits::default() }
    }

    /// The same with other limits on searches.
    #[must_use]
    pub fn within(mut self, limits: SearchLimits) -> Self {
        self.limits = limits;
        self
    }

    /// At most `limit` records that fit, newest first, from below an index on. A search that looked at
    /// [`SearchLimits`] records ends with what it found by then.
    ///
    /// # Errors
    /// When the store fails, or holds what is not a record.
    pub async fn list(
        &self,
        tenant: &str,
        filter: &Filter,
        mut below: Option<u64>,
        limit: usize,
    ) -> Result<RecordPage, LogError> {
        let mut records = Vec::new();
        for _ in 0..self.limits.statements {
            // One more than asked for tells whether there are more.
            let page = Page { below, limit: limit + 1 - records.len(), look: self.limits.at_once };
            let Found { lines, stopped_at } = self.store.list(tenant, filter, page).await?;
            for line in lines {
                records.push((read(tenant, &line)?, line_hash(line.as_bytes())));
            }
            if records.len() > limit {
                records.truncate(limit);
                let next_below = records.last().map(|(record, _)| record.index);
                return Ok(RecordPage { records, next_below });
            }
            below = stopped_at;
            if below.is_none() {
                break;
            }
        }
        Ok(RecordPage { records, next_below: below })
    }

    /// The lines of a range of records, as they were hashed.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn lines(&self, tenant: &str, range: Range<u64>) -> Result<Vec<String>, LogError> {
        Ok(self.store.lines(tenant, range).await?)
    }

    /// The newest checkpoint. A log without records has one as well, signed when it is asked for.
    ///
    /// # Errors
    /// When the store fails, or the stored checkpoint cannot be believed.
    pub async fn checkpoint(&self, tenant: &str) -> Result<SignedCheckpoint, LogError> {
        let origin = origin(tenant);
        let sealing = |error: &dyn std::fmt::Display| LogError::Sealing(error.to_string());
        let verifier = self.key.verifier(&origin).map_err(|error| sealing(&error))?;
        let tail = self.store.tail(tenant).await?;
        let note = match tail.checkpoint {
            Some((_, note)) => note,
            None if tail.records > 0 => return Err(LogError::damaged(tenant, "it has records and no checkpoint")),
            None => {
                let empty = Checkpoint { origin, size: 0, root: empty_root() };
                empty.sign(&self.key).map_err(|error| sealing(&error))?
            }
        };
        let checkpoint = Checkpoint::open(&note, &verifier)
            .map_err(|why| LogError::damaged(tenant, format!("its newest checkpoint is refused: {why}")))?;
        Ok(SignedCheckpoint { note, checkpoint, verifier })
    }

    /// Proves that an entry is in the log; `None` when it is not.
    ///
    /// # Errors
    /// When the store fails, or what it holds proves something else.
    pub async fn prove_inclusion(&self, tenant: &str, entry_id: &str) -> Result<Option<InclusionProof>, LogError> {
        let Some(line) = self.store.find(tenant, &[entry_id]).await?.remove(entry_id) else {
            return Ok(None);
        };
        let index = read(tenant, &line)?.index;
        // Read after the record, so that it covers the record.
        let against = self.checkpoint(tenant).await?;
        let Checkpoint { size, root, .. } = &against.checkpoint;
        let damaged = |why: ProofError| LogError::damaged(tenant, format!("record {index} cannot be proven: {why}"));
        let ranges = inclusion_ranges(index, *size).map_err(damaged)?;
        let hashes = self.hashes(tenant, &ranges).await?;
        verify_inclusion(index, *size, &line_hash(line.as_bytes()), &hashes, root).map_err(damaged)?;
        Ok(Some(InclusionProof { index, line, hashes, against }))
    }

    /// Proves that the log continues what it was at an earlier size; `None` when it never was that large.
    ///
    /// # Errors
    /// When the store fails, or its tiles lack what is needed.
    pub async fn prove_consistency(&self, tenant: &str, old: u64) -> Result<Option<ConsistencyProof>, LogError> {
        let against = self.checkpoint(tenant).await?;
        let Ok(ranges) = consistency_ranges(old, against.checkpoint.size) else { return Ok(None) };
        let hashes = self.hashes(tenant, &ranges).await?;
        Ok(Some(ConsistencyProof { hashes, against }))
    }

    async fn hashes(&self, tenant: &str, ranges: &[Range<u64>]) -> Result<Vec<Hash>, LogError> {
        let needed: Vec<_> = Tiles::needed(ranges).into_iter().collect();
        let tiles = self.store.tiles(tenant, &needed).await?;
        ranges
            .iter()
            .map(|range| tiles.range(range).ok_or_else(|| LogError::damaged(tenant, "tiles are missing")))
            .collect()
    }
}

fn read(tenant: &str, line: &str) -> Result<Record, LogError> {
    Record::from_line(line).map_err(|_| LogError::damaged(tenant, "a stored line is not a record"))
}
