//! The roots, ping, config, the simple resources, the activity stream.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::auth;
use super::body;
use super::call::{Call, Visitor};
use super::listing;
use super::login::with_csrf;
use super::records::ROW;
use super::reply::{Outcome, Refusal, json_answer, ok};
use super::rows::{put, stamp};
use crate::launch::fields::MAX_FORKS;
use crate::python;
use crate::state::State;
use crate::state::catalogue::{COLLECTIONS, Collection, collection, is_restricted};

/// What the sandbox claims to be.
pub(crate) const VERSION: &str = "24.6.1";

/// `/api/`.
pub(crate) fn api_root(call: &Call) -> Response {
    let v2 = format!("{}/", call.root());
    let answer = ok(&json!({
        "description": "AWX REST API", "current_version": v2, "available_versions": {"v2": v2}, "oauth2": format!("{}/o/", call.path.base),
        "custom_logo": "", "custom_login_info": "", "login_redirect_override": "",
    }));
    with_csrf(call, answer)
}

/// `/api/v2/`: the map of resources.
pub(crate) fn resources(call: &Call) -> Response {
    let root = call.root();
    let names = [
        "ping",
        "config",
        "me",
        "users",
        "tokens",
        "job_templates",
        "workflow_job_templates",
        "unified_job_templates",
        "jobs",
        "workflow_jobs",
        "unified_jobs",
        "workflow_job_nodes",
        "activity_stream",
        "bulk",
    ];
    let mut map = json!({});
    for name in names.into_iter().chain(COLLECTIONS.iter().map(|c| c.path)) {
        // AWX itself calls this one differently in its map.
        let key = if name == "inventories" { "inventory" } else { name };
        put(&mut map, key, format!("{root}/{name}/").into());
    }
    ok(&map)
}

/// `ping/`, for anyone; no capacity while the dispatcher is down.
pub(crate) fn ping(call: &Call) -> Response {
    let state = call.app.read();
    let capacity = if state.dispatcher_down { 0 } else { 100 };
    ok(&json!({
        "ha": false, "version": VERSION, "active_node": "sandbox", "install_uuid": state.install_uuid,
        "instances": [{"node": "sandbox", "node_type": "hybrid", "uuid": "00000000-0000-4000-8000-000000000001", "heartbeat": stamp(call.arrived), "capacity": capacity, "version": VERSION}],
        "instance_groups": [{"name": "controlplane", "capacity": capacity, "instances": ["sandbox"]}, {"name": "default", "capacity": capacity, "instances": [call.app.engine.node()]}],
    }))
}

pub(crate) fn config(call: &Call) -> Response {
    ok(&json!({
        "time_zone": "UTC", "license_info": {"license_type": "open", "valid_key": true, "subscription_name": "OPEN", "product_name": "AWX"}, "version": VERSION,
        "eula": "", "analytics_status": "off", "analytics_collectors": {}, "become_methods": [], "ui_next": true, "project_base_dir": "/var/lib/awx/projects",
        "project_local_paths": [], "custom_virtualenvs": [], "sandbox_engine": call.app.engine.name(),
    }))
}

/// A row of a simple resource with its address, without the sandbox's own marks.
pub(crate) fn row(state: &State, path: &str, id: u64, root: &str) -> Option<Value> {
    let collection = collection(path)?;
    let mut row = state.row(path, id)?.clone();
    row.remove("restricted");
    row.remove("unusable");
    let url = format!("{root}/{path}/{id}/");
    let mut related = json!({});
    if path == "inventories" {
        put(&mut related, "hosts", format!("{url}hosts/").into());
    }
    for (name, value) in [
        ("type", Value::from(collection.type_name)),
        ("url", url.into()),
        ("related", related),
        ("summary_fields", json!({})),
        ("created", "2024-07-02T08:00:00.000000Z".into()),
        ("modified", "2024-07-02T08:00:00.000000Z".into()),
    ] {
        row.insert(name.to_owned(), value);
    }
    Some(Value::Object(row))
}

fn visible_ids(state: &State, visitor: &Visitor, path: &str) -> Vec<u64> {
    state
        .rows(path)
        .iter()
        .filter_map(Value::as_object)
        .filter(|row| visitor.account.sees(is_restricted(row)))
        .filter_map(|row| row.get("id").and_then(Value::as_u64))
        .collect()
}

pub(crate) fn list(call: &Call, visitor: &Visitor, kind: &Collection) -> Outcome {
    let state = call.app.read();
    let mut seen = visible_ids(&state, visitor, kind.path);
    if call.param("role_level").is_some() {
        if !matches!(kind.path, "inventories" | "credentials" | "instance_groups" | "projects" | "organizations") {
            let text =
                "Cannot apply role_level filter to this list because its model does not use roles for access control.";
            return Err(Refusal::detail(StatusCode::BAD_REQUEST, text));
        }
        seen.retain(|id| state.row(kind.path, *id).is_some_and(|row| visitor.account.uses(row)));
    }
    let page =
        listing::select(call, &ROW, seen.iter().filter_map(|id| row(&state, kind.path, *id, &call.root())), "id")?;
    let shown = page.rows.clone();
    Ok(page.answer(call, shown))
}

