//! A controller whose database was restored from a backup.

use std::time::Duration;

use axum::body::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::super::reply::{Outcome, ok};
use super::read;
use crate::app::App;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Backup {
    /// The latest id when the backup was made.
    last_run: u64,
}

/// Every run with a greater id is gone, and those ids come again. The installation is the same. The ledger, which no
/// database holds, keeps everything.
pub(super) async fn restore(app: &App, body: &Bytes) -> Outcome {
    let backup: Backup = read(body)?;
    let latest = app.read().last_job;
    while !app.change(|state| state.restore(backup.last_run)) {
        // What runs must let go of its id first.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if let Some(store) = &app.store {
        (backup.last_run.saturating_add(1)..=latest).for_each(|run| store.forget(run));
    }
    Ok(ok(&json!({"last_run": backup.last_run})))
}
