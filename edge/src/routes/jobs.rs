//! Jobs: requests to run a template.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use prost_types::Timestamp;
use runwarden_proto::executor::v1 as proto;
use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::answer::{Page, checked_page, located};
use super::field::{always, kept_json, kept_object, present, some, time};
use super::job_priority::Priority;
use crate::app::App;
use crate::declared::Routes;
use crate::extract::body::NoBody;
use crate::extract::path::ById;
use crate::extract::query::{FromQuery, NoParams, Params, Query};
use crate::problem::{Problem, Result};
use crate::route_table::{Lasts, On};

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new().both(routes!(list)).lasting(On::Both, Lasts::Wait, routes!(read)).both(routes!(cancel))
}

runwarden_kit::mirror! {
    /// Where a job stands. It never goes back.
    #[derive(Serialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum JobState = proto::JobState {
        /// Accepted and durable; not launched yet.
        New,
        /// Waiting for a person to approve it.
        AwaitingApproval,
        /// Being launched.
        Launching,
        /// Bound to a run on the controller.
        Running,
        /// The run succeeded.
        Succeeded,
        /// The playbook said no, or the controller lost the run (reason `lost`).
        Failed,
        /// Stopped on request.
        Canceled,
        /// It could not be run.
        Error,
        /// The launch is ambiguous: nothing shows whether it happened. An operator must decide.
        Unknown,
    }
}

impl JobState {
    /// As a service sends it; a state that this edge does not know is one that it can say nothing about.
    pub(super) fn of(state: proto::JobState) -> Self {
        Self::try_from(state).unwrap_or(Self::Unknown)
    }

    /// Whether it will not change any more.
    #[must_use]
    pub fn is_over(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Canceled | Self::Error => true,
            Self::New | Self::AwaitingApproval | Self::Launching | Self::Running | Self::Unknown => false,
        }
    }
}

/// One request to run a template.
#[derive(Debug, Serialize, ToSchema)]
pub struct Job {
    /// Its id.
    #[schema(example = "job_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    pub id: String,
    /// The template it runs.
    #[schema(example = "deploy-web")]
    pub template: String,
    /// Its project.
    #[schema(example = "web")]
    pub project: String,
    /// Where it stands.
    pub state: JobState,
    /// Why, as a stable code; absent while nothing went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "playbook_failed")]
    pub reason: Option<String>,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_detail: Option<String>,
    /// The parameters as sent; write-only ones are `{"set": true}`.
    #[schema(value_type = Object)]
    pub parameters: Value,
    /// Who asked: the principal.
    #[schema(example = "sa_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    pub requested_by: String,
    /// Who asked, for people.
    #[schema(example = "ci-pipeline")]
    pub requested_by_name: String,
    /// When it was accepted.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When the controller answered the launch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub launched_at: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub finished_at: Option<String>,
    /// How the run ended; absent until it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RunOutcome>)]
    pub outcome: Option<Value>,
    /// The trace of the request that submitted it: finds its whole way in Jaeger, in the logs and in the audit log.
    pub trace_id: String,
    /// The request that submitted it.
    pub request_id: String,
    /// What the controller says of the run while it waits or runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// Whether its cancellation was requested.
    pub cancel_requested: bool,
    /// Which of its tenant's waiting jobs goes first.
    pub priority: Priority,
    /// The earliest time to start it; absent for at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub start_at: Option<String>,
    /// It ends as `error` with reason `expired` if it has not started by then; absent for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub start_by: Option<String>,
    /// How many seconds the run may take before it is cancelled; absent for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_duration_seconds: Option<i64>,
    /// Its position in the queue: only when it is read by its id, and while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueuePlace>,
    /// Whether the run printed more than is kept; the output says where it was cut.
    pub output_truncated: bool,
    /// Whether the run may have printed more than could be read; the output says where something is missing.
    pub output_incomplete: bool,
    /// What the caller calls it; absent if it said nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "CHG0031415")]
    pub reference: Option<String>,
    /// The hook that its delivery came through; absent if none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    /// The delivery that asked for it; absent if none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
    /// The callbacks that it names; absent if none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub callbacks: Vec<String>,
}

/// How a run ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunOutcome {
    /// The controller's name for it.
    #[schema(example = "successful")]
    pub status: String,
    /// When it began to run.
    #[schema(format = DateTime)]
    pub started_at: Option<String>,
    /// When it ended.
    #[schema(format = DateTime)]
    pub finished_at: Option<String>,
    /// How many seconds it ran.
    pub elapsed_seconds: f64,
    /// Why it ended so, in the controller's words; often empty.
    pub explanation: String,
    /// What else is to be known about it: `events incomplete: …` if some of what it printed could not be read in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What became of a workflow's steps, those of workflows inside it included; absent for a job. At most 200, the ones
    /// that failed before all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<WorkflowStep>>,
    /// Whether there are more steps than these; absent if not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps_left_out: Option<bool>,
}

