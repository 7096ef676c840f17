//! What was delivered to hooks, and what became of it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use runwarden_proto::hook::v1 as proto;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::answer::{Page, checked_page, located};
use super::field::{always, kept_json, present, some, time};
use crate::app::App;
use crate::declared::Routes;
use crate::extract::body::{Body, NoBody};
use crate::extract::path::{ByName, ByNameAndId};
use crate::extract::query::{FromQuery, NoParams, Params, Query};
use crate::problem::{Problem, Result};

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new().admin(routes!(list)).admin(routes!(read)).admin(routes!(redeliver)).admin(routes!(test))
}

runwarden_kit::mirror! {
    /// Where a delivery stands.
    #[derive(Serialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum DeliveryState = proto::DeliveryState {
        /// It is durable and waits to be worked on.
        Received,
        /// The filter did not want it.
        Filtered,
        /// What it asks for is durable; a job may have been made of it.
        Mapped,
        /// It became a job.
        Submitted,
        /// It was refused for good.
        Refused,
        /// It was tried for too long.
        GivenUp,
    }
}

/// Something that was done with a delivery.
#[derive(Debug, Serialize, ToSchema)]
pub struct Step {
    /// What: `received`, `verified`, `deduplicated`, `filtered`, `mapped`, `validated`, `decided`, `submitted`,
    /// `launched`, `finished`, and `called_back` for each message of a callback.
    #[schema(example = "filtered")]
    pub name: String,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// How it went: `ok`, `no`, `failed`, or `later` if it is tried again.
    #[schema(example = "ok")]
    pub result: String,
    /// More about it.
    pub detail: String,
}

/// One event that a sender delivered.
#[derive(Debug, Serialize, ToSchema)]
pub struct Delivery {
    /// Its id.
    #[schema(example = "dlv_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    pub id: String,
    /// The hook.
    #[schema(example = "deploy-on-push")]
    pub hook: String,
    /// The hook's project.
    #[schema(example = "web")]
    pub project: String,
    /// The sender's own id of it; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender_id: Option<String>,
    /// What happened, in the sender's words.
    #[schema(example = "push")]
    pub event: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Why it was refused or given up, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "POLICY_DENIED")]
    pub reason: Option<String>,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_detail: Option<String>,
    /// The job that it became.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "job_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    pub job: Option<String>,
    /// What the sender calls it, as the mapping says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// When it arrived.
    #[schema(format = DateTime)]
    pub received_at: String,
    /// When it was done with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub finished_at: Option<String>,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub next_try_at: Option<String>,
    /// How often the sender sent it again.
    pub repeats: i64,
    /// The delivery that it repeats on request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redelivery_of: Option<String>,
    /// The address it came from.
    pub source_address: String,
    /// The request it came with.
    pub request_id: String,
    /// What was done with it, step by step; absent in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// What filter and mapping see as `input`; only for holders of `deliveries.read`, and absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub input: Option<Value>,
    /// The parameters that the mapping made, until the delivery is done with; as `input`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<Value>,
}

impl From<proto::Step> for Step {
    fn from(step: proto::Step) -> Self {
        Self { name: step.name, at: always(step.at), result: step.result, detail: step.detail }
    }
}

/// JSON that is absent when it is not told.
fn told(text: &str, what: &str) -> Result<Option<Value>> {
    if text.is_empty() { Ok(None) } else { kept_json(text, what).map(Some) }
}

impl TryFrom<proto::Delivery> for Delivery {
    type Error = Problem;

    fn try_from(delivery: proto::Delivery) -> Result<Self> {
        Ok(Self {
            state: present(delivery.state().try_into().ok(), "state of a delivery")?,
            input: told(&delivery.document_json, "what was delivered")?,
            parameters: told(&delivery.parameters_json, "the parameters of a delivery")?,
            id: delivery.id,
            hook: delivery.hook,
            project: delivery.project,
            sender_id: some(delivery.sender_id),
            event: delivery.event,
            reason: some(delivery.reason),
            reason_detail: some(delivery.reason_detail),
            job: some(delivery.job),
            reference: some(delivery.reference),
            received_at: always(delivery.received_at),
            finished_at: time(delivery.finished_at),
            next_try_at: time(delivery.next_try_at),
            repeats: delivery.repeats,
            redelivery_of: some(delivery.redelivery_of),
            source_address: delivery.source_address,
            request_id: delivery.request_id,
            steps: delivery.steps.into_iter().map(Into::into).collect(),
        })
    }
}

/// What to try: a stored delivery, or an event that is made up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestHook {
    /// A stored delivery.
    #[schema(example = "dlv_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    delivery: Option<String>,
    /// Without a delivery: what happened, in the sender's words.
    #[schema(example = "push")]
    event: Option<String>,
    /// Without a delivery: the headers, with names in lower case.
    #[schema(value_type = Option<Object>)]
    headers: Option<Map<String, Value>>,
    /// Without a delivery: the body.
    #[schema(value_type = Option<Object>)]
    body: Option<Value>,
    /// A module to try instead of the hook's.
    module: Option<String>,
}

/// What a hook would do.
#[derive(Debug, Serialize, ToSchema)]
pub struct TestedHook {
    /// Whether a job would be accepted.
    pub would_run: bool,
    /// The steps, as far as they would be taken.
    pub steps: Vec<Step>,
    /// What filter and mapping saw as `input`.
    #[schema(value_type = Object)]
    pub input: Value,
    /// The parameters that the mapping made.
    #[schema(value_type = Object)]
    pub parameters: Value,
    /// What the sender calls it, as the mapping says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// What is wrong with which parameter, by JSON pointer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub problems: BTreeMap<String, String>,
}

