//! The offline proof: given records and checkpoints, is this the log that was sealed?
//!
//! Needs nothing but the lines, the notes and the verifier key: no network, no database, no trust in whoever hands
//! the files over. A log whose records were changed, removed, reordered, inserted or cut off at the end does not pass;
//! a log that was rewritten and signed anew passes against its own checkpoint only, which is why an earlier checkpoint,
//! kept elsewhere, can be given as well.

mod finding;
mod report;

use std::collections::BTreeMap;

pub use finding::Finding;
pub use report::Report;

use crate::merkle::{Frontier, Hash, Tile, TileId, empty_root};
use crate::note::{Checkpoint, VerifierKey};
use crate::record::{ACCEPT_RESTORE, LogPosition, Record, line_hash};
use crate::seen::SeenHead;
use finding::Findings;

/// What kind of checkpoint is held against the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// It came with the records.
    Own,
    /// The verifier kept it from earlier, away from the log.
    Trusted,
}

/// Reads a log from its first record on and says what is wrong with it.
///
/// Checkpoints are given before the records they cover; memory does not grow with the log.
#[derive(Debug)]
pub struct Verifier {
    key: VerifierKey,
    tenant: String,
    frontier: Frontier,
    lines: u64,
    next: u64,
    /// Ranges of indexes that were skipped and may still turn up in the wrong place: start → end.
    gaps: BTreeMap<u64, u64>,
    /// Whether the records so far are not in the places they claim: then roots cannot fit and say nothing more.
    disordered: bool,
    claims: BTreeMap<u64, Vec<(Claim, Hash)>>,
    covered: Option<u64>,
    trusted: Vec<u64>,
    proven: Option<(u64, Hash)>,
    mismatched: bool,
    /// What services saw of it.
    seen: Vec<SeenHead>,
    /// The roots at the sizes that services saw.
    roots: BTreeMap<u64, Hash>,
    /// How many restores of it an operator accepted.
    restores: u64,
    notes: Vec<String>,
    findings: Findings,
}

impl Verifier {
    /// Starts on the log that the key is named for.
    #[must_use]
    pub fn new(key: VerifierKey) -> Self {
        let tenant = tenant_of(key.name()).to_owned();
        Self {
            key,
            tenant,
            frontier: Frontier::default(),
            lines: 0,
            next: 0,
            gaps: BTreeMap::new(),
            disordered: false,
            claims: BTreeMap::new(),
            covered: None,
            trusted: Vec::new(),
            proven: None,
            mismatched: false,
            seen: Vec::new(),
            roots: BTreeMap::new(),
            restores: 0,
            notes: Vec::new(),
            findings: Findings::default(),
        }
    }

