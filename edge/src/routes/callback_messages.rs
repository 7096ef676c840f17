//! What is sent to callbacks: looked at, and sent again.

use axum::Json;
use axum::extract::State;
use runwarden_proto::hook::v1 as proto;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::answer::{Page, checked_page};
use super::field::{always, kept_json, moment, present, some, time};
use crate::app::App;
use crate::declared::Routes;
use crate::extract::body::{Body, NoBody};
use crate::extract::path::{ByName, ByNameAndId};
use crate::extract::query::{FromQuery, NoParams, Params, Query};
use crate::problem::Result;

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new().admin(routes!(list)).admin(routes!(read)).admin(routes!(replay_one)).admin(routes!(replay))
}

runwarden_kit::mirror! {
    /// Where a message stands.
    #[derive(Serialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum MessageState = proto::MessageState {
        /// It is to be sent.
        Waiting,
        /// The receiver has it.
        Delivered,
        /// It is not sent any more, unless somebody asks for it.
        Dead,
    }
}

/// A message to a callback.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallbackMessage {
    /// Its id: the `webhook-id` of every attempt and every replay.
    #[schema(example = "msg_3f0a1c9e5b7d2468ace013579bdf2468")]
    pub id: String,
    /// The callback.
    pub callback: String,
    /// The job that it tells of.
    #[schema(example = "job_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    pub job: String,
    /// What happened.
    #[schema(example = "job.finished")]
    pub event: String,
    /// Where it stands.
    pub state: MessageState,
    /// How often it was sent since it was made or replayed.
    pub attempts: i32,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it is sent next; absent if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub due_at: Option<String>,
    /// When it was sent last; absent before it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub tried_at: Option<String>,
    /// What the receiver answered then; absent if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    /// Why that was no success, or why it is not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What it says: only when it is read by its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub body: Option<Value>,
}

impl TryFrom<proto::Message> for CallbackMessage {
    type Error = crate::problem::Problem;

    fn try_from(message: proto::Message) -> Result<Self> {
        let state = present(message.state().try_into().ok(), "state of a message")?;
        let body = some(message.body_json).map(|body| kept_json(&body, "what a message says")).transpose()?;
        Ok(Self {
            id: message.id,
            callback: message.callback,
            job: message.job,
            event: message.event,
            state,
            attempts: message.attempts,
            created_at: always(message.created_at),
            due_at: time(message.due_at),
            tried_at: time(message.tried_at),
            status: Some(message.status).filter(|status| *status != 0),
            problem: some(message.problem),
            body,
        })
    }
}

/// Which messages.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListMessages {
    /// Only those that stand here.
    #[param(required = false, value_type = MessageState)]
    state: Option<MessageState>,
    /// How many items a page has at most; 50 if not given.
    #[param(required = false, minimum = 1, maximum = 200)]
    page_size: i32,
    /// `next_page_token` of the page before; not given for the first.
    #[param(required = false, max_length = 2048, pattern = "^[A-Za-z0-9_-]*$")]
    page_token: String,
}

impl FromQuery for ListMessages {
    fn from_query(query: &mut Query) -> Self {
        let state = query.choices("state", MessageState::ALL, MessageState::name).pop();
        let (page_size, page_token) = query.page();
        Self { state, page_size, page_token }
    }
}

/// List a callback's messages
///
/// What was delivered is kept for 7 days, what was not for 30. Needs `callbacks.read`.
#[utoipa::path(get, path = "/api/v1/callbacks/{name}/messages", tag = "callbacks", params(ByName, ListMessages),
    responses((status = 200, description = "A page, newest first.", body = Page<CallbackMessage>)))]
async fn list(
    State(app): State<App>,
    by: ByName,
    Params(filter): Params<ListMessages>,
) -> Result<Json<Page<CallbackMessage>>> {
    let request = proto::ListMessagesRequest {
        callback: by.name,
        state: filter.state.map(proto::MessageState::from).unwrap_or_default().into(),
        page_size: filter.page_size,
        page_token: filter.page_token,
    };
    let answer = app.ports.callbacks().list_messages(request).await?.into_inner();
    checked_page(answer.messages, answer.next_page_token)
}

/// Read a message
///
/// With what it says. Needs `callbacks.read`.
#[utoipa::path(get, path = "/api/v1/callbacks/{name}/messages/{id}", tag = "callbacks", params(ByNameAndId),
    responses((status = 200, description = "The message.", body = CallbackMessage)))]
async fn read(
    State(app): State<App>,
    by: ByNameAndId,
    Params(NoParams): Params<NoParams>,
) -> Result<Json<CallbackMessage>> {
    let request = proto::GetMessageRequest { callback: by.name, id: by.id };
    let answer = app.ports.callbacks().get_message(request).await?.into_inner();
    present(answer.message, "message")?.try_into().map(Json)
}

/// How many messages are sent again.
#[derive(Debug, Serialize, ToSchema)]
pub struct Replayed {
    /// How many.
    pub replayed: i64,
}

/// Send a message again
///
/// Under the id it had, whether it was delivered or not. Needs `callbacks.write`.
#[utoipa::path(post, path = "/api/v1/callbacks/{name}/messages/{id}/replay", tag = "callbacks", params(ByNameAndId),
    responses((status = 200, description = "It is being sent.", body = Replayed)))]
async fn replay_one(
    State(app): State<App>,
    by: ByNameAndId,
    Params(NoParams): Params<NoParams>,
    NoBody: NoBody,
) -> Result<Json<Replayed>> {
    let request = proto::ReplayMessagesRequest { callback: by.name, id: by.id, from: None, until: None };
    let answer = app.ports.callbacks().replay_messages(request).await?.into_inner();
    Ok(Json(Replayed { replayed: answer.replayed }))
}

/// A period.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Messages that were made from then on.
    #[schema(format = DateTime)]
    from: String,
    /// And before then.
    #[schema(format = DateTime)]
    until: String,
}

/// Send again what was not delivered
///
/// All dead messages that were made in a period, each under the id it had. Needs `callbacks.write`.
#[utoipa::path(post, path = "/api/v1/callbacks/{name}/replay", tag = "callbacks", params(ByName), request_body = Replay,
    responses((status = 200, description = "They are being sent.", body = Replayed)))]
async fn replay(
    State(app): State<App>,
    by: ByName,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<Replay>,
) -> Result<Json<Replayed>> {
    let (from, until) = (moment("/from", &body.from)?, moment("/until", &body.until)?);
    let request =
        proto::ReplayMessagesRequest { callback: by.name, id: String::new(), from: Some(from), until: Some(until) };
    let answer = app.ports.callbacks().replay_messages(request).await?.into_inner();
    Ok(Json(Replayed { replayed: answer.replayed }))
}
