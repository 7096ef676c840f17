//! The ledger: every launch that was committed, for tests that must know what really happened.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::State;
use super::job::Job;

/// One launch that took place.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LedgerEntry {
    /// Position in the ledger, from 1.
    pub seq: u64,
    /// When the launch was committed, by the controller's clock.
    #[serde(with = "super::stamp")]
    pub committed_at: OffsetDateTime,
    /// When its request arrived, by the controller's clock; it is what the run's `created` says.
    #[serde(with = "super::stamp")]
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
    /// The limit the run got.
    #[serde(default)]
    pub limit: String,
    /// The skip tags the run got.
    #[serde(default)]
    pub skip_tags: String,
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
    /// The run is over for the controller, and its playbook goes on: its dispatcher was lost.
    #[serde(default)]
    pub still_at_work: bool,
    /// Lines it printed so far.
    pub lines: u64,
}

impl Ran {
    fn of(job: &Job) -> Self {
        Self {
            engine: job.engine.clone(),
            playbook: job.playbook.clone(),
            starts: job.starts,
            status: job.status.name().to_owned(),
            still_at_work: job.still_at_work(),
            lines: job.lines,
        }
    }
}

impl State {
    /// The entries that are wanted, with what came of each launch.
    pub(crate) fn ledger_of(&self, wanted: impl Fn(&LedgerEntry) -> bool) -> Vec<LedgerEntry> {
        let told = |entry: &LedgerEntry| {
            // After a restore its id may be another run's.
            let job = self.jobs.get(&entry.run).filter(|job| job.created == entry.requested_at);
            let ran = job.map_or_else(|| entry.ran.clone(), Ran::of);
            LedgerEntry { ran, ..entry.clone() }
        };
        self.ledger.iter().filter(|entry| wanted(entry)).map(told).collect()
    }

    /// Notes what came of a job that is about to be gone.
    pub(crate) fn remember(&mut self, job: &Job) {
        let launch = |entry: &&mut LedgerEntry| entry.run == job.id && entry.requested_at == job.created;
        if let Some(entry) = self.ledger.iter_mut().rev().find(launch) {
            entry.ran = Ran { status: "deleted".to_owned(), still_at_work: false, ..Ran::of(job) };
        }
    }
}
