//! The ledger: every launch that was committed, for tests that must know what really happened.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

/// One launch that took place.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LedgerEntry {
    /// Position in the ledger, from 1.
    pub seq: u64,
    /// When the launch was committed.
    #[serde(with = "time::serde::rfc3339")]
    pub committed_at: OffsetDateTime,
    /// When its request arrived, which is what the run's `created` says.
    #[serde(with = "time::serde::rfc3339")]
    pub requested_at: OffsetDateTime,
    /// Id of the template.
    pub template: u64,
    /// Name of the template.
    pub template_name: String,
    /// User name of the account that launched.
    pub account: String,
    /// `manual`, `relaunch` or `workflow`.
    pub launch_type: String,
    /// `job` or `workflow_job`.
    pub run_type: String,
    /// Id of the resulting run.
    pub run: u64,
    /// The variables the run got, defaults included, passwords masked.
    pub extra_vars: Map<String, Value>,
    /// What was asked for and dropped.
    pub ignored_fields: Map<String, Value>,
    /// What ran for it; filled in when the ledger is read.
    #[serde(default)]
    pub ran: Ran,
}

/// What a launch came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ran {
    /// `ansible` or `simulated`; absent while nothing started.
    pub engine: Option<String>,
    /// The playbook; empty for a workflow.
    pub playbook: String,
    /// How often it was started.
    pub starts: u32,
    /// Status now, `deleted` when the run is gone.
    pub status: String,
    /// Lines it printed so far.
    pub lines: u64,
}