/// Which deliveries.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListDeliveries {
    /// Only deliveries in one of these states; give it several times or with commas between.
    #[param(required = false, value_type = Vec<DeliveryState>, style = Form, explode)]
    state: Vec<DeliveryState>,
    /// How many items a page has at most; 50 if not given.
    #[param(required = false, minimum = 1, maximum = 200)]
    page_size: i32,
    /// `next_page_token` of the page before; not given for the first.
    #[param(required = false, max_length = 2048, pattern = "^[A-Za-z0-9_-]*$")]
    page_token: String,
}

impl FromQuery for ListDeliveries {
    fn from_query(query: &mut Query) -> Self {
        let state = query.choices("state", DeliveryState::ALL, DeliveryState::name);
        let (page_size, page_token) = query.page();
        Self { state, page_size, page_token }
    }
}

/// List deliveries
///
/// Those of a hook, newest first, without what they contain. Needs `hooks.read`.
#[utoipa::path(get, path = "/api/v1/hooks/{name}/deliveries", tag = "hooks", params(ByName, ListDeliveries),
    responses((status = 200, description = "A page, newest first.", body = Page<Delivery>)))]
async fn list(
    State(app): State<App>,
    by: ByName,
    Params(filter): Params<ListDeliveries>,
) -> Result<Json<Page<Delivery>>> {
    let request = proto::ListDeliveriesRequest {
        hook: by.name,
        states: filter.state.into_iter().map(|state| proto::DeliveryState::from(state).into()).collect(),
        page_size: filter.page_size,
        page_token: filter.page_token,
    };
    let answer = app.ports.deliveries().list_deliveries(request).await?.into_inner();
    let deliveries = answer.deliveries.into_iter().map(|d| proto::Delivery { steps: Vec::new(), ..d }).collect();
    checked_page(deliveries, answer.next_page_token)
}

/// Read a delivery
///
/// Step by step, to what became of its job if you hold `jobs.read`; with what it contains if you hold `deliveries.read`.
/// What proves who sent it is never shown. Needs `hooks.read`.
#[utoipa::path(get, path = "/api/v1/hooks/{name}/deliveries/{id}", tag = "hooks", params(ByNameAndId),
    responses((status = 200, description = "The delivery.", body = Delivery)))]
async fn read(State(app): State<App>, by: ByNameAndId, Params(NoParams): Params<NoParams>) -> Result<Json<Delivery>> {
    let request = proto::GetDeliveryRequest { hook: by.name, id: by.id };
    let answer = app.ports.deliveries().get_delivery(request).await?.into_inner();
    Ok(Json(present(answer.delivery, "delivery")?.try_into()?))
}

/// Deliver again
///
/// Makes a new delivery of what this one contains; it may become a job. Needs `hooks.write` and `jobs.submit`.
#[utoipa::path(post, path = "/api/v1/hooks/{name}/deliveries/{id}/redeliver", tag = "hooks", params(ByNameAndId),
    responses((status = 202, description = "The new delivery.", body = Delivery)))]
async fn redeliver(
    State(app): State<App>,
    by: ByNameAndId,
    Params(NoParams): Params<NoParams>,
    NoBody: NoBody,
) -> Result<Response> {
    let request = proto::RedeliverRequest { hook: by.name, id: by.id };
    let answer = app.ports.deliveries().redeliver(request).await?.into_inner();
    let delivery = Delivery::try_from(present(answer.delivery, "delivery")?)?;
    let location = format!("/api/v1/hooks/{}/deliveries/{}", delivery.hook, delivery.id);
    Ok(located(StatusCode::ACCEPTED, &location, delivery))
}

/// Try a hook out
///
/// Says what the hook would do with an event: what filter and mapping make of it, and whether the template's schema and
/// the policies would let it through. Nothing is kept or launched. Needs `deliveries.read`.
#[utoipa::path(post, path = "/api/v1/hooks/{name}/test", tag = "hooks", params(ByName), request_body = TestHook,
    responses((status = 200, description = "What it would do.", body = TestedHook)))]
async fn test(
    State(app): State<App>,
    by: ByName,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<TestHook>,
) -> Result<Json<TestedHook>> {
    let is_made_up = body.event.is_some() || body.headers.is_some() || body.body.is_some();
    if body.delivery.is_some() == is_made_up {
        return Err(Problem::invalid("/delivery", "name a stored delivery, or give an event with its body"));
    }
    let request = proto::TestHookRequest {
        hook: by.name,
        delivery: body.delivery.unwrap_or_default(),
        event: body.event.unwrap_or_default(),
        headers_json: body.headers.map(|headers| Value::Object(headers).to_string()).unwrap_or_default(),
        body_json: body.body.map(|body| body.to_string()).unwrap_or_default(),
        module: body.module,
    };
    let answer = app.ports.deliveries().test_hook(request).await?.into_inner();
    Ok(Json(TestedHook {
        would_run: answer.would_run,
        steps: answer.steps.into_iter().map(Into::into).collect(),
        input: kept_json(&answer.document_json, "what was tried")?,
        parameters: kept_json(&answer.parameters_json, "the parameters of a test")?,
        reference: some(answer.reference),
        problems: answer.problems.into_iter().collect(),
    }))
}
