//! What receivers are told: which events there are, and what a message says. Version 1 of the body; fields are added to
//! it, never removed or changed.

use runwarden_kit::clock::Moment;
use runwarden_kit::{Error, Result, json};
use runwarden_proto::executor::v1 as executor;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The version of a message's body.
const VERSION: u32 = 1;
/// How large an outcome may be to be part of a message, bytes: messages are small, and details can be read by the job's
/// id.
const LARGEST_OUTCOME: usize = 12 * 1024;

/// What happened to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Event {
    /// It runs.
    #[serde(rename = "job.running")]
    Running,
    /// It is left to a person: it cannot be found out whether it was launched.
    #[serde(rename = "job.unknown")]
    Unknown,
    /// It is over.
    #[serde(rename = "job.finished")]
    Finished,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Running, Self::Unknown, Self::Finished];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "job.running",
            Self::Unknown => "job.unknown",
            Self::Finished => "job.finished",
        }
    }

    /// The event with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name() == name)
    }

    /// What a job's state tells; nothing before it runs.
    #[must_use]
    pub fn of(state: executor::JobState) -> Option<Self> {
        use executor::JobState as S;
        match state {
            S::Running => Some(Self::Running),
            S::Unknown => Some(Self::Unknown),
            S::Succeeded | S::Failed | S::Canceled | S::Error => Some(Self::Finished),
            S::Unspecified | S::New | S::AwaitingApproval | S::Launching => None,
        }
    }

    /// When it happened, as far as that is known.
    #[must_use]
    pub fn at(self, job: &executor::Job) -> Moment {
        let time = match self {
            Self::Running => job.launched_at,
            Self::Finished => job.finished_at,
            Self::Unknown => None,
        };
        time.or(job.created_at).as_ref().and_then(Moment::from_proto).unwrap_or(Moment::from_micros(0))
    }
}

/// The id of the message that tells a callback of this: the same whenever it is made.
#[must_use]
pub fn message_id(callback: &str, job: &str, event: Event) -> String {
    let digest = json::sha256_hex(format!("{callback} {job} {}", event.name()).as_bytes());
    format!("msg_{}", digest.get(..32).unwrap_or(&digest))
}

/// What a message says.
///
/// # Errors
/// When the executor sent an outcome that is not JSON.
pub fn body(job: &executor::Job, event: Event) -> Result<String> {
    let time = |time: &Option<_>| time.as_ref().and_then(Moment::from_proto).map(Moment::rfc3339);
    let origin = job.origin.clone().unwrap_or_default();
    let mut told = Map::new();
    let mut tell = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            told.insert(name.to_owned(), value);
        }
    };
    let text = |text: &str| (!text.is_empty()).then(|| Value::from(text));
    tell("id", text(&job.id));
    tell("path", Some(format!("/api/v1/jobs/{}", job.id).into()));
    tell("template", text(&job.template));
    tell("controller", text(&job.controller));
    tell("state", Some(state_name(job.state()).into()));
    tell("reason", text(&job.reason));
    tell("reason_detail", text(&job.reason_detail));
    tell("requested_by", text(&job.requested_by));
    tell("requested_by_name", text(&job.requested_by_name));
    tell("reference", text(&origin.reference));
    tell("hook", text(&origin.hook));
    tell("delivery", text(&origin.delivery));
    tell("created_at", time(&job.created_at).map(Value::from));
    tell("launched_at", time(&job.launched_at).map(Value::from));
    tell("finished_at", time(&job.finished_at).map(Value::from));
    tell("trace_id", text(&job.trace_id));
    if event == Event::Finished {
        tell("output_truncated", Some(job.output_truncated.into()));
        tell("output_incomplete", Some(job.output_incomplete.into()));
        tell("outcome", outcome(&job.outcome_json)?);
    }
    let data = json!({ "tenant": job.tenant, "project": job.project, "job": told });
    let body = json!({ "type": event.name(), "version": VERSION, "timestamp": event.at(job).rfc3339(), "data": data });
    Ok(body.to_string())
}

/// How a run ended; without a workflow's steps if they are too many for a message.
fn outcome(text: &str) -> Result<Option<Value>> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut outcome: Map<String, Value> = serde_json::from_str(text).map_err(Error::internal)?;
    if text.len() > LARGEST_OUTCOME && outcome.remove("steps").is_some() {
        outcome.insert("steps_left_out".into(), true.into());
    }
    let outcome = Value::Object(outcome);
    Ok((outcome.to_string().len() <= LARGEST_OUTCOME).then_some(outcome))
}

