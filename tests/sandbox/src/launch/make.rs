//! From an accepted launch to the job, or the workflow job, that stands for it.

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::{Accepted, survey};
use crate::state::State;
use crate::state::catalogue;
use crate::state::job::{Job, JobKind, Node, Status};
use crate::state::ledger::{LedgerEntry, Ran};
use crate::state::row::Row;
use crate::state::template::{Template, TemplateKind};

/// Who launches, how and since when.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) account: Option<u64>,
    pub(crate) launch_type: &'static str,
    /// Arrival of the request: `created` is this, however late the commit.
    pub(crate) requested_at: OffsetDateTime,
    pub(crate) guid: String,
    pub(crate) parent: Option<u64>,
    /// Number and count of the slice, for a node of a sliced job.
    pub(crate) slice: (i64, i64),
}

/// Commits a launch: the job, the rows of its workflow, the ledger entry. Answers with the new id.
pub(crate) fn commit(state: &mut State, template: &Template, mut accepted: Accepted, origin: &Origin) -> u64 {
    let ignored = std::mem::take(&mut accepted.ignored);
    let job = prepare(state, template, accepted, origin);
    enter(state, template, job, ignored, origin)
}

/// The job that a launch becomes, not on the books yet.
pub(crate) fn prepare(state: &mut State, template: &Template, accepted: Accepted, origin: &Origin) -> Job {
    let id = state.next_job_id();
    let mut job = blank(template, id, origin);
    job.extra_vars = survey::fill(template, accepted.extra_vars);
    job.secrets = survey::secrets(template);
    apply(&mut job, &accepted.fields);
    replace_credentials(state, &mut job, &accepted.fields);
    let slices = slices(state, template, &job, &accepted.fields);
    if template.kind == TemplateKind::Workflow {
        job.kind = JobKind::Workflow;
        job.nodes = template
            .steps
            .iter()
            .map(|step| Node {
                id: state.next_node_id(),
                template: step.template,
                identifier: step.identifier.clone(),
                success: step.success.clone(),
                failure: step.failure.clone(),
                always: step.always.clone(),
                extra_data: step.extra_data.clone(),
                approval: step.approval.clone(),
                ..Node::default()
            })
            .collect();
    } else if slices > 1 && origin.parent.is_none() {
        job.kind = JobKind::Workflow;
        job.is_sliced = true;
        job.nodes = (1..=slices)
            .map(|number| Node {
                id: state.next_node_id(),
                template: template.id,
                identifier: format!("slice-{number}"),
                ..Node::default()
            })
            .collect();
    }
    job
}

/// Launches a finished job's inputs again.
pub(crate) fn relaunch(state: &mut State, old: &Job, origin: &Origin) -> u64 {
    let id = state.next_job_id();
    let mut job = Job {
        id,
        launch_type: origin.launch_type.to_owned(),
        created_by: origin.account,
        created: origin.requested_at,
        modified: origin.requested_at,
        guid: origin.guid.clone(),
        parent: None,
        ..old.clone()
    };
    reset(&mut job);
    for node in &mut job.nodes {
        node.id = state.next_node_id();
        node.job = None;
        node.do_not_run = false;
    }
    let template = old.template.and_then(|id| state.templates.get(&id)).cloned();
    if let Some(template) = template {
        return enter(state, &template, job, Map::new(), origin);
    }
    state.insert(job);
    id
}

/// Puts a job on the books and the launch into the ledger.
pub(crate) fn enter(
    state: &mut State,
    template: &Template,
    job: Job,
    ignored_fields: Map<String, Value>,
    origin: &Origin,
) -> u64 {
    let id = job.id;
    // The ledger is about what callers launched; a workflow's own steps show in the workflow's nodes.
    if origin.parent.is_some() {
        state.insert(job);
        return id;
    }
    let account = origin.account.and_then(|id| state.account(id)).map(|a| a.username.clone());
    let seq = u64::try_from(state.ledger.len()).unwrap_or(u64::MAX).saturating_add(1);
    state.ledger.push(LedgerEntry {
        seq,
        committed_at: state.now(),
        requested_at: origin.requested_at,
        template: template.id,
        template_name: template.name.clone(),
        account: account.unwrap_or_default(),
        launch_type: origin.launch_type.to_owned(),
        run_type: job.kind.type_name().to_owned(),
        run: job.id,
        extra_vars: job.shown_vars(),
        limit: job.limit.clone(),
        skip_tags: job.skip_tags.clone(),
        ignored_fields,
        ran: Ran::default(),
    });
    state.insert(job);
    id
}

/// How many slices this launch makes: never more than there are hosts.
fn slices(state: &State, template: &Template, job: &Job, fields: &Map<String, Value>) -> i64 {
    let wanted = fields.get("job_slice_count").and_then(Value::as_i64).unwrap_or(template.job_slice_count);
    let hosts = job.inventory.map_or(0, |id| state.hosts(id).len());
    wanted.min(i64::try_from(hosts).unwrap_or(i64::MAX))
}

