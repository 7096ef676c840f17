//! The control API under `/sandbox/`: the ledger, faults on order, and levers that AWX has no calls for.
//!
//! It has a token of its own. No account of the controller may use it, and its token opens nothing of the controller.

mod accounts;
mod clock;
mod faults;
mod ledger;
mod notifications;
mod requests;
mod restore;
mod rights;
mod runs;
mod templates;

use std::sync::Arc;

use axum::body::Bytes;
use axum::response::Response;
use http::request::Parts;
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::json;

use super::auth::same;
use super::reply::{Outcome, Refusal, empty, ok};
use crate::app::App;

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
    let done = if parts.method == "POST" && parts.uri.path().trim_end_matches('/') == "/sandbox/restore" {
        restore::restore(app, body).await
    } else {
        act(app, parts, body)
    };
    let done = done.unwrap_or_else(Refusal::into_response);
    app.durable().await;
    done
}

fn act(app: &Arc<App>, parts: &Parts, body: &Bytes) -> Outcome {
    let path = parts.uri.path().trim_start_matches("/sandbox/").trim_end_matches('/');
    let segments: Vec<&str> = path.split('/').collect();
    let query = parts.uri.query().unwrap_or_default();
    match (parts.method.as_str(), segments.as_slice()) {
        ("GET", ["about"]) => Ok(about(app)),
        ("GET", ["ledger"]) => Ok(ledger::list(app, query)),
        ("GET", ["requests"]) => Ok(requests::list(app, query)),
        ("DELETE", ["requests"]) => Ok(requests::reset(app)),
        ("GET", ["faults"]) => Ok(faults::list(app)),
        ("POST", ["faults"]) => faults::add(app, read(body)?),
        ("POST", ["faults", "plan"]) => faults::plan(app, read(body)?),
        ("DELETE", ["faults"]) => Ok(faults::clear(app)),
        ("POST", ["dispatcher"]) => {
            let request: Dispatcher = read(body)?;
            app.change(|state| state.dispatcher_down = !request.running);
            Ok(empty(StatusCode::NO_CONTENT))
        }
        ("POST", ["notifications"]) => notifications::change(app, read(body)?),
        ("GET", ["notifications"]) => Ok(notifications::list(app)),
        ("DELETE", ["notifications"]) => Ok(notifications::clear(app)),
        ("POST", ["notifications", "test"]) => Ok(notifications::test(app)),
        ("POST", ["clock"]) => clock::set(app, &read(body)?),
        ("GET", ["runs", id]) => runs::detail(app, number(id)?),
        ("DELETE", ["runs", id]) => runs::delete(app, number(id)?),
        ("POST", ["runs", id, "reap"]) => runs::reap(app, number(id)?, &read_or_default(body)?),
        ("POST", ["runs", id, "finish"]) => runs::finish(app, number(id)?, &read(body)?),
        ("POST", ["runs", id, "print"]) => runs::print(app, number(id)?, &read(body)?),
        ("POST", ["runs", "finish-all"]) => Ok(runs::finish_all(app, &read(body)?)),
        ("POST", ["accounts", name]) => accounts::change(app, name, &read(body)?),
        ("POST", ["accounts", name, "rotate"]) => accounts::rotate(app, name),
        ("PATCH", ["templates", id]) => templates::change(app, number(id)?, read(body)?),
        ("POST", ["rights", path, id]) => rights::change(app, path, number(id)?, &read(body)?),
        _ => Err(Refusal::detail(StatusCode::NOT_FOUND, "The control API has no such call.")),
    }
}

fn about(app: &App) -> Response {
    let state = app.read();
    ok(&json!({
        "install_uuid": state.install_uuid, "last_run": state.last_job, "engine": app.engine.name(), "speed": app.speed, "room": app.room, "latency_ms": app.latency.as_millis(),
        "clock_offset_ms": state.clock_offset_ms, "dispatcher_running": !state.dispatcher_down,
        "active_runs": state.schedule.active().count(), "launches": state.ledger.len(),
    }))
}

fn number(text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| Refusal::detail(StatusCode::NOT_FOUND, "That is not an id."))
}

fn read<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))
}

/// No body at all asks for nothing in particular.
fn read_or_default<T: serde::de::DeserializeOwned + Default>(body: &Bytes) -> Result<T, Refusal> {
    if body.is_empty() { Ok(T::default()) } else { read(body) }
}

fn wrong(why: impl Into<String>) -> Refusal {
    Refusal::detail(StatusCode::UNPROCESSABLE_ENTITY, why)
}
