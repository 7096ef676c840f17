//! What a check of a log comes to.

use std::fmt;

use super::Finding;
use crate::merkle::Hash;

/// The outcome of checking one log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a report that nobody reads proves nothing"]
pub struct Report {
    /// The log's name.
    pub log: String,
    /// The key its checkpoints were checked with.
    pub key: String,
    /// How many records were read.
    pub records: u64,
    /// The largest checkpoint that fits: its size and root.
    pub proven: Option<(u64, Hash)>,
    /// The sizes of earlier checkpoints that this log continues.
    pub trusted: Vec<u64>,
    /// What is not wrong and worth knowing.
    pub notes: Vec<String>,
    /// What is wrong; empty for a log that is whole.
    pub findings: Vec<Finding>,
    /// How many more findings there were than are listed.
    pub omitted: u64,
}

impl Report {
    /// Every record is there, in its place, as it was sealed, and a signed checkpoint covers all of them.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.findings.is_empty() && self.proven.is_some_and(|(size, _)| size == self.records)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_whole() { "whole" } else { "NOT WHOLE" };
        writeln!(f, "{}: {verdict}", self.log)?;
        for finding in &self.findings {
            writeln!(f, "  ✗ {finding}")?;
        }
        if self.omitted > 0 {
            writeln!(f, "  ✗ and {} more", self.omitted)?;
        }
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        match &self.proven {
            Some((size, root)) => {
                let s = plural(*size);
                writeln!(f, "  ✓ {size} record{s}, in order and as sealed, under the root {root}")?;
                writeln!(f, "  ✓ signed by {}", self.key)?;
            }
            None => writeln!(f, "  ✗ none of {} record{} proven", self.records, plural(self.records))?,
        }
        for size in &self.trusted {
            writeln!(f, "  ✓ continues the earlier checkpoint of {size} record{}", plural(*size))?;
        }
        for note in &self.notes {
            writeln!(f, "  · {note}")?;
        }
        Ok(())
    }
}
