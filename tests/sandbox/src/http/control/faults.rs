//! Ordering faults.

use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::super::reply::{Outcome, Refusal, empty, json_answer, ok};
use super::wrong;
use crate::app::{App, lock};
use crate::faults::Fault;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    faults: Vec<Fault>,
}

/// What is still due.
pub(super) fn list(app: &App) -> Response {
    ok(&json!({"items": lock(&app.faults).due()}))
}

pub(super) fn clear(app: &App) -> Response {
    lock(&app.faults).clear();
    empty(StatusCode::NO_CONTENT)
}

pub(super) fn add(app: &App, fault: Fault) -> Outcome {
    check(&fault)?;
    Ok(json_answer(StatusCode::CREATED, &json!(lock(&app.faults).add(fault))))
}

/// All of them, in their order, or none.
pub(super) fn plan(app: &App, plan: Plan) -> Outcome {
    plan.faults.iter().try_for_each(check)?;
    let mut due = lock(&app.faults);
    let added: Vec<Fault> = plan.faults.into_iter().map(|fault| due.add(fault)).collect();
    Ok(json_answer(StatusCode::CREATED, &json!({"items": added})))
}

fn check(fault: &Fault) -> Result<(), Refusal> {
    fault.problem().map_or(Ok(()), |why| Err(wrong(why)))
}