/// What became of a step of a workflow.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkflowStep {
    /// Its name on the controller.
    #[schema(example = "Release manager says yes")]
    pub name: String,
    /// What it ran: `job`, `workflow_job`, `workflow_approval`, `project_update` and others; empty if nothing was run.
    #[schema(example = "workflow_approval")]
    pub r#type: String,
    /// The controller's status; `skipped` where the workflow took another path, `not_started` before its turn.
    #[schema(example = "failed")]
    pub status: String,
    /// The id of its run on the controller; null if it has none.
    pub run: Option<i64>,
    /// Whether it failed and the workflow had a path for that.
    pub handled: bool,
    /// Why it failed where its status does not say: `denied`, `timed_out` or `lost`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "denied")]
    pub reason: Option<String>,
    /// The step it is inside of, where that runs a workflow of its own: the names from the outermost on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
}

/// Where a waiting job stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueuePlace {
    /// 1 for the next: how many jobs of the same template go first, plus one. At most 10,000.
    #[schema(minimum = 1, example = 3)]
    pub position: i32,
    /// When it will begin if things go on as they went lately; absent when nothing can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub expected_start_at: Option<String>,
}

impl From<proto::QueuePlace> for QueuePlace {
    fn from(place: proto::QueuePlace) -> Self {
        Self { position: place.position, expected_start_at: time(place.expected_start_at) }
    }
}

impl TryFrom<proto::Job> for Job {
    type Error = Problem;

    fn try_from(job: proto::Job) -> Result<Self> {
        let (state, priority) = (JobState::of(job.state()), Priority::of(job.priority()));
        let origin = job.origin.unwrap_or_default();
        let outcome = some(job.outcome_json).map(|outcome| kept_json(&outcome, "a job's outcome")).transpose()?;
        Ok(Self {
            id: job.id,
            template: job.template,
            project: job.project,
            state,
            reason: some(job.reason),
            reason_detail: some(job.reason_detail),
            parameters: kept_object(&job.parameters_json, "a job's parameters")?,
            requested_by: job.requested_by,
            requested_by_name: job.requested_by_name,
            created_at: always(job.created_at),
            launched_at: time(job.launched_at),
            finished_at: time(job.finished_at),
            outcome,
            trace_id: job.trace_id,
            request_id: job.request_id,
            progress: some(job.progress),
            cancel_requested: job.cancel_requested,
            priority,
            start_at: time(job.start_at),
            start_by: time(job.start_by),
            max_duration_seconds: Some(job.max_duration_seconds).filter(|seconds| *seconds != 0),
            queue: job.queue.map(Into::into),
            output_truncated: job.output_truncated,
            output_incomplete: job.output_incomplete,
            reference: some(origin.reference),
            hook: some(origin.hook),
            delivery: some(origin.delivery),
            callbacks: origin.callbacks,
        })
    }
}

/// How long to wait.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wait {
    /// Seconds to wait for the job's end; it is answered at once when the job ends, else as it stands then.
    #[param(required = false, minimum = 0, maximum = 60)]
    wait: i32,
}

impl FromQuery for Wait {
    fn from_query(query: &mut Query) -> Self {
        Self { wait: i32::try_from(query.number("wait", 0, 60, 0)).unwrap_or_default() }
    }
}

/// Which jobs.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListJobs {
    /// Only jobs in one of these states; give it several times or with commas between.
    #[param(required = false, value_type = Vec<JobState>, style = Form, explode)]
    state: Vec<JobState>,
    /// Only jobs of this template.
    #[param(required = false, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    template: String,
    /// Only jobs of this project.
    #[param(required = false, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    project: String,
    /// Only jobs accepted after this.
    #[param(required = false, value_type = String, format = DateTime)]
    created_after: Option<Timestamp>,
    /// How many items a page has at most; 50 if not given.
    #[param(required = false, minimum = 1, maximum = 200)]
    page_size: i32,
    /// `next_page_token` of the page before; not given for the first.
    #[param(required = false, max_length = 2048, pattern = "^[A-Za-z0-9_-]*$")]
    page_token: String,
}

impl FromQuery for ListJobs {
    fn from_query(query: &mut Query) -> Self {
        let state = query.choices("state", JobState::ALL, JobState::name);
        let (template, project) = (query.slug("template"), query.slug("project"));
        let created_after = query.time("created_after");
        let (page_size, page_token) = query.page();
        Self { state, template, project, created_after, page_size, page_token }
    }
}

/// 202 with a job and the way to it.
pub(super) fn accepted(job: proto::Job) -> Result<Response> {
    let job = Job::try_from(job)?;
    Ok(located(StatusCode::ACCEPTED, &format!("/api/v1/jobs/{}", job.id), job))
}

/// List jobs
///
/// Those of the projects that the caller may see. Needs `jobs.read`.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", params(ListJobs),
    responses((status = 200, description = "A page, newest first.", body = Page<Job>)))]
async fn list(State(app): State<App>, Params(filter): Params<ListJobs>) -> Result<Json<Page<Job>>> {
    let request = proto::ListJobsRequest {
        states: filter.state.into_iter().map(|state| proto::JobState::from(state).into()).collect(),
        template: filter.template,
        project: filter.project,
        created_after: filter.created_after,
        page_size: filter.page_size,
        page_token: filter.page_token,
    };
    let answer = app.ports.jobs().list_jobs(request).await?.into_inner();
    checked_page(answer.jobs, answer.next_page_token)
}

