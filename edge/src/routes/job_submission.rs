//! Submitting jobs: the template, the parameters, the priority and the schedule.

use axum::extract::State;
use axum::response::Response;
use prost_types::Timestamp;
use runwarden_kit::FieldError;
use runwarden_proto::executor::v1 as proto;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::field::{moment, present};
use super::job_priority::Priority;
use super::jobs::accepted;
use crate::app::App;
use crate::declared::Routes;
use crate::extract::body::Body;
use crate::extract::query::{NoParams, Params};
use crate::problem::{Problem, Result};

/// This route.
#[must_use]
pub fn routes() -> Routes {
    Routes::new().both(routes!(submit))
}

/// A job to accept.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"template": "deploy-web", "parameters": {"environment": "dev"}}))]
pub struct SubmitJob {
    /// The template to run.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    template: String,
    /// What its schema takes; nothing if not given.
    #[serde(default)]
    #[schema(value_type = Object, required = false)]
    parameters: Map<String, Value>,
    /// Which of the tenant's waiting jobs goes first; `normal` if not given.
    priority: Option<Priority>,
    /// The earliest time to start it, at most 30 days ahead; at once if not given.
    #[schema(format = DateTime)]
    start_at: Option<String>,
    /// The latest time to start it; the template's limit applies if not given.
    #[schema(format = DateTime)]
    start_by: Option<String>,
    /// How many seconds the run may take, at most what the template allows; what the template says if not given.
    #[schema(minimum = 1)]
    max_duration_seconds: Option<i64>,
    /// What you call it, such as the number of a ticket: it is shown with the job, and sent along with callbacks.
    #[schema(max_length = 200)]
    reference: Option<String>,
    /// Names of callbacks that are to be sent what becomes of it, beside those that are anyway.
    #[serde(default)]
    #[schema(value_type = Vec<String>, required = false, max_items = 8)]
    callbacks: Vec<String>,
}

impl SubmitJob {
    /// The request as it is sent on, or all that is wrong with it.
    fn checked(self) -> Result<proto::SubmitJobRequest> {
        let mut wrong: Vec<FieldError> = Vec::new();
        let mut time = |pointer: &str, text: Option<String>| -> Option<Timestamp> {
            match moment(pointer, &text?) {
                Ok(time) => Some(time),
                Err(problem) => {
                    wrong.extend_from_slice(problem.error().fields());
                    None
                }
            }
        };
        let (start_at, start_by) = (time("/start_at", self.start_at), time("/start_by", self.start_by));
        // Elsewhere 0 means no limit; a job cannot ask for that.
        if self.max_duration_seconds.is_some_and(|seconds| seconds < 1) {
            let detail = "must be at least 1; leave it out to use the template's limit".to_owned();
            wrong.push(FieldError { pointer: "/max_duration_seconds".to_owned(), detail });
        }
        if !wrong.is_empty() {
            return Err(Problem::invalid_fields(wrong));
        }
        Ok(proto::SubmitJobRequest {
            template: self.template,
            parameters_json: Value::Object(self.parameters).to_string(),
            priority: Priority::sent(self.priority),
            start_at,
            start_by,
            max_duration_seconds: self.max_duration_seconds.unwrap_or_default(),
            origin: origin(self.reference, self.callbacks),
        })
    }
}

/// What asks for it; none if nothing is said.
fn origin(reference: Option<String>, callbacks: Vec<String>) -> Option<proto::JobOrigin> {
    let reference = reference.unwrap_or_default();
    let says_something = !reference.is_empty() || !callbacks.is_empty();
    says_something.then(|| proto::JobOrigin { reference, callbacks, ..proto::JobOrigin::default() })
}

/// Submit a job
///
/// It is validated, decided on, recorded and durable before this answers; then it is launched, once. With an
/// `Idempotency-Key` it can be sent again without harm. Needs `jobs.submit` at the template's project.
#[utoipa::path(post, path = "/api/v1/jobs", tag = "jobs", request_body = SubmitJob,
    responses((status = 202, description = "The job was accepted.", body = super::jobs::Job)))]
