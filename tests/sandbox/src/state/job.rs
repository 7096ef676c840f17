//! Unified jobs: what a launch became, its states and what it printed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::row::Row;
use super::template::Approval;

/// One id sequence covers them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JobKind {
    Job,
    Workflow,
    /// A step that waits for a person; no list of jobs has it.
    Approval,
}

impl JobKind {
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Workflow => "workflow_job",
            Self::Approval => "workflow_approval",
        }
    }

    pub(crate) fn collection(self) -> &'static str {
        match self {
            Self::Job => "jobs",
            Self::Workflow => "workflow_jobs",
            Self::Approval => "workflow_approvals",
        }
    }

    pub(crate) fn model(self) -> &'static str {
        match self {
            Self::Job => "Job",
            Self::Workflow => "WorkflowJob",
            Self::Approval => "WorkflowApproval",
        }
    }
}

/// AWX's job states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Pending,
    Waiting,
    Running,
    Successful,
    Failed,
    Error,
    Canceled,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Successful => "successful",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Canceled => "canceled",
        }
    }

    pub(crate) fn is_active(self) -> bool {
        matches!(self, Self::Pending | Self::Waiting | Self::Running)
    }

    /// AWX's `failed` flag, true for every bad end.
    pub(crate) fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Error | Self::Canceled)
    }
}

/// A step of a running workflow.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) template: u64,
    pub(crate) identifier: String,
    pub(crate) job: Option<u64>,
    pub(crate) do_not_run: bool,
    /// Indices into the same workflow's nodes.
    pub(crate) success: Vec<usize>,
    pub(crate) failure: Vec<usize>,
    pub(crate) always: Vec<usize>,
    /// Variables of this node alone.
    pub(crate) extra_data: Map<String, Value>,
    /// What a person has to say yes to, of a node that runs nothing.
    #[serde(default)]
    pub(crate) approval: Option<Approval>,
}

/// What is special about a run that waits for a person.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Approving {
    /// The approval's template.
    pub(crate) template: u64,
    /// How many seconds it waits; 0 for ever.
    pub(crate) timeout: u64,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) expires: Option<OffsetDateTime>,
    pub(crate) timed_out: bool,
}

/// One event of a job; what it prints is a piece of the job's output.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) id: u64,
    pub(crate) counter: u64,
    pub(crate) uuid: String,
    pub(crate) event: String,
    pub(crate) play: String,
    pub(crate) task: String,
    pub(crate) host: String,
    pub(crate) failed: bool,
    pub(crate) changed: bool,
    pub(crate) stdout: String,
    pub(crate) start_line: u64,
    pub(crate) end_line: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created: OffsetDateTime,
}

/// A job or a workflow job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) kind: JobKind,
    pub(crate) name: String,
    pub(crate) description: String,
    /// The unified job template.
    pub(crate) template: Option<u64>,
    pub(crate) playbook: String,
    pub(crate) launch_type: String,
    pub(crate) created_by: Option<u64>,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) modified: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) started: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) finished: Option<OffsetDateTime>,
    pub(crate) status: Status,
    pub(crate) job_explanation: String,
    pub(crate) result_traceback: String,
    /// What the run gets, secrets in clear; shown through `shown_vars` only.
    pub(crate) extra_vars: Map<String, Value>,
    /// Variables that come from password questions.
    pub(crate) secrets: BTreeSet<String>,
    pub(crate) job_type: String,
    pub(crate) limit: String,
    pub(crate) job_tags: String,
    pub(crate) skip_tags: String,
    pub(crate) scm_branch: String,
    pub(crate) verbosity: i64,
    pub(crate) forks: i64,
    pub(crate) timeout: i64,
    pub(crate) diff_mode: bool,
    pub(crate) inventory: Option<u64>,
    pub(crate) project: Option<u64>,
    pub(crate) credentials: Vec<u64>,
    pub(crate) labels: Vec<u64>,
    pub(crate) instance_groups: Vec<u64>,
    pub(crate) execution_environment: Option<u64>,
    pub(crate) allow_simultaneous: bool,
    pub(crate) slice_number: i64,
    pub(crate) slice_count: i64,
    /// A workflow job that is a sliced job in truth.
    pub(crate) is_sliced: bool,
    /// The workflow job this is a node's run of.
    pub(crate) parent: Option<u64>,
    pub(crate) nodes: Vec<Node>,
    #[serde(default)]
    pub(crate) approving: Option<Approving>,
    /// `ansible` or `simulated`, once it started.
    pub(crate) engine: Option<String>,
    /// How often something was really started for it: one, unless the sandbox itself is broken.
    pub(crate) starts: u32,
    pub(crate) event_processing_finished: bool,
    pub(crate) guid: String,
    #[serde(skip)]
    pub(crate) events: Vec<Event>,
    /// Handed to a runner; its status may go back to pending without it being started again.
    #[serde(skip)]
    pub(crate) dispatched: bool,
    /// Its playbook is running. That may be so after the run is over: see `reaped`.
    #[serde(skip)]
    pub(crate) at_work: bool,
    /// The dispatcher lost it: whatever its playbook still does, nobody hears of it.
    #[serde(skip)]
    pub(crate) reaped: bool,
    /// How it ends as soon as it runs, on order.
    #[serde(skip)]
    pub(crate) verdict: Option<Status>,
    #[serde(skip)]
    pub(crate) lines: u64,
    #[serde(skip)]
    pub(crate) counter: u64,
    #[serde(skip)]
    pub(crate) row: Row,
}

impl Job {
    /// The variables as any answer may show them.
    pub(crate) fn shown_vars(&self) -> Map<String, Value> {
        self.extra_vars
            .iter()
            .map(|(name, value)| {
                let shown = if self.secrets.contains(name) { Value::from("$encrypted$") } else { value.clone() };
                (name.clone(), shown)
            })
            .collect()
    }

    /// Sets a state and the times that go with it.
    pub(crate) fn turn(&mut self, status: Status, now: OffsetDateTime) {
        self.status = status;
        self.modified = now;
        match status {
            Status::Running => self.started = self.started.or(Some(now)),
            Status::Successful | Status::Failed | Status::Error | Status::Canceled => self.finished = Some(now),
            Status::Pending | Status::Waiting => {}
        }
    }

    /// The run is over for the controller, and its playbook goes on.
    pub(crate) fn still_at_work(&self) -> bool {
        self.at_work && !self.status.is_active()
    }

    /// Seconds of running, three digits.
    pub(crate) fn elapsed(&self, now: OffsetDateTime) -> f64 {
        let Some(started) = self.started else { return 0.0 };
        let span = self.finished.unwrap_or(now) - started;
        (span.as_seconds_f64().max(0.0) * 1000.0).round() / 1000.0
    }

    /// The output so far as the database writes it: the events that have text, each on a line of its own, in order of
    /// their first lines; those that have the same one as they come. Inner line ends are line ends again, everything else
    /// that `COPY` escapes stays escaped.
    pub(crate) fn output(&self) -> String {
        let mut events: Vec<&Event> = self.events.iter().filter(|e| !e.stdout.is_empty()).collect();
        // By arrival first: nothing else orders those that begin on the same line.
        events.sort_by_key(|e| (e.start_line, std::cmp::Reverse(e.id)));
        let mut text = String::with_capacity(events.iter().map(|e| e.stdout.len() + 2).sum());
        for event in events {
            text.push_str(&copied(&event.stdout));
            text.push('\n');
        }
        text
    }
}

fn copied(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\n' => out.push_str("\\n"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c => out.push(c),
        }
    }
    out.replace("\\r\\n", "\n")
}
