//! The steps of workflows: of a template, and of a run.

use serde_json::Value;

use super::address::Path;
use super::http::Query;
use super::list::List;
use super::reading::Reading;
use super::tree::{Picked, Wanted};
use super::{AwxError, fingerprint, read};

const MOST_PAGES: usize = 50;

/// A step of a running workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) id: i64,
    pub(super) name: String,
    /// The job it became.
    pub(super) job: Option<NodeJob>,
    /// Whether the workflow went another way.
    pub(super) skipped: bool,
    /// Whether something is to follow if it fails.
    pub(super) handles: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeJob {
    pub(super) id: i64,
    /// `job`, `project_update`, `workflow_job`, `workflow_approval` …
    pub(super) kind: String,
    pub(super) status: String,
    /// The name of what it runs; for an approval, what is to be approved.
    pub(super) name: String,
    /// Whether it is an approval that was not given in time.
    pub(super) timed_out: bool,
}

/// The steps of a workflow template.
pub(super) async fn of_template(reading: &Reading<'_>, template: i64) -> Result<Vec<Value>, AwxError> {
    all(reading, &Path::to("workflow_job_templates").id(template).then("workflow_nodes")).await
}

/// The steps of a workflow job.
pub(super) async fn of_run(reading: &Reading<'_>, run: i64) -> Result<Vec<Node>, AwxError> {
    let rows = all(reading, &Path::to("workflow_jobs").id(run).then("workflow_nodes")).await?;
    Ok(rows.iter().filter_map(read_node).collect())
}

/// A row of a step, of a template or of a run.
struct OfStep;

impl Wanted for OfStep {
    fn wants(key: &str) -> bool {
        fingerprint::OF_STEPS.contains(&key)
            || ["id", "summary_fields", "job", "do_not_run", "failure_nodes", "always_nodes"].contains(&key)
    }
}

async fn all(reading: &Reading<'_>, path: &Path) -> Result<Vec<Value>, AwxError> {
    let mut rows: Vec<Value> = Vec::new();
    let mut after = 0;
    for _ in 0..MOST_PAGES {
        let query: Query = vec![("order_by", "id".into()), ("id__gt", after.to_string()), ("page_size", "200".into())];
        let list: List<Picked<OfStep>> = reading.page(path, &query).await?;
        let more = list.has_next() && !list.rows().is_empty();
        for Picked { row, .. } in list.into_rows() {
            let id = read::id(&row, "id").ok_or_else(|| AwxError::bad("a step without an id"))?;
            if id <= after {
                return Err(AwxError::bad("a list that is not sorted"));
            }
            after = id;
            rows.push(row);
        }
        if !more {
            return Ok(rows);
        }
    }
    Err(AwxError::bad("a workflow with more steps than Runwarden reads"))
}

fn read_node(row: &Value) -> Option<Node> {
    let id = read::id(row, "id")?;
    let named = |field: &str| {
        read::at(row, &["summary_fields", field])
            .map(|summary| read::shown(&read::text(summary, "name"), 200))
            .filter(|name| !name.is_empty())
    };
    let identifier = Some(read::shown(&read::text(row, "identifier"), 200))
        // AWX generates one if none was given, and that means nothing to people.
        .filter(|text| !text.is_empty() && uuid::Uuid::parse_str(text).is_err());
    let job = read::id(row, "job").map(|job| {
        let summary = read::at(row, &["summary_fields", "job"]).cloned().unwrap_or_default();
        NodeJob {
            id: job,
            kind: read::shown(&read::text(&summary, "type"), 64),
            status: read::shown(&read::text(&summary, "status"), 64),
            name: read::shown(&read::text(&summary, "name"), 200),
            timed_out: read::flag(&summary, "timed_out"),
        }
    });
    Some(Node {
        id,
        name: identifier
            .or_else(|| named("job"))
            .or_else(|| named("unified_job_template"))
            .unwrap_or_else(|| id.to_string()),
        job,
        skipped: read::flag(row, "do_not_run"),
        handles: ["failure_nodes", "always_nodes"]
            .iter()
            .any(|key| row.get(key).and_then(Value::as_array).is_some_and(|nodes| !nodes.is_empty())),
    })
}