/// Of each kind of credential a launch brings, it replaces the template's own. That has no second one of a kind either,
/// so of two that are sent with the own one among them the other is left.
fn replace_credentials(state: &State, job: &mut Job, fields: &Map<String, Value>) {
    let sent = fields.get("credentials").and_then(Value::as_array);
    let sent: Vec<u64> = sent.into_iter().flatten().filter_map(Value::as_u64).collect();
    let kind = |id: &u64| state.row("credentials", *id).map(catalogue::kind_of);
    job.credentials.retain(|own| !sent.iter().any(|id| kind(id) == kind(own)));
    job.credentials.extend(sent);
}

fn apply(job: &mut Job, fields: &Map<String, Value>) {
    let text = |name: &str, into: &mut String| {
        if let Some(value) = fields.get(name).and_then(Value::as_str) {
            value.clone_into(into);
        }
    };
    let number = |name: &str, into: &mut i64| {
        if let Some(value) = fields.get(name).and_then(Value::as_i64) {
            *into = value;
        }
    };
    let ids = |name: &str| -> Option<Vec<u64>> {
        let list = fields.get(name)?.as_array()?;
        Some(list.iter().filter_map(Value::as_u64).collect())
    };
    text("limit", &mut job.limit);
    text("job_tags", &mut job.job_tags);
    text("skip_tags", &mut job.skip_tags);
    text("scm_branch", &mut job.scm_branch);
    text("job_type", &mut job.job_type);
    number("verbosity", &mut job.verbosity);
    number("forks", &mut job.forks);
    number("timeout", &mut job.timeout);
    if let Some(flag) = fields.get("diff_mode").and_then(Value::as_bool) {
        job.diff_mode = flag;
    }
    job.inventory = fields.get("inventory").and_then(Value::as_u64).or(job.inventory);
    job.execution_environment =
        fields.get("execution_environment").and_then(Value::as_u64).or(job.execution_environment);
    // Labels add to the template's; instance groups replace them.
    job.labels.extend(ids("labels").unwrap_or_default());
    job.instance_groups = ids("instance_groups").unwrap_or_else(|| std::mem::take(&mut job.instance_groups));
}

fn reset(job: &mut Job) {
    job.status = Status::Pending;
    job.started = None;
    job.finished = None;
    job.job_explanation.clear();
    job.result_traceback.clear();
    job.engine = None;
    job.starts = 0;
    job.event_processing_finished = false;
    job.events.clear();
    job.dispatched = false;
    job.at_work = false;
    job.reaped = false;
    job.verdict = None;
    job.lines = 0;
    job.counter = 0;
}

fn blank(template: &Template, id: u64, origin: &Origin) -> Job {
    Job {
        name: template.name.clone(),
        description: template.description.clone(),
        template: Some(template.id),
        playbook: template.playbook.clone(),
        job_type: template.job_type.clone(),
        limit: template.limit.clone(),
        job_tags: template.job_tags.clone(),
        skip_tags: template.skip_tags.clone(),
        scm_branch: template.scm_branch.clone(),
        verbosity: template.verbosity,
        forks: template.forks,
        timeout: template.timeout,
        diff_mode: template.diff_mode,
        inventory: template.inventory,
        project: template.project,
        credentials: template.credentials.clone(),
        labels: template.labels.clone(),
        instance_groups: template.instance_groups.clone(),
        execution_environment: template.execution_environment,
        allow_simultaneous: template.allow_simultaneous,
        ..without_template(id, origin)
    }
}

/// A run of nothing yet.
pub(crate) fn without_template(id: u64, origin: &Origin) -> Job {
    Job {
        id,
        kind: JobKind::Job,
        name: String::new(),
        description: String::new(),
        template: None,
        playbook: String::new(),
        launch_type: origin.launch_type.to_owned(),
        created_by: origin.account,
        created: origin.requested_at,
        modified: origin.requested_at,
        started: None,
        finished: None,
        status: Status::Pending,
        job_explanation: String::new(),
        result_traceback: String::new(),
        extra_vars: Map::new(),
        secrets: std::collections::BTreeSet::new(),
        job_type: String::new(),
        limit: String::new(),
        job_tags: String::new(),
        skip_tags: String::new(),
        scm_branch: String::new(),
        verbosity: 0,
        forks: 0,
        timeout: 0,
        diff_mode: false,
        inventory: None,
        project: None,
        credentials: Vec::new(),
        labels: Vec::new(),
        instance_groups: Vec::new(),
        execution_environment: None,
        allow_simultaneous: true,
        slice_number: origin.slice.0,
        slice_count: origin.slice.1,
        is_sliced: false,
        parent: origin.parent,
        nodes: Vec::new(),
        approving: None,
        engine: None,
        starts: 0,
        event_processing_finished: false,
        guid: origin.guid.clone(),
        events: Vec::new(),
        dispatched: false,
        at_work: false,
        reaped: false,
        verdict: None,
        lines: 0,
        counter: 0,
        row: Row::default(),
    }
}