async fn submit(
    State(app): State<App>,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<SubmitJob>,
) -> Result<Response> {
    let answer = app.ports.jobs().submit_job(body.checked()?).await?.into_inner();
    accepted(present(answer.job, "job")?)
}

#[cfg(test)]
mod tests {
    use super::{Priority, SubmitJob, proto};
    use crate::extract::body::from_json;
    use crate::problem::Problem;

    fn read(body: &str) -> Result<proto::SubmitJobRequest, Problem> {
        from_json::<SubmitJob>(body.as_bytes()).and_then(SubmitJob::checked)
    }

    fn pointers(body: &str) -> Vec<String> {
        read(body).unwrap_err().error().fields().iter().map(|field| field.pointer.clone()).collect()
    }

    #[test]
    fn parameters_are_an_object_or_absent() {
        assert_eq!(read(r#"{"template":"a"}"#).unwrap().parameters_json, "{}");
        for bad in [r#"{"template":"a","parameters":[]}"#, r#"{"template":"a","parameters":null}"#] {
            assert_eq!(pointers(bad), ["/parameters"], "{bad}");
        }
    }

    #[test]
    fn what_is_not_said_is_left_to_the_template() {
        let request = read(r#"{"template":"a"}"#).unwrap();
        assert_eq!(request.priority(), proto::JobPriority::Unspecified);
        assert_eq!((request.start_at, request.start_by, request.max_duration_seconds), (None, None, 0));
        assert_eq!(request.origin, None);
        let nulls = r#"{"template":"a","priority":null,"start_at":null,"start_by":null,"max_duration_seconds":null}"#;
        assert_eq!(read(nulls).unwrap(), request);
    }

    #[test]
    fn urgency_and_times_are_read_and_all_that_is_wrong_is_told_at_once() {
        let body = r#"{"template":"a","priority":"high","start_at":"2026-12-01T06:00:00+01:00",
            "start_by":"2026-12-01T06:00:00Z","max_duration_seconds":600}"#;
        let request = read(body).unwrap();
        assert_eq!((request.priority(), request.max_duration_seconds), (proto::JobPriority::High, 600));
        let (at, by) = (request.start_at.unwrap().seconds, request.start_by.unwrap().seconds);
        assert_eq!((at, by - at), (1_796_101_200, 3600));
        let wrong = r#"{"template":"a","start_at":"tomorrow","start_by":"2026-12-01","max_duration_seconds":0}"#;
        assert_eq!(pointers(wrong), ["/start_at", "/start_by", "/max_duration_seconds"]);
        assert_eq!(pointers(r#"{"template":"a","priority":"urgent"}"#), ["/priority"]);
        assert_eq!(pointers(r#"{"template":"a","start_at":1796101200}"#), ["/start_at"]);
    }

    #[test]
    fn what_asks_for_it_is_the_callers_word_and_names_no_delivery() {
        let request = read(r#"{"template":"a","reference":"PR 7","callbacks":["ci"]}"#).unwrap();
        let origin = request.origin.unwrap();
        assert_eq!((origin.reference.as_str(), origin.callbacks), ("PR 7", vec!["ci".to_owned()]));
        assert!(
            read(r#"{"template":"a","hook":"github"}"#).is_err() && read(r#"{"template":"a","origin":{}}"#).is_err()
        );
    }

    #[test]
    fn every_priority_has_one_name_in_and_out() {
        for (name, priority) in [("low", Priority::Low), ("normal", Priority::Normal), ("high", Priority::High)] {
            assert_eq!(serde_json::to_value(priority).unwrap(), name);
            let sent = proto::JobPriority::try_from(Priority::sent(Some(priority))).unwrap();
            assert_eq!(Priority::of(sent), priority);
        }
        assert_eq!(Priority::of(proto::JobPriority::Unspecified), Priority::Normal);
    }
}
