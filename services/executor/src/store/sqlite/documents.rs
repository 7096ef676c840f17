//! Documents in rows.

use runwarden_engines::StoreError;
use runwarden_kit::clock::Moment;
use runwarden_kit::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::job::{Job, Lease};

/// Writes a document.
pub(super) fn write<T: Serialize>(document: &T) -> Result<String> {
    serde_json::to_string(document).map_err(Error::internal)
}

/// Reads a document.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(Error::internal)
}

/// What a failing store is to a caller.
pub(super) fn failed(error: sqlx::Error) -> Error {
    StoreError::from(error).into()
}

/// Reads a job: its document, and what stands beside it.
pub(super) fn job_of(row: &SqliteRow) -> Result<Job> {
    let mut job: Job = read(row.get("document"))?;
    job.due_at = row.get::<Option<i64>, _>("due_at").map(Moment::from_micros);
    job.lease = Lease { fence: row.get("fence"), holder: row.get("holder") };
    Ok(job)
}
