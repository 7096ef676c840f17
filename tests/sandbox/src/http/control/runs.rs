//! Runs as they truly are, and ends that AWX gives to nobody on request.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::super::reply::{Outcome, Refusal, empty, ok};
use crate::app::App;
use crate::run::narrator;
use crate::run::report::Reporter;
use crate::state::State;
use crate::state::job::Status;

/// How a run shall end.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum End {
    Successful,
    Failed,
    Error,
    Canceled,
}

impl End {
    fn status(self) -> Status {
        match self {
            Self::Successful => Status::Successful,
            Self::Failed => Status::Failed,
            Self::Error => Status::Error,
            Self::Canceled => Status::Canceled,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Finish {
    status: End,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Reap {
    /// Whether the playbook goes on when it is at work, as after a crash of AWX's dispatcher.
    playbook_goes_on: bool,
}

impl Default for Reap {
    fn default() -> Self {
        Self { playbook_goes_on: true }
    }
}

/// With the variables it got, secrets in clear.
pub(super) fn detail(app: &App, id: u64) -> Outcome {
    let state = app.read();
    let job = state.jobs.get(&id).ok_or_else(unknown)?;
    Ok(ok(&json!({
        "id": id, "type": job.kind.type_name(), "status": job.status.name(), "job_explanation": job.job_explanation,
        "engine": job.engine, "starts": job.starts, "still_at_work": job.still_at_work(), "lines": job.lines, "parent": job.parent,
        "extra_vars": job.extra_vars, "limit": job.limit, "skip_tags": job.skip_tags, "job_tags": job.job_tags,
    })))
}

/// The dispatcher died: the run is failed, and its events will never be complete.
pub(super) fn reap(app: &App, id: u64, request: &Reap) -> Outcome {
    app.change(|state| state.reap_one(id, request.playbook_goes_on));
    Ok(empty(StatusCode::NO_CONTENT))
}

/// The run ends at once; one that does not run yet, as soon as it runs.
pub(super) fn finish(app: &App, id: u64, request: &Finish) -> Outcome {
    app.change(|state| {
        if state.finish(id, request.status.status()) {
            Ok(empty(StatusCode::NO_CONTENT))
        } else if state.jobs.get(&id).is_some() {
            Err(Refusal::detail(StatusCode::CONFLICT, "The run is over."))
        } else {
            Err(unknown())
        }
    })
}

/// What a run shall print, as a terminal would get it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Print {
    text: String,
}

/// The run prints this: an event for each line, and for each piece without a line end.
pub(super) fn print(app: &Arc<App>, id: u64, request: &Print) -> Outcome {
    let at_work = app.read().jobs.get(&id).map(|job| job.at_work && job.status.is_active());
    match at_work {
        Some(true) => {}
        Some(false) => return Err(Refusal::detail(StatusCode::CONFLICT, "The run is not at work.")),
        None => return Err(unknown()),
    }
    let mut reporter = Reporter::new(Arc::clone(app), id);
    for telling in narrator::pieces(&request.text) {
        reporter.tell(telling);
    }
    reporter.release();
    Ok(empty(StatusCode::NO_CONTENT))
}

/// All that are under way or still to come.
pub(super) fn finish_all(app: &App, request: &Finish) -> Response {
    let finished = app.change(|state| {
        let active: Vec<u64> = state.schedule.active().collect();
        let under_way = |state: &State, id| state.jobs.get(&id).is_some_and(|job| job.status.is_active());
        // Steps end with their workflow.
        active.into_iter().filter(|id| under_way(state, *id) && state.finish(*id, request.status.status())).count()
    });
    ok(&json!({"finished": finished}))
}

/// Somebody deleted the run in AWX's database, whatever it was doing.
pub(super) fn delete(app: &App, id: u64) -> Outcome {
    app.change(|state| state.delete(id)).ok_or_else(unknown)?;
    if let Some(store) = &app.store {
        store.forget(id);
    }
    Ok(empty(StatusCode::NO_CONTENT))
}

fn unknown() -> Refusal {
    Refusal::missing("Job")
}
