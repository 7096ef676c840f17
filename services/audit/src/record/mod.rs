//! Records: what the log seals, and the one line of JSON that is hashed for it.
//!
//! The line has every field in a fixed order and no blanks, details with sorted keys. It carries the record's own index
//! and tenant, so that a record that is moved or copied elsewhere is another record.

mod details;
mod entry;
mod timestamp;

use serde::{Deserialize, Serialize};

pub use details::{Details, DetailsError};
pub use entry::{ACCEPT_RESTORE, Actor, Entry, Outcome};
pub use timestamp::{Timestamp, TimestampError};

use crate::merkle::{Hash, leaf_hash};

/// The name of the platform's own log. No tenant can have it: slugs have no underscore.
pub const PLATFORM: &str = "_platform";

/// The version of the line's layout. Lines of old versions stay as they were hashed.
const VERSION: u32 = 1;

/// An entry with its place in a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    version: u32,
    /// The tenant whose log it is in, or [`PLATFORM`].
    pub tenant: String,
    /// Its place, from 0.
    pub index: u64,
    /// When it was sealed.
    pub recorded_at: Timestamp,
    /// What was recorded.
    pub entry: Entry,
}

/// The text is not a record's line.
#[derive(Debug, thiserror::Error)]
#[error("not a record")]
pub struct RecordError(#[from] serde_json::Error);

impl Record {
    /// Puts an entry in its place.
    #[must_use]
    pub fn new(tenant: String, index: u64, recorded_at: Timestamp, entry: Entry) -> Self {
        Self { version: VERSION, tenant, index, recorded_at, entry }
    }

    /// The line that is hashed, without its line feed.
    ///
    /// # Errors
    /// Never in practice: every field has a JSON form.
    pub fn to_line(&self) -> Result<String, RecordError> {
        Ok(serde_json::to_string(self)?)
    }

    /// Reads a line.
    ///
    /// # Errors
    /// When it is not a record's line.
    pub fn from_line(line: &str) -> Result<Self, RecordError> {
        Ok(serde_json::from_str(line)?)
    }
}

/// The place a line claims, which is all that a proof needs to know of its content.
#[derive(Debug, Deserialize)]
pub struct LogPosition {
    /// The log it claims to be in.
    pub tenant: String,
    /// The place it claims there.
    pub index: u64,
}

impl LogPosition {
    /// Reads the place a line claims, whatever version its layout has.
    ///
    /// # Errors
    /// When it is not JSON or claims none.
    pub fn of(line: &[u8]) -> Result<Self, RecordError> {
        Ok(serde_json::from_slice(line)?)
    }
}

/// The hash of a line in the tree.
#[must_use]
pub fn line_hash(line: &[u8]) -> Hash {
    leaf_hash(line)
}

#[cfg(test)]
pub(crate) mod examples;
#[cfg(test)]
mod tests;
