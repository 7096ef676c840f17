//! The audit entries of a job's life. Those written while its caller waits name the caller; those written later name
//! the executor, on behalf of the one who asked.

use runwarden_kit::audit::{Actor, Entry, EntryBuilder, Outcome};
use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::mesh::Service;
use serde_json::{Value, json};

use crate::job::{Attempt, AttemptState, Job, JobState, Run, Stray};
use crate::launch::authority::Denial;
use crate::launch::protocol::Resolution;
use crate::ports::Decision;

/// A clock that shows one moment: what happens in one transaction happened at one time, however often it was tried.
struct At(Moment);

impl Clock for At {
    fn now(&self) -> Moment {
        self.0
    }
}

/// A job was accepted, or refused by policy.
pub fn submit(now: Moment, job: &Job, outcome: Outcome, reasons: &[String]) -> Entry {
    EntryBuilder::new(&At(now), Service::Executor, "job.submit", "job", &job.id)
        .tenant(&job.tenant)
        .outcome(outcome)
        .decision(&job.decision_id, &job.policy_digest)
        .payload_digest(&job.payload_digest)
        .details(&json!({
            "template": job.template, "project": job.project, "controller": job.controller, "reasons": reasons,
        }))
        .build()
}

/// A job's cancellation was requested.
pub fn cancel(now: Moment, job: &Job) -> Entry {
    EntryBuilder::new(&At(now), Service::Executor, "job.cancel", "job", &job.id)
        .tenant(&job.tenant)
        .details(&json!({"state": job.state.name(), "template": job.template}))
        .build()
}

/// A launch is about to be sent. `decision` is the one that was made for it; none if that of the job's acceptance is
/// recent enough.
pub fn launch(now: Moment, job: &Job, attempt: &Attempt, decision: Option<&Decision>) -> Entry {
    by_executor_as_decided(
        now,
        job,
        "job.launch",
        Outcome::Intent,
        decision.map(|decision| (decision.id.as_str(), decision.policy_digest.as_str())),
        &json!({
            "decided_again": decision.is_some(), "input_digest": decision.map(|decision| &decision.input_digest),
            "attempt": attempt.number, "controller_template": attempt.controller_template,
            "installation": attempt.installation, "marker": attempt.marker, "placement": attempt.placement,
            "told": (!attempt.told.is_nothing()).then_some(&attempt.told),
            "account": attempt.account, "controller_time": attempt.controller_time.map(Moment::rfc3339),
        }),
    )
}

/// What became of an attempt: bound to a run, certainly not launched, or not known.
pub fn attempt(now: Moment, job: &Job, attempt: &Attempt) -> Entry {
    let (action, outcome) = match &attempt.state {
        AttemptState::Bound { .. } => ("job.bind", Outcome::Success),
        AttemptState::NotLaunched { .. } | AttemptState::Ambiguous { .. } | AttemptState::GivenUp { .. } => {
            ("job.attempt", Outcome::Failed)
        }
        AttemptState::Intent | AttemptState::Unresolved { .. } => ("job.attempt", Outcome::Intent),
    };
    by_executor(
        now,
        job,
        action,
        outcome,
        &json!({
            "attempt": attempt.number, "result": attempt.state, "marker_took": attempt.marker_took,
        }),
    )
}

/// A stray run was found: its attempt had been settled without it. It is stopped.
pub fn stray(now: Moment, job: &Job, attempt: u32, run: &Run) -> Entry {
    by_executor(now, job, "job.stray_run", Outcome::Failed, &json!({"attempt": attempt, "run": run}))
}

/// A stray run has ended, or no longer exists; how.
pub fn stray_settled(now: Moment, job: &Job, stray: &Stray, how: &str) -> Entry {
    let details = json!({"attempt": stray.attempt, "run": stray.run, "how": how, "looks": stray.looks});
    by_executor(now, job, "job.stray_settled", Outcome::Success, &details)
}

/// A person says what became of a launch.
pub fn resolve(now: Moment, job: &Job, attempt: u32, resolution: &Resolution, why: &str) -> Entry {
    let (action, run) = match resolution {
        Resolution::Bind(run) => ("bind", Some(run)),
        Resolution::Retry => ("retry", None),
        Resolution::GiveUp => ("give_up", None),
    };
    EntryBuilder::new(&At(now), Service::Executor, "job.resolve", "job", &job.id)
        .tenant(&job.tenant)
        .details(&json!({
            "resolution": action, "run": run, "reason": why, "attempt": attempt, "template": job.template,
        }))
        .build()
}

/// A job is over, or an operator must decide.
pub fn finish(now: Moment, job: &Job) -> Entry {
    let outcome = if job.state == JobState::Succeeded { Outcome::Success } else { Outcome::Failed };
    by_executor(
        now,
        job,
        "job.finish",
        outcome,
        &json!({
            "state": job.state.name(), "reason": job.reason, "template": job.template, "outcome": job.outcome,
        }),
    )
}

/// Who asked for a job could not ask for it any more when its turn came, so it was not launched.
pub fn denied(now: Moment, job: &Job, denial: &Denial) -> Entry {
    let decision = denial.decision.as_ref();
    by_executor_as_decided(
        now,
        job,
        "job.authorize",
        Outcome::Denied,
        // Where no policy was asked, no policy decided: the decision it was accepted by does not stand for this.
        Some(decision.map_or(("", ""), |decision| (decision.id.as_str(), decision.policy_digest.as_str()))),
        &json!({
            "reason": denial.reason, "detail": denial.detail, "attempt": job.attempts.saturating_add(1),
            "template": job.template, "project": job.project, "accepted_by": job.decision_id,
            "reasons": decision.map(|decision| &decision.reasons),
            "input_digest": decision.map(|decision| &decision.input_digest),
        }),
    )
}

fn by_executor(now: Moment, job: &Job, action: &str, outcome: Outcome, details: &Value) -> Entry {
    by_executor_as_decided(now, job, action, outcome, None, details)
}

/// With another decision than the one that the job was accepted by, if there is one.
fn by_executor_as_decided(
    now: Moment,
    job: &Job,
    action: &str,
    outcome: Outcome,
    decision: Option<(&str, &str)>,
    details: &Value,
) -> Entry {
    let (decision_id, policy_digest) = decision.unwrap_or((&job.decision_id, &job.policy_digest));
    let mut details = details.clone();
    if let Value::Object(map) = &mut details {
        map.insert("requested_by".into(), json!(job.requested_by));
    }
    EntryBuilder::new(&At(now), Service::Executor, action, "job", &job.id)
        .tenant(&job.tenant)
        .actor(Actor {
            principal: "service:executor".into(),
            name: "executor".into(),
            authenticated_by: "mesh".into(),
            ..Actor::default()
        })
        .request(&job.request_id, &job.trace_id)
        .decision(decision_id, policy_digest)
        .outcome(outcome)
        .details(&details)
        .build()
}
