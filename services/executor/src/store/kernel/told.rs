//! What an event keeps of a job: what may change of it, as JSON. What never changes is kept once, with the job.

use runwarden_kit::clock::Moment;
use runwarden_kit::{Error, Result};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::job::{Condemned, Job, JobState, Run};

/// What never changes once a job is accepted. Events of earlier versions keep most of it too.
const FIXED: [&str; 25] = [
    "id",
    "tenant",
    "project",
    "template",
    "controller",
    "launch_digest",
    "parameters",
    "sealed_parameters",
    "write_only",
    "payload_digest",
    "requested_by",
    "requested_by_name",
    "client_id",
    "asked_with",
    "request_id",
    "trace_id",
    "trace_parent",
    "decision_id",
    "policy_digest",
    "origin",
    "created_at",
    "max_duration_seconds",
    "priority",
    "start_at",
    "start_by",
];

#[derive(Serialize)]
struct Told<'a> {
    state: &'a JobState,
    reason: &'a Option<String>,
    reason_detail: &'a Option<String>,
    launched_at: &'a Option<Moment>,
    finished_at: &'a Option<Moment>,
    outcome: &'a Option<Value>,
    run: &'a Option<Run>,
    cancel_requested: bool,
    condemned: &'a Option<Condemned>,
    cancel_sent_at: &'a Option<Moment>,
    progress: &'a str,
    begun_at: &'a Option<Moment>,
    setbacks: u32,
    attempts: u32,
    attempt_open: bool,
    output_cursor: &'a str,
    output_bytes: u64,
    output_truncated: bool,
    output_incomplete: bool,
    missing_since: &'a Option<Moment>,
    hidden_since: &'a Option<Moment>,
    ended_since: &'a Option<Moment>,
    last_event: i64,
}

/// Writes a job down as it stands.
pub(super) fn tell(job: &Job) -> Result<String> {
    let told = Told {
        state: &job.state,
        reason: &job.reason,
        reason_detail: &job.reason_detail,
        launched_at: &job.launched_at,
        finished_at: &job.finished_at,
        outcome: &job.outcome,
        run: &job.run,
        cancel_requested: job.cancel_requested,
        condemned: &job.condemned,
        cancel_sent_at: &job.cancel_sent_at,
        progress: &job.progress,
        begun_at: &job.begun_at,
        setbacks: job.setbacks,
        attempts: job.attempts,
        attempt_open: job.attempt_open,
        output_cursor: &job.output_cursor,
        output_bytes: job.output_bytes,
        output_truncated: job.output_truncated,
        output_incomplete: job.output_incomplete,
        missing_since: &job.missing_since,
        hidden_since: &job.hidden_since,
        ended_since: &job.ended_since,
        last_event: job.last_event,
    };
    serde_json::to_string(&told).map_err(Error::internal)
}

/// A job whose events are read.
pub(super) struct Teller(Map<String, Value>);

impl Teller {
    /// Of the job as it is now.
    pub(super) fn of(now: &Job) -> Result<Self> {
        let Value::Object(now) = serde_json::to_value(now).map_err(Error::internal)? else {
            return Err(Error::internal(anyhow::anyhow!("a job is an object")));
        };
        Ok(Self(now))
    }

    /// The job as it stood when this was kept, by this version or an earlier one.
    pub(super) fn as_told(&self, kept: &str) -> Result<Job> {
        let mut job: Map<String, Value> = serde_json::from_str(kept).map_err(Error::internal)?;
        for name in FIXED {
            if let Some(value) = self.0.get(name) {
                job.insert(name.to_owned(), value.clone());
            }
        }
        serde_json::from_value(Value::Object(job)).map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::job::tests::example;
    use crate::job::{AT_ONCE, AskedWith, Lease, Origin};
    use crate::test_doubles::installation;

    /// A job of which nothing is left out when it is written.
    fn full() -> Job {
        let at = |micros| Some(Moment::from_micros(micros));
        let run = Run { installation: installation(1), kind: "job".into(), id: 7, template: Some(9), created: at(1) };
        Job {
            parameters: json!({"version": "1"}).as_object().unwrap().clone(),
            sealed_parameters: Some("c2VhbGVk".into()),
            write_only: BTreeSet::from(["token".to_owned()]),
            asked_with: AskedWith { authenticated_by: "secret".into(), permissions: BTreeSet::from(["x".to_owned()]) },
            trace_parent: Some("00-1-2-01".into()),
            origin: Some(Origin { reference: "PR 7".into(), ..Origin::default() }),
            reason: Some("R".into()),
            reason_detail: Some("why".into()),
            launched_at: at(2),
            finished_at: at(3),
            outcome: Some(json!({"changed": 1.5})),
            run: Some(run),
            condemned: Some(Condemned { state: JobState::Canceled, reason: "R".into(), detail: "why".into() }),
            cancel_sent_at: at(4),
            progress: "running".into(),
            start_at: at(5),
            start_by: at(6),
            begun_at: at(7),
            missing_since: at(8),
            hidden_since: at(9),
            ended_since: at(10),
            last_event: 4,
            due_at: None,
            lease: Lease::default(),
            ..example()
        }
    }

    #[test]
    fn an_event_keeps_exactly_what_may_change() {
        let written = |text: &str| {
            let map: Map<String, Value> = serde_json::from_str(text).unwrap();
            map.into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>()
        };
        let job = full();
        let (told, all) = (written(&tell(&job).unwrap()), written(&serde_json::to_string(&job).unwrap()));
        let fixed: BTreeSet<String> = FIXED.into_iter().map(str::to_owned).collect();
        assert!(told.is_disjoint(&fixed), "{:?}", told.intersection(&fixed));
        assert_eq!(told.union(&fixed).cloned().collect::<BTreeSet<_>>(), all);
    }

    #[test]
    fn a_job_is_read_as_it_stood_whatever_it_is_now() {
        let then = full();
        let now = Job { state: JobState::Failed, begun_at: None, hidden_since: None, last_event: 9, ..then.clone() };
        let teller = Teller::of(&now).unwrap();
        assert_eq!(teller.as_told(&tell(&then).unwrap()).unwrap(), then);
        // What the other did not have yet is not taken from what it has now.
        let teller = Teller::of(&then).unwrap();
        let early = Job { begun_at: None, hidden_since: None, run: None, outcome: None, ..then.clone() };
        assert_eq!(teller.as_told(&tell(&early).unwrap()).unwrap(), early);
    }

    #[test]
    fn an_event_of_an_earlier_version_is_the_whole_job_without_what_was_asked() {
        let then = full();
        let kept = Job { parameters: Map::new(), sealed_parameters: None, begun_at: None, ..then.clone() };
        let now = Job { due_at: Some(AT_ONCE), state: JobState::Failed, ..then.clone() };
        let read = Teller::of(&now).unwrap().as_told(&serde_json::to_string(&kept).unwrap()).unwrap();
        assert_eq!(read, Job { begun_at: None, ..then });
    }
}
