use runwarden_kit::launch_field::LaunchField;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::address::Path;
use super::read;

/// What kind of run it is. A sliced job template runs as a workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunKind {
    /// A job.
    Job,
    /// A workflow job.
    Workflow,
}

impl RunKind {
    /// `job` or `workflow_job`, as AWX calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Workflow => "workflow_job",
        }
    }

    /// Reads [`Self::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "job" => Some(Self::Job),
            "workflow_job" => Some(Self::Workflow),
            _ => None,
        }
    }
}

/// A run on the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunRef {
    /// Its kind.
    pub kind: RunKind,
    /// Its id: one sequence for all kinds.
    pub id: i64,
}

impl RunRef {
    pub(super) fn path(self) -> Path {
        Path::to(match self.kind {
            RunKind::Job => "jobs",
            RunKind::Workflow => "workflow_jobs",
        })
        .id(self.id)
    }
}

/// Where a run stands. It may go back from `Running` to `Pending`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStatus {
    /// Just made.
    New,
    /// Waits for its turn.
    Pending,
    /// Waits for its start.
    Waiting,
    /// Runs.
    Running,
    /// Ended well.
    Successful,
    /// The playbook failed, or the controller lost the run.
    Failed,
    /// It could not be run.
    Error,
    /// Stopped on request.
    Canceled,
    /// A word AWX may have invented since; not an end.
    Other,
}

impl RunStatus {
    fn read(text: &str) -> Self {
        match text {
            "new" => Self::New,
            "pending" => Self::Pending,
            "waiting" => Self::Waiting,
            "running" => Self::Running,
            "successful" => Self::Successful,
            "failed" => Self::Failed,
            "error" => Self::Error,
            "canceled" => Self::Canceled,
            _ => Self::Other,
        }
    }

    /// AWX's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Pending => "pending",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Successful => "successful",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Canceled => "canceled",
            Self::Other => "in an unknown state",
        }
    }

    /// Whether it is over.
    pub fn is_end(self) -> bool {
        match self {
            Self::Successful | Self::Failed | Self::Error | Self::Canceled => true,
            Self::New | Self::Pending | Self::Waiting | Self::Running | Self::Other => false,
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Well.
    Successful,
    /// The playbook said no.
    Failed,
    /// The controller lost it (it restarted); its playbook may even still be running.
    Lost,
    /// It could not be run.
    Error,
    /// It was stopped.
    Canceled,
}

/// A run as the controller tells of it. Prints no variables.
#[derive(Clone, PartialEq)]
pub struct RunRow {
    /// Which run.
    pub run: RunRef,
    /// Its name: that of the template.
    pub name: String,
    /// Where it stands.
    pub status: RunStatus,
    /// Whether it failed, erred or was canceled.
    pub failed: bool,
    /// When its row was made; for a late commit that is in the past.
    pub created: Option<OffsetDateTime>,
    /// When it began to run.
    pub started: Option<OffsetDateTime>,
    /// When it ended.
    pub finished: Option<OffsetDateTime>,
    /// How many seconds it ran.
    pub elapsed: f64,
    /// Why it waits or ended so, in the controller's words.
    pub job_explanation: String,
    /// Its variables, survey passwords as `$encrypted$`; `None` when they cannot be read.
    pub extra_vars: Option<Map<String, Value>>,
    /// The hosts it was limited to.
    pub limit: String,
    /// The tags it skips.
    pub skip_tags: String,
    /// Its inventory.
    pub inventory: Option<i64>,
    /// How it came about: `manual` for a launch by API.
    pub launch_type: String,
    /// The user who launched it.
    pub launched_by: Option<i64>,
    /// The template it came from.
    pub unified_job_template: Option<i64>,
    /// Whether all it printed has arrived; only the detail tells. After a crash it stays false for ever.
    pub event_processing_finished: Option<bool>,
    /// The launch fields the row tells, for comparison.
    told: Map<String, Value>,
}

impl RunRow {
    /// Reads a row; `None` when it is no job or workflow job with an id.
    pub(super) fn read(row: &Value) -> Option<Self> {
        let run = RunRef { kind: RunKind::parse(row.get("type")?.as_str()?)?, id: read::id(row, "id")? };
        let told = LaunchField::ALL
            .iter()
            .filter(|field| **field != LaunchField::ExtraVars)
            .filter_map(|field| {
                let value = row.get(field.name()).filter(|value| !value.is_null())?;
                Some((field.name().to_owned(), value.clone()))
            })
            .collect();
        Some(Self {
            run,
            name: read::shown(&read::text(row, "name"), 512),
            status: RunStatus::read(&read::text(row, "status")),
            failed: read::flag(row, "failed"),
            created: read::time(row, "created"),
            started: read::time(row, "started"),
            finished: read::time(row, "finished"),
            elapsed: row.get("elapsed").and_then(Value::as_f64).unwrap_or(0.0),
            job_explanation: read::shown(&read::text(row, "job_explanation"), 1000),
            extra_vars: read::variables(row, "extra_vars"),
            limit: read::text(row, "limit"),
            skip_tags: read::text(row, "skip_tags"),
            inventory: read::id(row, "inventory"),
            launch_type: read::text(row, "launch_type"),
            launched_by: read::at(row, &["launched_by"])
                .filter(|by| by.get("type").is_none_or(|kind| kind == "user"))
                .and_then(|by| read::id(by, "id"))
                .or_else(|| read::at(row, &["summary_fields", "created_by"]).and_then(|by| read::id(by, "id")))
                .or_else(|| read::id(row, "created_by")),
            unified_job_template: read::id(row, "unified_job_template"),
            event_processing_finished: row.get("event_processing_finished").and_then(Value::as_bool),
            told,
        })
    }

    /// What the row tells of a launch field. Ids in lists (credentials, labels) are told elsewhere.
    pub(super) fn field(&self, field: LaunchField) -> Option<&Value> {
        self.told.get(field.name()).filter(|value| !value.is_array())
    }

    /// How it ended; `None` while it has not.
    pub fn ending(&self) -> Option<Ending> {
        let lost = self.job_explanation.contains("Task was marked as running")
            || self.job_explanation.contains("due to receiving a shutdown signal");
        match self.status {
            RunStatus::Successful => Some(Ending::Successful),
            RunStatus::Failed | RunStatus::Error if lost => Some(Ending::Lost),
            RunStatus::Failed => Some(Ending::Failed),
            RunStatus::Error => Some(Ending::Error),
            RunStatus::Canceled => Some(Ending::Canceled),
            RunStatus::New | RunStatus::Pending | RunStatus::Waiting | RunStatus::Running | RunStatus::Other => None,
        }
    }
}

impl std::fmt::Debug for RunRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunRow")
            .field("run", &self.run)
            .field("status", &self.status)
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}
