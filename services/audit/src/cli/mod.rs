//! What `runwarden audit verify` does, as plain functions: offline, over exported files or over the service's own file.

mod database;
mod files;

use std::fmt;
use std::path::{Path, PathBuf};

pub use database::verify_database;
pub use files::{Records, verify_export, verify_files};

use crate::note::{KeyError, VerifierKey};
use crate::verify::Report;

/// Why nothing could be checked, which is not the same as a log that is not whole.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The verifier key is none.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// There is no key to check signatures with.
    #[error("there is no key to check signatures with: name one, or keep audit-signing.key beside the database")]
    NoKey(#[source] anyhow::Error),
    /// A checkpoint that was given to compare with is none.
    #[error("{} is not a checkpoint", path.display())]
    Checkpoint {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: crate::note::NoteError,
    },
    /// The database cannot be read.
    #[error("{} cannot be read as a database of audit logs", path.display())]
    Database {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: runwarden_engines::StoreError,
    },
    /// There is nothing in the database, which proves nothing.
    #[error("{} has no logs", .0.display())]
    NoLogs(PathBuf),
}

fn read_text(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|source| CliError::File { path: path.to_owned(), source })
}

fn parse_key(key: &str) -> Result<VerifierKey, CliError> {
    Ok(key.trim().parse()?)
}

/// Several reports, one below the other, and the verdict over all.
#[derive(Debug)]
pub struct Reports<'a>(pub &'a [Report]);

impl Reports<'_> {
    /// There is something, and all of it is whole.
    #[must_use]
    pub fn are_whole(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(Report::is_whole)
    }
}

impl fmt::Display for Reports<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for report in self.0 {
            write!(f, "{report}")?;
        }
        let broken = self.0.iter().filter(|report| !report.is_whole()).count();
        match (self.0.len(), broken) {
            (0, _) => writeln!(f, "There was nothing to check."),
            (1, 0) => writeln!(f, "The log is whole."),
            (all, 0) => writeln!(f, "All {all} logs are whole."),
            (all, broken) => writeln!(f, "{broken} of {all} logs NOT WHOLE."),
        }
    }
}

#[cfg(test)]
mod tests;
