//! Several reports, one below the other, and the verdict over all.

use std::fmt;
use std::ops::Deref;

use crate::verify::Report;

/// What a check comes to: the logs, the file they are in, and what they were compared with.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Log by log.
    pub reports: Vec<Report>,
    /// What the engine itself finds wrong with the file.
    pub engine: Vec<String>,
    /// What the logs were compared with besides their own checkpoints.
    pub compared: Vec<String>,
    /// What there was nothing to compare with: what nobody could have noticed.
    pub uncompared: Vec<String>,
}

impl From<Report> for Verdict {
    fn from(report: Report) -> Self {
        Self { reports: vec![report], ..Self::default() }
    }
}

impl Deref for Verdict {
    type Target = [Report];

    fn deref(&self) -> &[Report] {
        &self.reports
    }
}

impl Verdict {
    /// There is something, all of it is whole, and so is the file.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.reports.is_empty() && self.engine.is_empty() && self.reports.iter().all(Report::is_whole)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for report in &self.reports {
            write!(f, "{report}")?;
        }
        if !self.engine.is_empty() {
            writeln!(f, "the database file: NOT WHOLE")?;
            for found in &self.engine {
                writeln!(f, "  ✗ {found}")?;
            }
        }
        for compared in &self.compared {
            writeln!(f, "Compared with {compared}.")?;
        }
        for uncompared in &self.uncompared {
            writeln!(f, "Not compared: {uncompared}.")?;
        }
        let broken = self.reports.iter().filter(|report| !report.is_whole()).count();
        match (self.reports.len(), broken) {
            (0, _) => writeln!(f, "There was nothing to check."),
            (1, 0) => writeln!(f, "The log is whole."),
            (all, 0) => writeln!(f, "All {all} logs are whole."),
            (all, broken) => writeln!(f, "{broken} of {all} logs NOT WHOLE."),
        }?;
        if self.engine.is_empty() { Ok(()) } else { writeln!(f, "The database file is NOT WHOLE.") }
    }
}
