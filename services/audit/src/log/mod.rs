//! The logs as a service keeps them: grown by one writer, read and proven by anybody who may.

mod continuity;
mod doubts;
mod head;
mod journal;
mod reader;
mod writer;

use std::fmt;

pub use doubts::{Doubt, Doubts};
pub use head::{Head, load};
pub use journal::{Answer, Journal, JournalError, JournalLimits};
pub use reader::{ConsistencyProof, InclusionProof, Reader, RecordPage, SearchLimits, SignedCheckpoint};
pub use writer::Writer;

use runwarden_engines::StoreError;

/// The beginning of every log's name.
const ORIGIN_PREFIX: &str = "runwarden-audit/";

/// The name of a tenant's log, which is also the name of the key that signs it.
#[must_use]
pub fn origin(tenant: &str) -> String {
    format!("{ORIGIN_PREFIX}{tenant}")
}

/// Why a log cannot be grown or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Its store failed.
    #[error("the store of the logs failed")]
    Store(#[from] StoreError),
    /// What is stored is not what was sealed: nothing is signed over that.
    #[error("the log of {tenant} is damaged: {why}")]
    Damaged {
        /// Whose log.
        tenant: String,
        /// What does not fit.
        why: String,
    },
    /// A service saw more of it than there is, or something else: it was put back to an older copy, or changed.
    #[error("the log of {tenant} was rolled back: {why}")]
    RolledBack {
        /// Whose log.
        tenant: String,
        /// What does not fit.
        why: String,
    },
    /// The entry's id is in the log already, with something else under it.
    #[error("the entry id {0} is in the log already, for something else")]
    Conflict(String),
    /// The batch that held it could not be written; why was logged where it failed.
    #[error("the batch was not written")]
    NotWritten,
    /// The signing key or a record could not be used: a bug.
    #[error("sealing failed: {0}")]
    Sealing(String),
}

impl LogError {
    fn damaged(tenant: &str, why: impl fmt::Display) -> Self {
        Self::Damaged { tenant: tenant.to_owned(), why: why.to_string() }
    }
}

#[cfg(test)]
pub(crate) mod examples;
#[cfg(test)]
mod tests;
