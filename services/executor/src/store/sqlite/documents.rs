//! Documents in rows.

use runwarden_kit::clock::Moment;
use runwarden_kit::{Error, Result};
use rusqlite::Row;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::sql::{get, text};
use crate::job::{Job, Lease};

/// Writes a document.
pub(super) fn write<T: Serialize>(document: &T) -> Result<String> {
    serde_json::to_string(document).map_err(Error::internal)
}

/// Reads a document.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(Error::internal)
}

/// Reads a job from the first four columns of a row: its document, when it is due, who holds it, and its fence.
pub(super) fn job_of(row: &Row<'_>) -> Result<Job> {
    let mut job: Job = read(text(row, 0)?)?;
    job.due_at = moment(row, 1)?;
    job.lease = Lease { holder: get(row, 2)?, fence: get(row, 3)? };
    Ok(job)
}

/// Reads a moment that there may be.
pub(super) fn moment(row: &Row<'_>, column: usize) -> Result<Option<Moment>> {
    Ok(get::<Option<i64>>(row, column)?.map(Moment::from_micros))
}
