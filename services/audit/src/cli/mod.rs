//! What `runwarden audit verify` does, as plain functions: offline, over exported files or over the service's own file.

mod database;
mod files;
mod known;
mod verdict;

use std::path::{Path, PathBuf};

pub use database::{Against, verify_database};
pub use files::{Records, verify_export, verify_files};
pub use known::{Known, read_seen};
pub use verdict::Verdict;

use crate::note::{KeyError, VerifierKey};

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
    /// A file that should say what services saw does not.
    #[error("line {line} of {} does not say what services saw of the logs", path.display())]
    Seen {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
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

#[cfg(test)]
mod tests;
