//! Jobs: lists by filter, details, cancel, delete, and what belongs to a workflow's run.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::call::{Call, Visitor};
use super::filter::{Filter, Schema};
use super::listing::{self, Page};
use super::records::{JOB, JobRecord, ROW, UNIFIED_JOB, WORKFLOW_JOB};
use super::reply::{Outcome, Refusal, empty, ok};
use super::{rows, shown};
use crate::run;
use crate::state::State;
use crate::state::job::{Job, JobKind};

/// `jobs/`, `workflow_jobs/` or, of no kind, `unified_jobs/`.
pub(crate) fn list(call: &Call, visitor: &Visitor, kind: Option<JobKind>) -> Outcome {
    let schema = schema(kind);
    let filter = Filter::parse(schema, &call.query)?;
    let state = call.app.read();
    let seen = |job: &&Job| {
        kind.map_or(job.kind != JobKind::Approval, |k| k == job.kind) && visitor.account.sees(state.restricted(job))
    };
    let record = |job| JobRecord { state: &state, job };
    let kept = candidates(&state, &filter).filter(seen).map(record).filter(|r| filter.keeps(r)).collect();
    let page = listing::cut(call, schema, kept, "id")?;
    Ok(answer(call, &state, &page))
}

/// The jobs that a filter has to be held against, in the order of their ids; none of those that it keeps is missing.
fn candidates<'s>(state: &'s State, filter: &Filter) -> Box<dyn Iterator<Item = &'s Job> + 's> {
    if let Some(mut ids) = filter.ids() {
        // The caller may name an id twice.
        ids.dedup();
        return Box::new(ids.into_iter().filter_map(|id| state.jobs.get(&id)));
    }
    let templates = ["unified_job_template", "unified_job_template__id", "job_template", "job_template__id"];
    match templates.into_iter().find_map(|field| filter.only(field)) {
        Some(template) => Box::new(state.jobs.of_template(template, filter.after())),
        None => Box::new(state.jobs.after(filter.after())),
    }
}

/// A page of jobs.
pub(crate) fn answer(call: &Call, state: &State, page: &Page<JobRecord<'_>>) -> Response {
    let (root, node) = (call.root(), call.app.engine.node());
    let shown: Vec<String> = page.rows.iter().map(|row| shown::job(state, row.job, &root, &node)).collect();
    page.answer_text(call, &shown)
}

fn schema(kind: Option<JobKind>) -> &'static Schema {
    match kind {
        // An approval has the fields that all kinds share.
        None | Some(JobKind::Approval) => &UNIFIED_JOB,
        Some(JobKind::Job) => &JOB,
        Some(JobKind::Workflow) => &WORKFLOW_JOB,
    }
}

/// The job, 404 if there is none, 403 if the caller may not see it.
pub(crate) fn visible<'s>(state: &'s State, visitor: &Visitor, kind: JobKind, id: u64) -> Result<&'s Job, Refusal> {
    let job = state.job(kind, id).ok_or_else(|| Refusal::missing(kind.model()))?;
    if visitor.account.sees(state.restricted(job)) { Ok(job) } else { Err(Refusal::forbidden()) }
}

pub(crate) fn detail(call: &Call, visitor: &Visitor, kind: JobKind, id: u64) -> Outcome {
    let state = call.app.read();
    let job = visible(&state, visitor, kind, id)?;
    Ok(ok(&Value::Object(rows::job(&state, job, &call.root(), &call.app.engine.node(), true))))
}

/// `DELETE`: not while it runs.
pub(crate) fn delete(call: &Call, visitor: &Visitor, kind: JobKind, id: u64) -> Outcome {
    call.app.change(|state| {
        let job = visible(state, visitor, kind, id)?;
        if !visitor.account.is_superuser() {
            return Err(Refusal::forbidden());
        }
        if job.status.is_active() {
            return Err(Refusal::detail(StatusCode::FORBIDDEN, "Cannot delete running job resource."));
        }
        state.delete(id);
        Ok(())
    })?;
    if let Some(store) = &call.app.store {
        store.forget(id);
    }
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(crate) fn can_cancel(call: &Call, visitor: &Visitor, kind: JobKind, id: u64) -> Outcome {
    let state = call.app.read();
    let job = visible(&state, visitor, kind, id)?;
    Ok(ok(&json!({"can_cancel": job.status.is_active()})))
}

/// 202 and nothing else; a job that is over answers 405.
pub(crate) async fn cancel(call: &Call, visitor: &Visitor, kind: JobKind, id: u64) -> Outcome {
    {
        let state = call.app.read();
        let job = visible(&state, visitor, kind, id)?;
        if !visitor.account.executes(state.restricted(job)) {
            return Err(Refusal::forbidden());
        }
    }
    if !run::cancel(&call.app, id) {
        return Err(Refusal::method(&call.method));
    }
    call.app.durable().await;
    Ok(empty(StatusCode::ACCEPTED))
}

/// Somebody approves or denies; who may only run the workflow may not.
pub(crate) async fn decide(call: &Call, visitor: &Visitor, id: u64, yes: bool) -> Outcome {
    call.app.change(|state| {
        visible(state, visitor, JobKind::Approval, id)?;
        if !visitor.account.is_superuser() {
            return Err(Refusal::forbidden());
        }
        if !run::approvals::decide(state, id, yes) {
            let said = json!({"error": "This workflow step has already been approved or denied."});
            return Err(Refusal::json(StatusCode::BAD_REQUEST, said));
        }
        Ok(())
    })?;
    call.app.durable().await;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// The nodes of a workflow's run.
pub(crate) fn nodes(call: &Call, visitor: &Visitor, id: u64) -> Outcome {
    let state = call.app.read();
    let job = visible(&state, visitor, JobKind::Workflow, id)?;
    let all = job.nodes.iter().map(|node| rows::node(&state, job, node, &call.root()));
    let page = listing::select(call, &ROW, all, "id")?;
    let shown = page.rows.clone();
    Ok(page.answer(call, shown))
}

pub(crate) fn node(call: &Call, visitor: &Visitor, id: u64) -> Outcome {
    let state = call.app.read();
    let found = state.jobs.values().find_map(|job| job.nodes.iter().find(|n| n.id == id).map(|n| (job, n)));
    let (job, node) = found.ok_or_else(|| Refusal::missing("WorkflowJobNode"))?;
    if !visitor.account.sees(state.restricted(job)) {
        return Err(Refusal::forbidden());
    }
    Ok(ok(&rows::node(&state, job, node, &call.root())))
}

/// Labels or credentials of a job or a template, as rows.
pub(crate) fn attached(call: &Call, collection: &str, ids: &[u64]) -> Outcome {
    let state = call.app.read();
    let all = ids.iter().filter_map(|id| super::misc::row(&state, collection, *id, &call.root()));
    let page = listing::select(call, &ROW, all, "id")?;
    let shown = page.rows.clone();
    Ok(page.answer(call, shown))
}