fn state_name(state: executor::JobState) -> &'static str {
    use executor::JobState as S;
    match state {
        S::Unspecified | S::Unknown => "unknown",
        S::New => "new",
        S::AwaitingApproval => "awaiting_approval",
        S::Launching => "launching",
        S::Running => "running",
        S::Succeeded => "succeeded",
        S::Failed => "failed",
        S::Canceled => "canceled",
        S::Error => "error",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn job(state: executor::JobState) -> executor::Job {
        executor::Job {
            id: "job_01990f9a0c6f7c52b8f54ee30bd5d1a1".into(),
            tenant: "acme".into(),
            project: "web".into(),
            template: "deploy".into(),
            controller: "awx".into(),
            state: state.into(),
            requested_by: "sa_1".into(),
            requested_by_name: "ci".into(),
            created_at: Some(Moment::from_micros(1_000_000).to_proto()),
            launched_at: Some(Moment::from_micros(2_000_000).to_proto()),
            finished_at: Some(Moment::from_micros(3_000_000).to_proto()),
            outcome_json: r#"{"status":"successful","elapsed_seconds":1.5}"#.into(),
            origin: Some(executor::JobOrigin { reference: "PR 7".into(), ..executor::JobOrigin::default() }),
            ..executor::Job::default()
        }
    }

    #[test]
    fn version_1_of_the_body_is_as_it_is_documented() {
        let body: Value =
            serde_json::from_str(&body(&job(executor::JobState::Succeeded), Event::Finished).unwrap()).unwrap();
        assert_eq!(
            body,
            json!({
                "type": "job.finished", "version": 1, "timestamp": "1970-01-01T00:00:03.000000Z",
                "data": {"tenant": "acme", "project": "web", "job": {
                    "id": "job_01990f9a0c6f7c52b8f54ee30bd5d1a1",
                    "path": "/api/v1/jobs/job_01990f9a0c6f7c52b8f54ee30bd5d1a1",
                    "template": "deploy", "controller": "awx", "state": "succeeded", "requested_by": "sa_1",
                    "requested_by_name": "ci", "reference": "PR 7", "created_at": "1970-01-01T00:00:01.000000Z",
                    "launched_at": "1970-01-01T00:00:02.000000Z", "finished_at": "1970-01-01T00:00:03.000000Z",
                    "output_truncated": false, "output_incomplete": false,
                    "outcome": {"status": "successful", "elapsed_seconds": 1.5},
                }},
            })
        );
    }

    #[test]
    fn a_message_stays_small_whatever_a_workflow_did() {
        let steps = vec![json!({"name": "x".repeat(100), "status": "successful"}); 200];
        let large = executor::Job {
            outcome_json: json!({"status": "failed", "steps": steps}).to_string(),
            ..job(executor::JobState::Failed)
        };
        let body = body(&large, Event::Finished).unwrap();
        let read: Value = serde_json::from_str(&body).unwrap();
        assert!(body.len() < 20_000);
        assert_eq!(read["data"]["job"]["outcome"], json!({"status": "failed", "steps_left_out": true}));
    }

    #[test]
    fn every_end_is_told_and_nothing_before_it_runs() {
        use executor::JobState as S;
        for state in [S::Succeeded, S::Failed, S::Canceled, S::Error] {
            assert_eq!(Event::of(state), Some(Event::Finished));
        }
        for state in [S::New, S::Launching, S::AwaitingApproval] {
            assert_eq!(Event::of(state), None);
        }
        for event in Event::ALL {
            assert_eq!(Event::named(event.name()), Some(event));
            assert_eq!(serde_json::to_value(event).unwrap(), event.name());
        }
    }

    #[test]
    fn an_id_is_that_of_its_callback_job_and_event() {
        let id = message_id("cbk_1", "job_1", Event::Finished);
        assert!(runwarden_kit::id::is_valid("msg", &id) && id == message_id("cbk_1", "job_1", Event::Finished));
        for other in [
            message_id("cbk_2", "job_1", Event::Finished),
            message_id("cbk_1", "job_2", Event::Finished),
            message_id("cbk_1", "job_1", Event::Running),
        ] {
            assert_ne!(id, other);
        }
    }
}
