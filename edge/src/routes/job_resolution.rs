//! Jobs with an ambiguous launch: what an operator needs to find it on the controller, and to decide what became of it.
//! On the admin listener only.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use runwarden_kit::{FieldError, text};
use runwarden_proto::executor::v1 as proto;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::answer::{Page, checked_page};
use super::field::{always, present, some, time};
use super::jobs::{Job, accepted};
use crate::app::App;
use crate::declared::Routes;
use crate::extract::body::Body;
use crate::extract::path::ById;
use crate::extract::query::{NoParams, Params};
use crate::problem::{Problem, Result};

/// These routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new().admin(routes!(attempts)).admin(routes!(resolve))
}

runwarden_kit::mirror! {
    /// What is known of an attempt.
    #[derive(Serialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum AttemptState = proto::AttemptState {
        /// Durable; the request may not have left yet.
        Intent,
        /// It became a run.
        Bound,
        /// Certainly nothing was launched.
        NotLaunched,
        /// It may or may not have been launched; Runwarden is finding out.
        Unresolved,
        /// It cannot be determined automatically; an operator must decide.
        Ambiguous,
        /// An operator gave up on it.
        GivenUp,
    }
}

/// One try at launching a job.
#[derive(Debug, Serialize, ToSchema)]
pub struct Attempt {
    /// Its number in the job, from 1.
    pub number: i32,
    /// What is known of it.
    pub state: AttemptState,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The installation it went to: its install uuid, or its address if it gives none.
    #[schema(example = "7a8e2c4f-51d0-4b8e-9a63-0d1f2b3c4d5e")]
    pub installation: String,
    /// The address it was reached at then.
    #[schema(example = "https://awx.acme.example")]
    pub controller_address: String,
    /// The id of the controller's template.
    pub controller_template: i64,
    /// The id of Runwarden's account there.
    pub account: i64,
    /// When its intent was written, just before the request left.
    #[schema(format = DateTime)]
    pub sent_at: String,
    /// The controller's clock at about the same time; absent if it did not report it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub controller_time: Option<String>,
    /// What marks its run.
    pub marker: String,
    /// Where the marker was put: `extra_var`, `survey`, `skip_tag` or `none`.
    #[schema(example = "extra_var")]
    pub marker_placement: String,
    /// The run it became; absent while none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<i64>,
    /// The runs it may have become.
    pub candidates: Vec<i64>,
}

impl TryFrom<proto::Attempt> for Attempt {
    type Error = Problem;

    fn try_from(attempt: proto::Attempt) -> Result<Self> {
        Ok(Self {
            number: attempt.number,
            state: present(attempt.state().try_into().ok(), "state of an attempt")?,
            detail: some(attempt.detail),
            installation: attempt.installation,
            controller_address: attempt.controller_address,
            controller_template: attempt.controller_template_id,
            account: attempt.account_id,
            sent_at: always(attempt.sent_at),
            controller_time: time(attempt.controller_time),
            marker: attempt.marker,
            marker_placement: attempt.marker_placement,
            run: Some(attempt.run_id).filter(|run| *run != 0),
            candidates: attempt.candidates,
        })
    }
}

/// List the attempts at launching a job
///
/// With what an operator needs to find its run on the controller. Needs `jobs.resolve`.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/attempts", tag = "jobs", params(ById),
    responses((status = 200, description = "All of them, oldest first.", body = Page<Attempt>)))]
async fn attempts(State(app): State<App>, by: ById, Params(NoParams): Params<NoParams>) -> Result<Json<Page<Attempt>>> {
    let answer = app.ports.jobs().list_attempts(proto::ListAttemptsRequest { id: by.id }).await?.into_inner();
    checked_page(answer.attempts, String::new())
}

/// What shall be done about a launch that no machine can know about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResolveAction {
    /// It became the run that `run` names.
    Bind,
    /// It was not launched: launch it again.
    Retry,
    /// It cannot be found out: the job ends as `failed` with reason `given_up`.
    GiveUp,
}

/// What became of a launch. It is taken for true and put on record with its reason.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"action": "bind", "run": 123, "reason": "The only run of that minute with our version."}))]
pub struct ResolveJob {
    /// What shall be done.
    action: ResolveAction,
    /// The id of the run on the controller; with `bind`, and only there.
    #[schema(minimum = 1)]
    run: Option<i64>,
    /// Why, for the record.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
}

impl ResolveJob {
    /// The request as it is sent on, or all that is wrong with it.
    fn checked(self, id: String) -> Result<proto::ResolveJobRequest> {
        use proto::resolve_job_request::Resolution;
        let mut wrong = Vec::new();
        let mut refuse = |pointer: &str, detail: String| wrong.push(FieldError { pointer: pointer.to_owned(), detail });
        match (self.action, self.run) {
            (ResolveAction::Bind, Some(1..)) | (ResolveAction::Retry | ResolveAction::GiveUp, None) => {}
            (ResolveAction::Bind, Some(_)) => refuse("/run", "must be the id of a run, 1 or more".to_owned()),
            (ResolveAction::Bind, None) => refuse("/run", "is missing: `bind` needs the id of the run".to_owned()),
            (ResolveAction::Retry | ResolveAction::GiveUp, Some(_)) => {
                refuse("/run", "goes with `bind` only".to_owned())
            }
        }
        let reason = text::reason(&self.reason).map(str::to_owned).unwrap_or_else(|detail| {
            refuse("/reason", detail);
            String::new()
        });
        if !wrong.is_empty() {
            return Err(Problem::invalid_fields(wrong));
        }
        let resolution = match self.action {
            ResolveAction::Bind => Resolution::Bind(proto::BindRun { run_id: self.run.unwrap_or_default() }),
            ResolveAction::Retry => Resolution::Retry(proto::RetryLaunch {}),
            ResolveAction::GiveUp => Resolution::GiveUp(proto::GiveUp {}),
        };
        Ok(proto::ResolveJobRequest { id, reason, resolution: Some(resolution) })
    }
}

