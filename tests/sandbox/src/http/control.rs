//! The control API under `/sandbox/`: the ledger, faults on order, and levers that AWX has no calls for.
//!
//! It has a token of its own. No account of the controller may use it, and its token opens nothing of the controller.

use std::sync::Arc;

use axum::body::Bytes;
use axum::response::Response;
use http::request::Parts;
use http::{Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::same;
use super::body::pairs;
use super::reply::{Refusal, empty, json_answer, ok};
use super::rows;
use crate::app::{App, lock};
use crate::faults::Fault;
use crate::state::job::Status;
use crate::state::template::Template;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dispatcher {
    running: bool,
}

pub(crate) async fn answer(app: &Arc<App>, parts: &Parts, body: &Bytes) -> Response {
    let sent = parts.headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let token = app.read().control_token.clone();
    if !sent.strip_prefix("Bearer ").is_some_and(|value| same(value, &token)) {
        return Refusal::detail(StatusCode::UNAUTHORIZED, "The control token is missing or wrong.").into_response();
    }
    let done = act(app, parts, body).unwrap_or_else(Refusal::into_response);
    app.durable().await;
    done
}

fn act(app: &Arc<App>, parts: &Parts, body: &Bytes) -> Result<Response, Refusal> {
    let path = parts.uri.path().trim_start_matches("/sandbox/").trim_end_matches('/');
    let segments: Vec<&str> = path.split('/').collect();
    match (&parts.method, segments.as_slice()) {
        (&Method::GET, ["about"]) => Ok(ok(&json!({"engine": app.engine.name(), "speed": app.speed}))),
        (&Method::GET, ["ledger"]) => Ok(ledger(app, parts)),
        (&Method::GET, ["faults"]) => Ok(ok(&json!({"items": lock(&app.faults).due()}))),
        (&Method::POST, ["faults"]) => {
            let fault: Fault = read(body)?;
            Ok(json_answer(StatusCode::CREATED, &json!(lock(&app.faults).add(fault))))
        }
        (&Method::DELETE, ["faults"]) => {
            lock(&app.faults).clear();
            Ok(empty(StatusCode::NO_CONTENT))
        }
        (&Method::POST, ["dispatcher"]) => {
            let wish: Dispatcher = read(body)?;
            app.change(|state| state.dispatcher_down = !wish.running);
            Ok(empty(StatusCode::NO_CONTENT))
        }
        (&Method::GET, ["runs", id]) => run(app, number(id)?),
        (&Method::POST, ["runs", id, "reap"]) => {
            reap(app, number(id)?);
            Ok(empty(StatusCode::NO_CONTENT))
        }
        (&Method::PATCH, ["templates", id]) => change_template(app, number(id)?, read(body)?),
        _ => Err(Refusal::detail(StatusCode::NOT_FOUND, "The control API has no such call.")),
    }
}

fn number(text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| Refusal::detail(StatusCode::NOT_FOUND, "That is not an id."))
}

fn read<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::detail(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
}

/// `?template=`, `?account=`, `?run=`, `?after=` narrow it.
fn ledger(app: &App, parts: &Parts) -> Response {
    let query = pairs(parts.uri.query().unwrap_or_default());
    let mut entries = app.read().ledger();
    for (name, value) in &query {
        entries.retain(|entry| match name.as_str() {
            "template" => entry.template.to_string() == *value || entry.template_name == *value,
            "account" => entry.account == *value,
            "run" => entry.run.to_string() == *value,
            "after" => value.parse().is_ok_and(|after: u64| entry.seq > after),
            _ => true,
        });
    }
    ok(&json!({"items": entries}))
}

/// A run as it truly is: with the variables it got, secrets in clear.
fn run(app: &App, id: u64) -> Result<Response, Refusal> {
    let state = app.read();
    let job = state.jobs.get(&id).ok_or_else(|| Refusal::missing("Job"))?;
    Ok(ok(&json!({
        "id": id, "type": job.kind.type_name(), "status": job.status.name(), "engine": job.engine, "starts": job.starts,
        "extra_vars": job.extra_vars, "limit": job.limit, "lines": job.lines, "parent": job.parent,
    })))
}

/// The dispatcher died: the run is failed, and its events will never be complete.
fn reap(app: &App, id: u64) {
    app.change(|state| {
        if state.jobs.get(&id).is_some_and(|job| matches!(job.status, Status::Waiting | Status::Running)) {
            state.reap_one(id);
        }
    });
    app.cancel_switch(id).cancel();
}

/// Somebody edited the template in AWX.
fn change_template(app: &App, id: u64, wish: Value) -> Result<Response, Refusal> {
    app.change(|state| {
        let template = state.templates.get(&id).ok_or_else(|| Refusal::missing("JobTemplate"))?;
        let mut changed = json!(template);
        for (name, value) in rows::object(wish) {
            rows::put(&mut changed, &name, value);
        }
        let mut changed: Template = serde_json::from_value(changed)
            .map_err(|error| Refusal::detail(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
        changed.id = id;
        let shown = json!(changed);
        state.templates.insert(id, changed);
        Ok(ok(&shown))
    })
}
