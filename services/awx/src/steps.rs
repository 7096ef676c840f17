//! The steps of a workflow's run, those of workflows inside it included: what became of each, and whether a failure was
//! handled.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use time::OffsetDateTime;

use super::http::Query;
use super::list::List;
use super::nodes::{self, Node};
use super::reading::Reading;
use super::run::{self, RunKind, RunRef};
use super::tree::{Picked, Wanted};
use super::{AwxError, Client, address::Path, read};

/// How many workflows deep is looked.
const DEEPEST: usize = 5;
/// How many steps are looked at in all.
const MOST_STEPS: usize = 2000;
/// How many waiting approvals are asked about.
const MOST_APPROVALS: usize = 20;

/// What AWX calls a step that waits for a person.
pub const APPROVAL: &str = "workflow_approval";

/// A step of a workflow's run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The node's id.
    pub node: i64,
    /// Its name: the node's, if it has one, or else that of what it runs. At most 200 bytes.
    pub name: String,
    /// The steps it is inside of, outermost first.
    pub within: Vec<String>,
    /// The workflow's run that it is a step of.
    pub workflow: i64,
    /// What it runs: `job`, `workflow_job`, `workflow_approval`, `project_update` …; empty if nothing was run.
    pub kind: String,
    /// AWX's status; `skipped` where the workflow took another path, `not_started` before its turn.
    pub status: String,
    /// The name of what it runs.
    pub runs: String,
    /// The run it became.
    pub run: Option<i64>,
    /// Whether it failed and the workflow had a path for that, be it around a workflow that it is in.
    pub handled: bool,
    /// Whether it is an approval that was not given in time.
    pub timed_out: bool,
    /// Whether the controller lost it: its playbook may still be at work. Only known once it was asked for.
    pub lost: bool,
}

impl Step {
    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        is_over(&self.status)
    }

    /// Whether it went wrong.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        matches!(self.status.as_str(), "failed" | "error" | "canceled")
    }

    /// Whether the workflow went another way.
    #[must_use]
    pub fn is_skipped(&self) -> bool {
        self.status == SKIPPED
    }

    /// Whether it waits for an approval.
    #[must_use]
    pub fn is_waiting_approval(&self) -> bool {
        self.kind == APPROVAL && !self.is_over()
    }

    /// Why it failed, where its status does not say: `denied`, `timed_out` or `lost`.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        match (self.kind.as_str(), self.status.as_str()) {
            _ if self.lost => Some("lost"),
            (APPROVAL, "failed") if self.timed_out => Some("timed_out"),
            (APPROVAL, "failed") => Some("denied"),
            _ => None,
        }
    }

    /// Its name, after those of the steps it is inside of.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = self.within.join(" / ");
        if !path.is_empty() {
            path.push_str(" / ");
        }
        path.push_str(&self.name);
        path
    }
}

const SKIPPED: &str = "skipped";

fn is_over(status: &str) -> bool {
    matches!(status, "successful" | "failed" | "error" | "canceled")
}

/// All steps of a workflow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// The steps, each before those inside it.
    pub steps: Vec<Step>,
    /// Whether there are more than were looked at.
    pub cut: bool,
}

/// Since when an approval waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Since when.
    pub since: Option<OffsetDateTime>,
    /// When it counts as refused.
    pub expires: Option<OffsetDateTime>,
}

impl Client {
    /// The steps of a workflow's run. Failed ones say whether the controller lost them.
    ///
    /// # Errors
    /// If the controller cannot be read.
    pub async fn steps(&self, run: RunRef) -> Result<Steps, AwxError> {
        let mut found = of_run(&self.http.reading(), run.id).await?;
        let failed = found.steps.iter().filter(|step| step.has_failed() && step.kind == RunKind::Job.as_str());
        let failed: Vec<RunRef> =
            failed.filter_map(|step| step.run).map(|id| RunRef { kind: RunKind::Job, id }).collect();
        if failed.is_empty() {
            return Ok(found);
        }
        let rows = self.runs(&failed).await?.rows;
        let lost = |id| rows.iter().any(|row| row.run.id == id && row.ending() == Some(run::Ending::Lost));
        for step in &mut found.steps {
            step.lost = step.has_failed() && step.run.is_some_and(lost);
        }
        Ok(found)
    }

