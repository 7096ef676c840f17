//! Rows as a controller sends them, for the tests of whatever uses the client.

use serde_json::{Value, json};

use super::{RunRow, RunSummary};

/// A run as this row of a controller shows it; `None` if the row is not a run.
#[must_use]
pub fn row(row: &Value) -> Option<RunRow> {
    RunRow::read(row)
}

/// A run of a job template with this id and status, as a controller shows it.
#[must_use]
pub fn summary(id: i64, status: &str) -> Option<RunSummary> {
    row(&json!({"id": id, "type": "job", "status": status})).map(|row| row.summary)
}
