//! `POST launch/`, `POST relaunch/`, `POST bulk/job_launch/`: the ways to start something.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use super::body;
use super::call::{Call, Visitor};
use super::jobs;
use super::reply::{Outcome, Refusal, json_answer};
use super::rows;
use super::templates;
use crate::launch::make::{self, Origin};
use crate::launch::{self};
use crate::state::State;
use crate::state::job::{Job, JobKind, Node};
use crate::state::template::TemplateKind;

/// Launches a template. The answer comes only once the launch is durable.
pub(crate) async fn launch(call: &Call, visitor: &Visitor, kind: TemplateKind, id: u64) -> Outcome {
    let sent = body::object(call)?;
    let (run, ignored) = call.app.change(|state| {
        let mut template = templates::visible(state, visitor, kind, id)?.clone();
        if !visitor.account.executes(template.restricted) {
            return Err(Refusal::forbidden());
        }
        if call.unprompted {
            template.ask.retain(|field| field != "extra_vars" && field != "skip_tags");
        }
        let accepted = launch::judge(state, &template, &sent).map_err(Refusal::bad)?;
        check_use(state, visitor, &accepted.fields)?;
        let ignored = accepted.ignored.clone();
        let run = make::commit(state, &template, accepted, &origin(call, visitor, "manual"));
        Ok((run, ignored))
    })?;
    call.app.durable().await;
    created(call, run, Some(ignored))
}

/// Prompted things must be usable by the caller; those of others are refused, which reveals that they exist.
fn check_use(state: &State, visitor: &Visitor, fields: &Map<String, Value>) -> Result<(), Refusal> {
    let prompted = [
        ("inventory", "inventories"),
        ("execution_environment", "execution_environments"),
        ("credentials", "credentials"),
        ("labels", "labels"),
        ("instance_groups", "instance_groups"),
    ];
    for (field, collection) in prompted {
        let ids = match fields.get(field) {
            Some(Value::Array(ids)) => ids.as_slice(),
            Some(id) => std::slice::from_ref(id),
            None => &[],
        };
        for row in ids.iter().filter_map(Value::as_u64).filter_map(|id| state.row(collection, id)) {
            if !visitor.account.uses(row) {
                return Err(Refusal::forbidden());
            }
        }
    }
    Ok(())
}

fn origin(call: &Call, visitor: &Visitor, launch_type: &'static str) -> Origin {
    Origin {
        account: Some(visitor.account.id),
        launch_type,
        requested_at: call.arrived,
        guid: call.request_id.clone(),
        parent: None,
        slice: (0, 1),
    }
}

/// The 201: the run's row, its id again under the name of its kind, and where it is.
fn created(call: &Call, run: u64, ignored: Option<Map<String, Value>>) -> Outcome {
    let state = call.app.read();
    let job = state.jobs.get(&run).ok_or_else(|| Refusal::missing("Job"))?;
    let mut row = rows::job(&state, job, &call.root(), &call.app.engine.node(), true);
    row.insert(job.kind.type_name().to_owned(), run.into());
    if let Some(ignored) = ignored {
        row.insert("ignored_fields".to_owned(), Value::Object(ignored));
    }
    let location = row.get("url").and_then(Value::as_str).and_then(|url| HeaderValue::from_str(url).ok());
    let mut response: Response = json_answer(StatusCode::CREATED, &Value::Object(row));
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// `GET relaunch/`.
pub(crate) fn relaunch_needs(call: &Call, visitor: &Visitor, kind: JobKind, id: u64) -> Outcome {
    let state = call.app.read();
    let job = jobs::visible(&state, visitor, kind, id)?;
    if kind == JobKind::Workflow {
        return Ok(super::reply::ok(&json!({})));
    }
    let failed = u64::from(job.status.is_bad());
    Ok(super::reply::ok(&json!({"passwords_needed_to_start": [], "retry_counts": {"all": 1, "failed": failed}})))
}

/// Runs a job again, with the same variables, for anyone who may execute its template.
pub(crate) async fn relaunch(call: &Call, visitor: &Visitor, kind: JobKind, id: u64) -> Outcome {
    let sent = body::object(call)?;
    if let Some(hosts) = sent.get("hosts").filter(|h| !matches!(h.as_str(), Some("all" | "failed"))) {
        let text = format!("\"{}\" is not a valid choice.", crate::python::text(hosts));
        return Err(Refusal::json(StatusCode::BAD_REQUEST, json!({"hosts": [text]})));
    }
    let run = call.app.change(|state| {
        let job = jobs::visible(state, visitor, kind, id)?.clone();
        if !visitor.account.executes(state.restricted(&job)) {
            return Err(Refusal::forbidden());
        }
        Ok(make::relaunch(state, &job, &origin(call, visitor, "relaunch")))
    })?;
    call.app.durable().await;
    created(call, run, None)
}

/// A bulk job: a workflow made up on the spot. It goes past prompts and surveys, as AWX's does.
pub(crate) async fn bulk(call: &Call, visitor: &Visitor) -> Outcome {
    let sent = body::object(call)?;
    let wanted: Vec<Map<String, Value>> = match sent.get("jobs") {
        Some(Value::Array(items)) if !items.is_empty() => items.iter().filter_map(|i| i.as_object().cloned()).collect(),
        _ => return Err(Refusal::json(StatusCode::BAD_REQUEST, json!({"jobs": ["This field is required."]}))),
    };
    if visitor.account.is_superuser() {
        // Superusers belong to no organisation here, as a fresh AWX has it.
        let text = "User not part of any organization, please assign an organization to assign to the bulk job";
        return Err(Refusal::json(StatusCode::BAD_REQUEST, json!({"__all__": [text]})));
    }
    let run = call.app.change(|state| {
        let mut nodes = Vec::new();
        let mut first = None;
        for (at, item) in wanted.iter().enumerate() {
            let id = item.get("unified_job_template").and_then(Value::as_u64).unwrap_or(0);
            let template = state.template(TemplateKind::Job, id).filter(|t| visitor.account.executes(t.restricted));
            let Some(template) = template.cloned() else {
                let text = format!("Job Templates {{{id}}} not found or you don't have permissions to access it");
                return Err(Refusal::json(StatusCode::BAD_REQUEST, json!({"jobs": [text]})));
            };
            nodes.push(Node {
                id: state.next_node_id(),
                template: id,
                identifier: at.to_string(),
                extra_data: item.get("extra_vars").and_then(Value::as_object).cloned().unwrap_or_default(),
                ..Node::default()
            });
            first.get_or_insert(template);
        }
        let template = first.ok_or_else(Refusal::forbidden)?;
        let origin = origin(call, visitor, "manual");
        let mut job = make::prepare(state, &template, launch::Accepted::default(), &origin);
        become_bulk(&mut job, &sent, nodes);
        Ok(make::enter(state, &template, job, Map::new(), &origin))
    })?;
    call.app.durable().await;
    created(call, run, None)
}

fn become_bulk(job: &mut Job, sent: &Map<String, Value>, nodes: Vec<Node>) {
    job.kind = JobKind::Workflow;
    job.name = sent.get("name").and_then(Value::as_str).unwrap_or("Bulk Job Launch").to_owned();
    job.template = None;
    job.playbook = String::new();
    job.is_sliced = false;
    job.extra_vars = sent.get("extra_vars").and_then(Value::as_object).cloned().unwrap_or_default();
    job.nodes = nodes;
}
