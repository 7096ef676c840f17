//! Reading and proving. Whatever is proven is checked against the signed checkpoint before it is handed out.

use std::ops::Range;
use std::sync::Arc;

use super::{LogError, origin};
use crate::merkle::proof::{ProofError, consistency_ranges, inclusion_ranges, verify_inclusion};
use crate::merkle::{Hash, Tiles, empty_root};
use crate::note::{Checkpoint, SigningKey, VerifierKey};
use crate::record::{Record, line_hash};
use crate::store::{Filter, LogStore};

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

/// Reads logs.
#[derive(Debug, Clone)]
pub struct Reader {
    store: Arc<dyn LogStore>,
    key: Arc<SigningKey>,
}

impl Reader {
    /// Reads from this store the logs signed by this key.
    #[must_use]
    pub fn new(store: Arc<dyn LogStore>, key: Arc<SigningKey>) -> Self {
        Self { store, key }
    }

    /// Records that fit, newest first, from below an index on.
    ///
    /// # Errors
    /// When the store fails, or holds what is no record.
    pub async fn list(
        &self,
        tenant: &str,
        filter: &Filter,
        below: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(Record, Hash)>, LogError> {
        let lines = self.store.list(tenant, filter, below, limit).await?;
        lines.into_iter().map(|line| Ok((read(tenant, &line)?, line_hash(line.as_bytes())))).collect()
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