/// Read a job
///
/// Needs `jobs.read`.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs", params(ById, Wait),
    responses((status = 200, description = "The job's current state.", body = Job)))]
async fn read(State(app): State<App>, by: ById, Params(wait): Params<Wait>) -> Result<Json<Job>> {
    Job::try_from(get(&app, &by.id, wait.wait).await?).map(Json)
}

/// Reads a job from the executor.
pub(super) async fn get(app: &App, id: &str, wait_seconds: i32) -> Result<proto::Job> {
    let request = proto::GetJobRequest { id: id.to_owned(), wait_seconds };
    // The executor waits; if the edge shuts down in the meantime, the caller gets the job's current state instead of a
    // dropped connection.
    let mut jobs = if wait_seconds > 0 { app.ports.followed_jobs() } else { app.ports.jobs() };
    let answer = tokio::select! {
        answer = jobs.get_job(request) => answer?,
        () = app.shutdown.begun(), if wait_seconds > 0 => {
            let now = proto::GetJobRequest { id: id.to_owned(), wait_seconds: 0 };
            app.ports.jobs().get_job(now).await?
        }
    };
    present(answer.into_inner().job, "job")
}

/// Cancel a job
///
/// It may still end otherwise if it was about to. Needs `jobs.cancel`.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs", params(ById),
    responses((status = 202, description = "The job was asked to stop.", body = Job)))]
async fn cancel(
    State(app): State<App>,
    by: ById,
    Params(NoParams): Params<NoParams>,
    NoBody: NoBody,
) -> Result<Response> {
    let answer = app.ports.jobs().cancel_job(proto::CancelJobRequest { id: by.id }).await?.into_inner();
    accepted(present(answer.job, "job")?)
}

#[cfg(test)]
mod tests {
    use super::{Job, JobState, ListJobs, proto};
    use crate::extract::query::read;
    use serde_json::json;

    #[test]
    fn every_state_has_the_name_callers_filter_by() {
        for state in JobState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), json!(state.name()));
            assert_eq!(JobState::of((*state).into()), *state);
        }
        assert_eq!(JobState::ALL.len(), 9);
        assert_eq!(JobState::of(proto::JobState::Unspecified), JobState::Unknown);
    }

    #[test]
    fn a_job_shows_what_is_there_and_nothing_empty() {
        let job = proto::Job {
            id: "job_1".into(),
            state: proto::JobState::Failed.into(),
            reason: "playbook_failed".into(),
            parameters_json: r#"{"environment":"dev","password":{"set":true}}"#.into(),
            outcome_json: r#"{"status":"failed"}"#.into(),
            created_at: Some(prost_types::Timestamp { seconds: 1_769_857_200, nanos: 0 }),
            ..proto::Job::default()
        };
        let shown = serde_json::to_value(Job::try_from(job).unwrap()).unwrap();
        assert_eq!(shown["state"], "failed");
        assert_eq!(shown["parameters"]["password"], json!({"set": true}));
        assert_eq!(shown["outcome"]["status"], "failed");
        assert!(shown["created_at"].as_str().unwrap().ends_with('Z'));
        assert_eq!(shown["priority"], "normal");
        for absent in ["launched_at", "finished_at", "reason_detail", "progress"].into_iter().chain([
            "start_at",
            "start_by",
            "max_duration_seconds",
            "queue",
        ]) {
            assert!(shown.get(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn a_job_that_waits_shows_when_it_may_begin_and_where_it_stands() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let mut job = proto::Job {
            priority: proto::JobPriority::High.into(),
            start_at: at(1_769_857_200),
            start_by: at(1_769_857_260),
            max_duration_seconds: 600,
            queue: Some(proto::QueuePlace { position: 3, expected_start_at: at(1_769_857_230) }),
            ..proto::Job::default()
        };
        let shown = serde_json::to_value(Job::try_from(job.clone()).unwrap()).unwrap();
        assert_eq!((&shown["priority"], &shown["max_duration_seconds"]), (&json!("high"), &json!(600)));
        assert_eq!(shown["start_at"], "2026-01-31T11:00:00.000000Z");
        assert_eq!(shown["start_by"], "2026-01-31T11:01:00.000000Z");
        assert_eq!(shown["queue"], json!({"position": 3, "expected_start_at": "2026-01-31T11:00:30.000000Z"}));
        job.queue = Some(proto::QueuePlace { position: 10_000, expected_start_at: None });
        let shown = serde_json::to_value(Job::try_from(job).unwrap()).unwrap();
        assert_eq!(shown["queue"], json!({"position": 10_000}));
    }

    #[test]
    fn states_are_filtered_by_name() {
        let filter: ListJobs = read("state=running&state=failed,error").unwrap();
        assert_eq!(filter.state, [JobState::Running, JobState::Failed, JobState::Error]);
        assert!(read::<ListJobs>("state=RUNNING").is_err());
    }
}