    /// How many records were read.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.lines
    }

    /// Whether every record so far was in the place it claims.
    #[must_use]
    pub fn in_order(&self) -> bool {
        !self.disordered
    }

    /// Whether the records are all there and no checkpoint of the log was found not to fit.
    #[must_use]
    pub fn fits_so_far(&self) -> bool {
        !self.mismatched && self.claims.is_empty()
    }

    /// Adds a checkpoint to hold against the records. Returns it when it can be believed.
    pub fn checkpoint(&mut self, note: &str, claim: Claim) -> Option<Checkpoint> {
        let checkpoint = match Checkpoint::open(note, &self.key) {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                self.findings.add(Finding::CheckpointRefused { claim, why: error.to_string() });
                return None;
            }
        };
        self.covered = self.covered.max(Some(checkpoint.size));
        if checkpoint.size < self.lines {
            let why = format!("it covers {} records and stands behind record {}", checkpoint.size, self.lines - 1);
            self.findings.add(Finding::CheckpointRefused { claim, why });
            return None;
        }
        self.claims.entry(checkpoint.size).or_default().push((claim, checkpoint.root));
        if checkpoint.size == self.lines {
            self.compare();
        }
        Some(checkpoint)
    }

    /// Adds what a service saw of the log, before the records it covers.
    pub fn seen(&mut self, seen: SeenHead) {
        self.seen.push(seen);
    }

    /// Adds something that is not wrong and worth knowing.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Reads the next record's line, without its line feed.
    pub fn record(&mut self, line: &[u8]) {
        let number = self.lines + 1;
        match LogPosition::of(line) {
            Err(_) => {
                self.disordered = true;
                self.findings.add(Finding::Unreadable { line: number });
                self.next = self.next.saturating_add(1);
            }
            Ok(place) => {
                if place.tenant != self.tenant {
                    self.disordered = true;
                    self.findings.add(Finding::Foreign { line: number, index: place.index, tenant: place.tenant });
                }
                self.place(number, place.index);
                self.note_restore(line);
            }
        }
        self.append(line_hash(line));
    }

    /// Takes notice of a line that is too long to be a record.
    pub fn oversized(&mut self) {
        self.disordered = true;
        self.findings.add(Finding::Unreadable { line: self.lines + 1 });
        self.next = self.next.saturating_add(1);
        self.append(empty_root());
    }

    fn append(&mut self, leaf: Hash) {
        self.frontier.append(leaf);
        self.lines += 1;
        self.compare();
        if self.seen.iter().any(|seen| seen.size == self.lines) {
            self.roots.insert(self.lines, self.frontier.root());
        }
    }

    /// Takes notice of a record with which an operator accepts that the log was restored from a copy.
    fn note_restore(&mut self, line: &[u8]) {
        // Nearly no line is one, and parsing costs more than looking.
        if !line.windows(ACCEPT_RESTORE.len()).any(|part| part == ACCEPT_RESTORE.as_bytes()) {
            return;
        }
        let record = std::str::from_utf8(line).ok().and_then(|line| Record::from_line(line).ok());
        if let Some(record) = record.filter(|record| record.entry.accepts_restore()) {
            self.restores += 1;
            self.note(format!(
                "record {}: {} accepted that it was restored from a copy: {}",
                record.index,
                record.entry.actor.principal,
                record.entry.details.text("reason").unwrap_or_default()
            ));
        }
    }

    /// Judges what services saw of the log against all of it.
    fn judge_seen(&mut self) {
        for seen in std::mem::take(&mut self.seen) {
            let SeenHead { by, restores, size, root, key, .. } = seen;
            if restores > self.restores {
                self.findings.add(Finding::RestoresMissing { by, saw: restores, there: self.restores });
            } else if restores < self.restores {
                self.notes.push(format!("{by} last saw {size} records of it, before a restore was accepted"));
            } else if key != self.key.to_string() {
                self.findings.add(Finding::OtherKey { by, key });
            } else if size > self.lines {
                self.findings.add(Finding::Older { by, saw: size, there: self.lines });
            } else if size > 0 && self.roots.get(&size) != Some(&root) {
                self.findings.add(Finding::Differs { by, size });
            } else if size > 0 {
                self.notes.push(format!("continues what {by} saw of it: {size} records"));
            }
        }
    }

    /// Checks that a record is where its index says.
    fn place(&mut self, line: u64, index: u64) {
        if index == self.next {
            self.next = index.saturating_add(1);
            return;
        }
        self.disordered = true;
        if index > self.next {
            self.gaps.insert(self.next, index);
            self.next = index.saturating_add(1);
            return;
        }
        let gap = self.gaps.range(..=index).next_back().map(|(start, end)| (*start, *end));
        match gap {
            Some((start, end)) if index < end => {
                // It was missed further up: it stands in the wrong place.
                self.gaps.remove(&start);
                if start < index {
                    self.gaps.insert(start, index);
                }
                if index + 1 < end {
                    self.gaps.insert(index + 1, end);
                }
                self.findings.add(Finding::Misplaced { line, index });
            }
            _ => self.findings.add(Finding::Repeated { line, index }),
        }
    }

    /// Holds the checkpoints of exactly this size against the tree.
    fn compare(&mut self) {
        let Some(claims) = self.claims.remove(&self.lines) else {
            return;
        };
        // Computed for both orders: roots of records out of place still must not be called proven.
        let root = self.frontier.root();
        for (claim, claimed) in claims {
            match (claimed == root, claim) {
                (true, _) if !self.disordered => {
                    self.proven = Some((self.lines, root));
                    if claim == Claim::Trusted {
                        self.trusted.push(self.lines);
                    }
                }
                (true, _) => {}
                (false, Claim::Trusted) => self.findings.add(Finding::Rewritten { size: self.lines }),
                (false, Claim::Own) if !self.disordered && !self.mismatched => {
                    self.mismatched = true;
                    let from = self.proven.map_or(0, |(size, _)| size);
                    self.findings.add(Finding::Changed { from, to: self.lines });
                }
                (false, Claim::Own) => {}
            }
        }
    }

    /// The tiles that the records so far make up, to hold against stored ones; each is given once per change.
    pub fn take_tiles(&mut self) -> Vec<(TileId, Tile)> {
        self.frontier.take_changed()
    }

    /// Adds what somebody who knows more than the lines found.
    pub fn add(&mut self, finding: Finding) {
        self.findings.add(finding);
    }

    /// Says which records were changed where all that is known is that one in a range was.
    pub fn narrow(&mut self, changed: &[u64]) {
        self.findings.narrow(changed);
    }

    /// Ends the log and says what was found.
    pub fn finish(mut self) -> Report {
        for (start, end) in std::mem::take(&mut self.gaps) {
            self.findings.add(Finding::Missing { from: start, to: end });
        }
        if let Some((size, _)) = self.claims.last_key_value() {
            self.findings.add(Finding::Truncated { records: self.lines, size: *size });
        }
        self.judge_seen();
        match self.covered {
            None => self.findings.add(Finding::NoCheckpoint),
            Some(size) if size < self.lines => self.findings.add(Finding::Uncovered { from: size, to: self.lines }),
            Some(_) => {}
        }
        Report {
            log: self.key.name().to_owned(),
            key: self.key.to_string(),
            records: self.lines,
            proven: self.proven,
            trusted: self.trusted,
            notes: self.notes,
            findings: self.findings.kept,
            omitted: self.findings.omitted,
        }
    }
}

/// The tenant a log is of: what stands behind the last slash of its name.
#[must_use]
pub fn tenant_of(origin: &str) -> &str {
    origin.rsplit_once('/').map_or(origin, |(_, tenant)| tenant)
}

#[cfg(test)]
mod tests;
