//! The audit entries of a job's life. Those written while its caller waits name the caller; those written later name
//! the executor, on behalf of the one who asked.

use runwarden_kit::audit::{Actor, Entry, EntryBuilder, Outcome};
use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::mesh::Service;
use serde_json::{Value, json};

use crate::attempt::{Attempt, AttemptState};
use crate::job::{Job, Run};
use crate::protocol::Resolution;

/// A job was accepted, or refused by policy.
pub fn submit(clock: &dyn Clock, job: &Job, outcome: Outcome, reasons: &[String]) -> Entry {
    EntryBuilder::new(clock, Service::Executor, "job.submit", "job", &job.id)
        .tenant(&job.tenant)
        .outcome(outcome)
        .decision(&job.decision_id, &job.policy_digest)
        .payload_digest(&job.payload_digest)
        .details(&json!({
            "template": job.template, "project": job.project, "controller": job.controller, "reasons": reasons,
        }))
        .build()
}

/// Somebody asked for a job to be stopped.
pub fn cancel(clock: &dyn Clock, job: &Job) -> Entry {
    EntryBuilder::new(clock, Service::Executor, "job.cancel", "job", &job.id)
        .tenant(&job.tenant)
        .details(&json!({"state": job.state.name(), "template": job.template}))
        .build()
}

/// A launch is about to be sent.
pub fn launch(clock: &dyn Clock, job: &Job, attempt: &Attempt) -> Entry {
    by_executor(
        clock,
        job,
        "job.launch",
        Outcome::Intent,
        &json!({
            "attempt": attempt.number, "controller_template": attempt.controller_template,
            "installation": attempt.installation, "marker": attempt.marker, "placement": attempt.placement,
            "account": attempt.account, "controller_time": attempt.controller_time.map(Moment::rfc3339),
        }),
    )
}

/// What became of an attempt: bound to a run, certainly not launched, or not known.
pub fn attempt(clock: &dyn Clock, job: &Job, attempt: &Attempt) -> Entry {
    let (action, outcome) = match &attempt.state {
        AttemptState::Bound { .. } => ("job.bind", Outcome::Success),
        AttemptState::NotLaunched { .. } | AttemptState::Ambiguous { .. } | AttemptState::GivenUp { .. } => {
            ("job.attempt", Outcome::Failed)
        }
        AttemptState::Intent | AttemptState::Unresolved { .. } => ("job.attempt", Outcome::Intent),
    };
    by_executor(
        clock,
        job,
        action,
        outcome,
        &json!({
            "attempt": attempt.number, "result": attempt.state, "marker_took": attempt.marker_took,
        }),
    )
}

/// A run came to light that should not be: what it was launched for was settled without it. It is stopped.
pub fn stray(clock: &dyn Clock, job: &Job, attempt: u32, run: &Run) -> Entry {
    by_executor(clock, job, "job.stray_run", Outcome::Failed, &json!({"attempt": attempt, "run": run}))
}

/// A person says what became of a launch.
pub fn resolve(clock: &dyn Clock, job: &Job, attempt: u32, resolution: &Resolution, why: &str) -> Entry {
    let (action, run) = match resolution {
        Resolution::Bind(run) => ("bind", Some(run)),
        Resolution::Retry => ("retry", None),
        Resolution::GiveUp => ("give_up", None),
    };
    EntryBuilder::new(clock, Service::Executor, "job.resolve", "job", &job.id)
        .tenant(&job.tenant)
        .details(&json!({
            "resolution": action, "run": run, "reason": why, "attempt": attempt, "template": job.template,
        }))
        .build()
}

/// A job is over, or a person must decide. Every way to an end passes here, so it is also where ends are counted.
pub fn finish(clock: &dyn Clock, job: &Job) -> Entry {
    metrics::counter!("runwarden_jobs_finished_total", "state" => job.state.name()).increment(1);
    tracing::info!(
        job = job.id,
        tenant = job.tenant,
        principal = job.requested_by,
        state = job.state.name(),
        reason = job.reason,
        "job finished"
    );
    let outcome = if job.state == crate::job::JobState::Succeeded { Outcome::Success } else { Outcome::Failed };
    by_executor(
        clock,
        job,
        "job.finish",
        outcome,
        &json!({
            "state": job.state.name(), "reason": job.reason, "template": job.template, "outcome": job.outcome,
        }),
    )
}

fn by_executor(clock: &dyn Clock, job: &Job, action: &str, outcome: Outcome, details: &Value) -> Entry {
    let mut details = details.clone();
    if let Value::Object(map) = &mut details {
        map.insert("requested_by".into(), json!(job.requested_by));
    }
    EntryBuilder::new(clock, Service::Executor, action, "job", &job.id)
        .tenant(&job.tenant)
        .actor(Actor {
            principal: "service:executor".into(),
            name: "executor".into(),
            authenticated_by: "mesh".into(),
            ..Actor::default()
        })
        .request(&job.request_id, &job.trace_id)
        .decision(&job.decision_id, &job.policy_digest)
        .outcome(outcome)
        .details(&details)
        .build()
}