/// `settings/jobs/`, for superusers; of it only what launches go by.
pub(crate) fn job_settings(visitor: &Visitor) -> Outcome {
    if !visitor.account.is_superuser() {
        return Err(Refusal::forbidden());
    }
    Ok(ok(&json!({"MAX_FORKS": MAX_FORKS})))
}

pub(crate) fn detail(call: &Call, visitor: &Visitor, kind: &Collection, id: u64) -> Outcome {
    let state = call.app.read();
    let found = row(&state, kind.path, id, &call.root()).ok_or_else(|| Refusal::missing(kind.model))?;
    if !visible_ids(&state, visitor, kind.path).contains(&id) {
        return Err(Refusal::forbidden());
    }
    Ok(ok(&found))
}

pub(crate) fn hosts(call: &Call, visitor: &Visitor, inventory: u64) -> Outcome {
    let kind = collection("inventories").ok_or_else(Refusal::no_such_page)?;
    detail(call, visitor, kind, inventory)?;
    let state = call.app.read();
    let all = state
        .rows("hosts")
        .iter()
        .filter(|r| r.get("inventory").and_then(Value::as_u64) == Some(inventory))
        .filter_map(|r| row(&state, "hosts", r.get("id")?.as_u64()?, &call.root()));
    let page = listing::select(call, &ROW, all, "id")?;
    let shown = page.rows.clone();
    Ok(page.answer(call, shown))
}

/// A new label needs rights in its organisation, which only superusers have here.
pub(crate) async fn create_label(call: &Call, visitor: &Visitor) -> Outcome {
    let sent = body::object(call)?;
    let Some(name) = sent.get("name").and_then(Value::as_str).filter(|n| !n.is_empty()) else {
        return Err(Refusal::json(StatusCode::BAD_REQUEST, json!({"name": ["This field is required."]})));
    };
    if sent.get("organization").and_then(Value::as_u64) != Some(1) {
        return Err(Refusal::json(StatusCode::BAD_REQUEST, json!({"organization": ["This field is required."]})));
    }
    if !visitor.account.is_superuser() {
        return Err(Refusal::forbidden());
    }
    let made = call.app.change(|state| {
        let labels = state.catalogue.entry("labels".to_owned()).or_default();
        if labels.iter().any(|l| l.get("name").and_then(Value::as_str) == Some(name)) {
            return None;
        }
        let id = u64::try_from(labels.len()).unwrap_or(0) + 1;
        labels.push(json!({"id": id, "name": name, "organization": 1}));
        row(state, "labels", id, &call.root())
    });
    call.app.durable().await;
    match made {
        Some(label) => Ok(json_answer(StatusCode::CREATED, &label)),
        None => {
            let text = "Label with this Name and Organization already exists.";
            Err(Refusal::json(StatusCode::BAD_REQUEST, json!({"__all__": [text]})))
        }
    }
}

/// The activity stream, as far as launches show in it; the one place where variables can be searched.
pub(crate) fn activity(call: &Call, visitor: &Visitor) -> Outcome {
    let state = call.app.read();
    let rows = state.ledger.iter().filter(|entry| {
        state.templates.get(&entry.template).is_none_or(|t| visitor.account.sees(t.restricted))
    }).map(|entry| {
        let changes = json!({"id": entry.run, "name": entry.template_name, "launch_type": entry.launch_type, "extra_vars": python::dumps_map(&entry.extra_vars)});
        json!({
            "id": entry.seq, "type": "activity_stream", "url": format!("{}/activity_stream/{}/", call.root(), entry.seq), "related": {}, "summary_fields": {},
            "timestamp": stamp(entry.committed_at), "operation": "create", "object1": "job", "object2": "", "changes": python::dumps(&changes), "job__id": entry.run,
        })
    });
    let page = listing::select(call, &ROW, rows, "id")?;
    let shown = page.rows.clone();
    Ok(page.answer(call, shown))
}

/// `bulk/`: a page, unless JSON is asked for by name.
pub(crate) fn bulk_root(call: &Call) -> Response {
    let map = json!({"host_create": format!("{}/bulk/host_create/", call.root()), "job_launch": format!("{}/bulk/job_launch/", call.root())});
    match call.wants() {
        super::call::Wants::Json => ok(&map),
        _ => super::reply::html(StatusCode::OK, &super::reply::page("Bulk", &map.to_string())),
    }
}

/// Only those who were let in learn the version.
pub(crate) fn knows_version(call: &Call) -> bool {
    matches!(auth::identify(call), Ok(Some(_)))
}
