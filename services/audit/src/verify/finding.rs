//! What can be wrong with a log.

use std::fmt;

use super::Claim;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A line is not a record.
    Unreadable {
        /// Which line, from 1.
        line: u64,
    },
    /// A record of another log stands among these.
    Foreign {
        /// Which line, from 1.
        line: u64,
        /// Its place in that log.
        index: u64,
        /// Whose log that is.
        tenant: String,
    },
    /// Records are not there.
    Missing {
        /// The first.
        from: u64,
        /// The one after the last.
        to: u64,
    },
    /// A record stands in another place than its own.
    Misplaced {
        /// Which line, from 1.
        line: u64,
        /// Where it belongs.
        index: u64,
    },
    /// A second record claims a place.
    Repeated {
        /// Which line, from 1.
        line: u64,
        /// The place.
        index: u64,
    },
    /// Among these records one or more are not what was sealed: changed, replaced, or removed and renumbered.
    Changed {
        /// The first that is in doubt.
        from: u64,
        /// The one after the last that is in doubt.
        to: u64,
    },
    /// Records at the end are not there.
    Truncated {
        /// How many are there.
        records: u64,
        /// How many a checkpoint says there are.
        size: u64,
    },
    /// Records at the end that no checkpoint covers.
    Uncovered {
        /// The first.
        from: u64,
        /// The one after the last.
        to: u64,
    },
    /// The records are not those of the earlier checkpoint: the log's past was rewritten.
    Rewritten {
        /// How many records that checkpoint covers.
        size: u64,
    },
    /// A checkpoint that cannot be believed.
    CheckpointRefused {
        /// Which of them.
        claim: Claim,
        /// Why.
        why: String,
    },
    /// A service saw more of the log: its end was cut off, or it was put back to an older copy.
    Older {
        /// The service.
        by: String,
        /// How many records it saw.
        saw: u64,
        /// How many there are.
        there: u64,
    },
    /// A service saw other records: the log was put back to an older copy and has grown since, or was rewritten.
    Differs {
        /// The service.
        by: String,
        /// How many records it saw.
        size: u64,
    },
    /// A service saw the log signed by another key.
    OtherKey {
        /// The service.
        by: String,
        /// The key it saw.
        key: String,
    },
    /// A service saw more accepted restores than the log tells of.
    RestoresMissing {
        /// The service.
        by: String,
        /// How many it saw.
        saw: u64,
        /// How many there are.
        there: u64,
    },
    /// Its tenant exists, and there is nothing of the log.
    NoLog,
    /// The log cannot be read to its end.
    CannotBeRead {
        /// What the store said.
        why: String,
    },
    /// There is no checkpoint at all: nothing is proven.
    NoCheckpoint,
    /// A stored tile is not what the records make it; proofs from it are worthless.
    TileDiffers {
        /// Its level.
        level: u32,
        /// Its place in the level.
        index: u64,
    },
    /// There are more or fewer tiles than the records make.
    TileCount {
        /// How many are stored.
        stored: u64,
        /// How many there must be.
        expected: u64,
    },
    /// A column to search by does not say what its record says; the record would not be found.
    ColumnDiffers {
        /// Which record.
        index: u64,
        /// Which column.
        column: &'static str,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { line } => write!(f, "line {line} is not a record"),
            Self::Foreign { line, index, tenant } => {
                write!(f, "line {line} is record {index} of another log, that of {tenant:?}")
            }
            Self::Missing { from, to } => write!(f, "{} missing", records(*from, *to)),
            Self::Misplaced { line, index } => {
                write!(f, "record {index} is out of place, in line {line}")
            }
            Self::Repeated { line, index } => {
                write!(f, "line {line} claims the place of record {index}, which is taken")
            }
            Self::Changed { from, to } if to - from == 1 => {
                write!(f, "record {from} is not what was sealed")
            }
            Self::Changed { from, to } => {
                write!(f, "at least one of the records {from} to {} is not what was sealed", to - 1)
            }
            Self::Truncated { records: 0, size } => {
                write!(f, "all records are missing: a checkpoint covers {size}")
            }
            Self::Truncated { records, size } => {
                write!(f, "the end is cut off: a checkpoint covers {size} records, only {records} are there")
            }
            Self::Uncovered { from, to } => {
                write!(f, "{} there, but covered by no checkpoint", records(*from, *to))
            }
            Self::Rewritten { size } => {
                write!(f, "the first {size} records are not those of the earlier checkpoint: the past was rewritten")
            }
            Self::CheckpointRefused { claim: Claim::Own, why } => {
                write!(f, "a checkpoint of the log is refused: {why}")
            }
            Self::CheckpointRefused { claim: Claim::Trusted, why } => {
                write!(f, "the earlier checkpoint is refused: {why}")
            }
            Self::Older { by, saw, there } => {
                write!(f, "{by} saw {saw} records of it, only {there} are there: cut off, or put back to an older copy")
            }
            Self::Differs { by, size } => {
                write!(
                    f,
                    "its first {size} records are not those that {by} saw: put back to an older copy, or rewritten"
                )
            }
            Self::OtherKey { by, key } => write!(f, "{by} saw it signed by another key: {key}"),
            Self::RestoresMissing { by, saw, there } => {
                write!(
                    f,
                    "{by} saw it after {saw} accepted restores, it has records of {there}: put back to an older copy"
                )
            }
            Self::NoLog => f.write_str("its tenant exists, but its log is gone"),
            Self::CannotBeRead { why } => write!(f, "it cannot be read to the end: {why}"),
            Self::NoCheckpoint => f.write_str("there is no checkpoint, so nothing is proven"),
            Self::TileDiffers { level, index } => {
                write!(f, "the stored tile {index} of level {level} does not match the records")
            }
            Self::TileCount { stored, expected } => {
                write!(f, "there are {stored} tiles, but the records make {expected}")
            }
            Self::ColumnDiffers { index, column } => {
                write!(f, "record {index} cannot be found by its {column}: the column says something else")
            }
        }
    }
}

fn records(from: u64, to: u64) -> String {
    if to - from == 1 { format!("record {from} is") } else { format!("records {from} to {} are", to - 1) }
}

/// Findings in the order they were made; a log that is wrong everywhere does not fill the memory.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) kept: Vec<Finding>,
    pub(super) omitted: u64,
}

impl Findings {
    const MOST: usize = 100;

    pub(super) fn add(&mut self, finding: Finding) {
        if self.kept.len() < Self::MOST {
            self.kept.push(finding);
        } else {
            self.omitted += 1;
        }
    }

    /// Replaces a range in doubt by the records in it that are known to have changed.
    pub(super) fn narrow(&mut self, changed: &[u64]) {
        for finding in std::mem::take(&mut self.kept) {
            match finding {
                Finding::Changed { from, to } if changed.iter().any(|index| (from..to).contains(index)) => {
                    for index in changed.iter().filter(|index| (from..to).contains(index)) {
                        self.add(Finding::Changed { from: *index, to: index + 1 });
                    }
                }
                other => self.add(other),
            }
        }
    }
}