/// Resolve a job that is `unknown`
///
/// What is said here is taken for true and put on record: look at the attempts and at the controller first. Needs
/// `jobs.resolve`.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/resolve", tag = "jobs", params(ById), request_body = ResolveJob,
    responses((status = 202, description = "The decision was accepted.", body = Job)))]
async fn resolve(
    State(app): State<App>,
    by: ById,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<ResolveJob>,
) -> Result<Response> {
    let answer = app.ports.jobs().resolve_job(body.checked(by.id)?).await?.into_inner();
    accepted(present(answer.job, "job")?)
}

#[cfg(test)]
mod tests {
    use super::{Attempt, AttemptState, ResolveJob, proto};
    use crate::extract::body::from_json;
    use crate::problem::Problem;
    use proto::resolve_job_request::Resolution;
    use runwarden_kit::limits::LONGEST_REASON;
    use serde_json::json;

    fn read(body: &serde_json::Value) -> Result<proto::ResolveJobRequest, Problem> {
        from_json::<ResolveJob>(body.to_string().as_bytes()).and_then(|body| body.checked("job_1".into()))
    }

    #[test]
    fn what_became_of_a_launch_is_read() {
        for (body, want) in [
            (json!({"action": "bind", "run": 7}), Resolution::Bind(proto::BindRun { run_id: 7 })),
            (json!({"action": "retry"}), Resolution::Retry(proto::RetryLaunch {})),
            (json!({"action": "give_up", "run": null}), Resolution::GiveUp(proto::GiveUp {})),
        ] {
            let mut body = body;
            body["reason"] = json!("  looked it up\n");
            let request = read(&body).unwrap();
            assert_eq!((request.id.as_str(), request.reason.as_str()), ("job_1", "looked it up"));
            assert_eq!(request.resolution, Some(want));
        }
        let longest = json!({"action": "retry", "reason": "é".repeat(LONGEST_REASON)});
        assert_eq!(read(&longest).unwrap().reason.chars().count(), LONGEST_REASON);
    }

    #[test]
    fn a_run_goes_with_bind_and_a_reason_with_everything() {
        let long = "x".repeat(LONGEST_REASON + 1);
        for (body, want) in [
            (json!({"action": "bind", "reason": "r"}), vec!["/run"]),
            (json!({"action": "bind", "run": 0, "reason": "r"}), vec!["/run"]),
            (json!({"action": "bind", "run": -1, "reason": " \n "}), vec!["/run", "/reason"]),
            (json!({"action": "retry", "run": 7, "reason": ""}), vec!["/run", "/reason"]),
            (json!({"action": "give_up", "run": 7, "reason": "r"}), vec!["/run"]),
            (json!({"action": "retry", "reason": long}), vec!["/reason"]),
            (json!({"action": "retry"}), vec!["/reason"]),
            (json!({"action": "retry", "reason": null}), vec!["/reason"]),
            (json!({"reason": "r"}), vec!["/action"]),
            (json!({"action": "forget", "reason": "r"}), vec!["/action"]),
            (json!({"action": "retry", "reason": "r", "force": true}), vec!["/force"]),
        ] {
            let problem = read(&body).unwrap_err();
            let pointers: Vec<_> = problem.error().fields().iter().map(|field| field.pointer.as_str()).collect();
            assert_eq!((problem.status().as_u16(), pointers), (422, want), "{body}");
        }
    }

    #[test]
    fn an_attempt_shows_what_is_known_and_every_state_has_a_name() {
        let attempt = proto::Attempt {
            number: 2,
            state: proto::AttemptState::Ambiguous.into(),
            detail: "2 runs could be this job's".into(),
            installation: "7a8e2c4f-51d0-4b8e-9a63-0d1f2b3c4d5e".into(),
            controller_address: "https://awx.example".into(),
            controller_template_id: 10,
            account_id: 4,
            sent_at: Some(prost_types::Timestamp { seconds: 1_769_857_200, nanos: 0 }),
            controller_time: None,
            marker: "rw_1".into(),
            marker_placement: "none".into(),
            run_id: 0,
            candidates: vec![7, 8],
        };
        let shown = serde_json::to_value(Attempt::try_from(attempt.clone()).unwrap()).unwrap();
        let want = json!({
            "number": 2, "state": "ambiguous", "detail": "2 runs could be this job's",
            "installation": "7a8e2c4f-51d0-4b8e-9a63-0d1f2b3c4d5e", "controller_address": "https://awx.example",
            "controller_template": 10, "account": 4,
            "sent_at": "2026-01-31T11:00:00.000000Z", "marker": "rw_1", "marker_placement": "none",
            "candidates": [7, 8],
        });
        assert_eq!(shown, want);
        let bound = proto::Attempt { run_id: 7, state: proto::AttemptState::Bound.into(), ..attempt };
        assert_eq!(serde_json::to_value(Attempt::try_from(bound).unwrap()).unwrap()["run"], 7);
        for number in 1.. {
            let Ok(state) = proto::AttemptState::try_from(number) else { break };
            let name = state.as_str_name().trim_start_matches("ATTEMPT_STATE_").to_lowercase();
            assert_eq!(serde_json::to_value(AttemptState::try_from(state).unwrap()).unwrap(), name);
        }
        assert!(Attempt::try_from(proto::Attempt::default()).is_err());
    }
}