    /// Since when approvals of a workflow's run wait, by their ids. Those of the workflows inside it are not among them.
    ///
    /// # Errors
    /// If the controller cannot be read.
    pub async fn waiting(&self, workflow: i64) -> Result<BTreeMap<i64, Waiting>, AwxError> {
        let query: Query = vec![
            ("unified_job_node__workflow_job", workflow.to_string()),
            ("status", "pending".into()),
            ("order_by", "id".into()),
            ("page_size", MOST_APPROVALS.to_string()),
        ];
        let reading = self.http.reading();
        let list: List<Picked<OfApproval>> = reading.look(&Path::to("workflow_approvals"), &query, List::read).await?;
        let told = |row: &serde_json::Value| {
            let time =
                |key| OffsetDateTime::parse(&read::text(row, key), &time::format_description::well_known::Rfc3339).ok();
            let waiting = Waiting { since: time("created"), expires: time("approval_expiration") };
            read::id(row, "id").map(|id| (id, waiting))
        };
        Ok(list.rows().iter().filter_map(|Picked { row, .. }| told(row)).collect())
    }
}

/// A row of an approval.
enum OfApproval {}

impl Wanted for OfApproval {
    fn wants(key: &str) -> bool {
        ["id", "created", "approval_expiration"].contains(&key)
    }
}

/// The steps of a workflow's run.
pub(super) async fn of_run(reading: &Reading<'_>, run: i64) -> Result<Steps, AwxError> {
    let mut found = Steps::default();
    walk(reading, run, Vec::new(), false, &mut found).await?;
    Ok(found)
}

/// Adds the steps of one workflow. `handled` is whether a failure of the whole of it is.
fn walk<'a>(
    reading: &'a Reading<'_>,
    run: i64,
    within: Vec<String>,
    handled: bool,
    found: &'a mut Steps,
) -> BoxFuture<'a, Result<(), AwxError>> {
    Box::pin(async move {
        let nodes = match nodes::of_run(reading, run).await {
            Ok(nodes) => nodes,
            // What is inside of a step may be hidden from our account.
            Err(AwxError::Forbidden { .. } | AwxError::NotFound { .. }) if !within.is_empty() => {
                found.cut = true;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for node in nodes {
            if found.steps.len() >= MOST_STEPS {
                found.cut = true;
                return Ok(());
            }
            let handles = handled || node.handles;
            let step = step(node, run, within.clone(), handles);
            let inside = step.run.filter(|_| step.kind == RunKind::Workflow.as_str());
            let name = step.name.clone();
            found.steps.push(step);
            if let Some(inside) = inside {
                if within.len() + 1 >= DEEPEST || !reading.has_room() {
                    found.cut = true;
                    continue;
                }
                let mut path = within.clone();
                path.push(name);
                walk(reading, inside, path, handles, found).await?;
            }
        }
        Ok(())
    })
}

fn step(node: Node, workflow: i64, within: Vec<String>, handled: bool) -> Step {
    let Node { id, name, job, skipped, handles: _ } = node;
    let (kind, status, runs, run, timed_out) = match job {
        Some(job) => (job.kind, job.status, job.name, Some(job.id), job.timed_out),
        None => {
            let status = if skipped { SKIPPED } else { "not_started" };
            (String::new(), status.to_owned(), String::new(), None, false)
        }
    };
    let mut step =
        Step { node: id, name, within, workflow, kind, status, runs, run, handled: false, timed_out, lost: false };
    step.handled = step.has_failed() && handled;
    step
}
