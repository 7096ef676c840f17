use super::address::Path;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// A status that a newer AWX may have; not an end.
    #[default]
    Other,
}

impl RunStatus {
    pub(super) fn read(text: &str) -> Self {
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

    /// AWX's name for it.
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

impl Ending {
    /// How a run in this state ended; `None` while it has not. Only a known final status from the controller ends a
    /// run: not a time it reports, and not an unknown status. `lost` is whether it says that it lost the run.
    pub(super) fn of(status: RunStatus, lost: bool) -> Option<Self> {
        match status {
            RunStatus::Successful => Some(Self::Successful),
            RunStatus::Failed | RunStatus::Error if lost => Some(Self::Lost),
            RunStatus::Failed => Some(Self::Failed),
            RunStatus::Error => Some(Self::Error),
            // Also when the controller's own going down is what stopped it: nothing of it is at work any more.
            RunStatus::Canceled => Some(Self::Canceled),
            RunStatus::New | RunStatus::Pending | RunStatus::Waiting | RunStatus::Running | RunStatus::Other => None,
        }
    }
}

/// Whether an explanation says that the controller lost the run, whose playbook may still be running. They are added to
/// whatever was explained before (`main/dispatch/reaper.py`, `main/tasks/jobs.py`).
pub(super) fn tells_of_loss(explanation: &str) -> bool {
    [
        // "… at system start up. The system must have not shut down properly …"
        // "… but was not present in the job queue …"
        "Task was marked as running",
        "Task was canceled due to receiving a shutdown signal",
        // In older versions.
        "Task was stopped due to a service disruption",
    ]
    .iter()
    .any(|sign| explanation.contains(sign))
}
