//! Callbacks: ways back out, to which what becomes of jobs is sent, and the messages that are sent.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use runwarden_proto::hook::v1 as proto;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::answer::{Page, created, page};
use super::field::{always, kept_json, moment, present, some, time};
use crate::app::App;
use crate::declared::Routes;
use crate::extract::body::{Body, NoBody};
use crate::extract::path::{ByName, ByNameAndId};
use crate::extract::query::{FromQuery, NoParams, PageParams, Params, Query};
use crate::problem::Result;

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .admin(routes!(create, list))
        .admin(routes!(read, update, delete))
        .admin(routes!(rotate_key))
        .admin(routes!(retire_key))
        .admin(routes!(list_messages))
        .admin(routes!(read_message))
        .admin(routes!(replay_message))
        .admin(routes!(replay))
}

runwarden_kit::mirror! {
    /// How messages are signed.
    #[derive(Default, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum KeyKind = proto::KeyKind {
        /// HMAC-SHA-256: the receiver has the same key.
        #[default]
        Symmetric,
        /// Ed25519: the receiver has the public key.
        Ed25519,
    }
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

/// A configured way back out.
#[derive(Debug, Serialize, ToSchema)]
pub struct Callback {
    /// Its name, unique in its tenant.
    #[schema(example = "chat")]
    pub name: String,
    /// Its tenant.
    #[schema(example = "acme")]
    pub tenant: String,
    /// The project of whose jobs it is told.
    #[schema(example = "web")]
    pub project: String,
    /// What it is for.
    pub description: String,
    /// Where messages are sent.
    #[schema(example = "https://receiver.example/runwarden")]
    pub url: String,
    /// What it is told: `job.running`, `job.unknown`, `job.finished`.
    #[schema(example = json!(["job.finished"]))]
    pub events: Vec<String>,
    /// Only of jobs of these templates; empty for all.
    pub templates: Vec<String>,
    /// Only of jobs that deliveries of these hooks asked for; empty for all.
    pub hooks: Vec<String>,
    /// Only of jobs that name it.
    pub on_request: bool,
    /// The keys that sign, oldest first.
    pub keys: Vec<CallbackKey>,
    /// Why nothing is sent: `person`, `gone` (the receiver answered 410) or `failing` (it accepted nothing for five days);
    /// absent if messages are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_why: Option<String>,
    /// Since when nothing is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub disabled_since: Option<String>,
    /// Since when its receiver has accepted nothing: only when it is read by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub failing_since: Option<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it was last changed.
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// Grows with every change.
    pub revision: i64,
}

/// A key that signs, without its value.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallbackKey {
    /// Its id.
    #[schema(example = "key_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    pub id: String,
    /// What receivers verify with (`whpk_…`); absent if the key is symmetric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
}

/// A callback with a key that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallbackWithKey {
    /// The callback.
    #[serde(flatten)]
    pub callback: Callback,
    /// The key (`whsec_…`), if it is symmetric: in this answer and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl From<proto::Callback> for Callback {
    fn from(callback: proto::Callback) -> Self {
        let keys = callback.keys.into_iter().map(|key| CallbackKey {
            id: key.id,
            public_key: some(key.public_key),
            created_at: always(key.created_at),
        });
        Self {
            name: callback.name,
            tenant: callback.tenant,
            project: callback.project,
            description: callback.description,
            url: callback.url,
            events: callback.events,
            templates: callback.templates,
            hooks: callback.hooks,
            on_request: callback.on_request,
            keys: keys.collect(),
            disabled_why: some(callback.disabled_why),
            disabled_since: time(callback.disabled_since),
            failing_since: time(callback.failing_since),
            created_at: always(callback.created_at),
            updated_at: always(callback.updated_at),
            revision: callback.revision,
        }
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

/// A callback to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "chat", "project": "web", "url": "https://receiver.example/runwarden"}))]
pub struct CreateCallback {
    /// Its name: lower-case letters, digits and hyphens.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    name: String,
    /// The project of whose jobs it is told.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    project: String,
    /// What it is for.
    description: Option<String>,
    /// Where to send: https, and an address on the public internet, unless the operator allows more.
    #[schema(max_length = 2000)]
    url: String,
    /// What it is told; `job.finished` if not given.
    events: Option<Vec<String>>,
    /// Only of jobs of these templates; of all if not given.
    templates: Option<Vec<String>>,
    /// Only of jobs that deliveries of these hooks asked for; of all if not given.
    hooks: Option<Vec<String>>,
    /// Only of jobs that name it in their `callbacks`.
    #[serde(default)]
    on_request: bool,
    /// How messages are signed; `symmetric` if not given.
    #[serde(default)]
    #[schema(required = false)]
    key_kind: KeyKind,
}

/// The changes to a callback; fields not given stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateCallback {
    /// Only if the callback is at this revision.
    #[schema(minimum = 1)]
    expected_revision: Option<i64>,
    /// What it is for.
    description: Option<String>,
    /// Where to send.
    #[schema(max_length = 2000)]
    url: Option<String>,
    /// What it is told.
    events: Option<Vec<String>>,
    /// Only of jobs of these templates; empty for all.
    templates: Option<Vec<String>>,
    /// Only of jobs that deliveries of these hooks asked for; empty for all.
    hooks: Option<Vec<String>>,
    /// Only of jobs that name it.
    on_request: Option<bool>,
    /// Whether nothing is sent. `false` also enables a callback that was disabled because of its receiver.
    disabled: Option<bool>,
}

/// The kind of a key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// How the new key signs; `symmetric` if not given.
    #[serde(default)]
    #[schema(required = false)]
    key_kind: KeyKind,
}

/// Make a callback
///
/// A symmetric key is in this answer and cannot be shown again. Needs `callbacks.write` and `jobs.read` at the project.
#[utoipa::path(post, path = "/api/v1/callbacks", tag = "callbacks", request_body = CreateCallback,
    responses((status = 201, description = "It was created.", body = CallbackWithKey)))]
async fn create(
    State(app): State<App>,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<CreateCallback>,
) -> Result<Response> {
    let request = proto::CreateCallbackRequest {
        name: body.name,
        project: body.project,
        description: body.description.unwrap_or_default(),
        url: body.url,
        events: body.events.unwrap_or_default(),
        templates: body.templates.unwrap_or_default(),
        hooks: body.hooks.unwrap_or_default(),
        on_request: body.on_request,
        key_kind: proto::KeyKind::from(body.key_kind).into(),
    };
    let answer = app.ports.callbacks().create_callback(request).await?.into_inner();
    let callback = Callback::from(present(answer.callback, "callback")?);
    let location = format!("/api/v1/callbacks/{}", callback.name);
    Ok(created(&location, CallbackWithKey { callback, key: some(answer.key) }))
}

/// List callbacks
///
/// Those of the projects that the caller may see. Needs `callbacks.read`.
#[utoipa::path(get, path = "/api/v1/callbacks", tag = "callbacks", params(PageParams),
    responses((status = 200, description = "A page, by name.", body = Page<Callback>)))]
async fn list(State(app): State<App>, Params(paging): Params<PageParams>) -> Result<Json<Page<Callback>>> {
    let request = proto::ListCallbacksRequest { page_size: paging.page_size, page_token: paging.page_token };
    let answer = app.ports.callbacks().list_callbacks(request).await?.into_inner();
    Ok(page(answer.callbacks, answer.next_page_token))
}

/// Read a callback
///
/// Needs `callbacks.read`.
#[utoipa::path(get, path = "/api/v1/callbacks/{name}", tag = "callbacks", params(ByName),
    responses((status = 200, description = "The callback.", body = Callback)))]
async fn read(State(app): State<App>, by: ByName, Params(NoParams): Params<NoParams>) -> Result<Json<Callback>> {
    let answer = app.ports.callbacks().get_callback(proto::GetCallbackRequest { name: by.name }).await?.into_inner();
    Ok(Json(present(answer.callback, "callback")?.into()))
}

/// Change a callback
///
/// Needs `callbacks.write` and `jobs.read` at its project.
#[utoipa::path(patch, path = "/api/v1/callbacks/{name}", tag = "callbacks", params(ByName),
    request_body = UpdateCallback,
    responses((status = 200, description = "The callback as it is now.", body = Callback)))]
async fn update(
    State(app): State<App>,
    by: ByName,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<UpdateCallback>,
) -> Result<Json<Callback>> {
    let list = |names: Option<Vec<String>>| names.map(|names| proto::NameList { names });
    let request = proto::UpdateCallbackRequest {
        name: by.name,
        expected_revision: body.expected_revision.unwrap_or_default(),
        description: body.description,
        url: body.url,
        events: list(body.events),
        templates: list(body.templates),
        hooks: list(body.hooks),
        on_request: body.on_request,
        disabled: body.disabled,
    };
    let answer = app.ports.callbacks().update_callback(request).await?.into_inner();
    Ok(Json(present(answer.callback, "callback")?.into()))
}

/// Remove a callback
///
/// Its keys and messages go with it, also those that were not delivered. Needs `callbacks.write`.
#[utoipa::path(delete, path = "/api/v1/callbacks/{name}", tag = "callbacks", params(ByName),
    responses((status = 204, description = "It was deleted.")))]
async fn delete(State(app): State<App>, by: ByName, Params(NoParams): Params<NoParams>) -> Result<StatusCode> {
    app.ports.callbacks().delete_callback(proto::DeleteCallbackRequest { name: by.name }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give a callback a second key
///
/// Messages carry a signature of each key until the older one is retired. A symmetric key is in this answer and cannot be
/// shown again. Needs `callbacks.write`.
#[utoipa::path(post, path = "/api/v1/callbacks/{name}/rotate-key", tag = "callbacks", params(ByName),
    request_body = RotateKey,
    responses((status = 200, description = "The callback with its new key.", body = CallbackWithKey)))]
async fn rotate_key(
    State(app): State<App>,
    by: ByName,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<RotateKey>,
) -> Result<Json<CallbackWithKey>> {
    let key_kind = proto::KeyKind::from(body.key_kind).into();
    let request = proto::RotateCallbackKeyRequest { name: by.name, key_kind };
    let answer = app.ports.callbacks().rotate_callback_key(request).await?.into_inner();
    let callback = present(answer.callback, "callback")?.into();
    Ok(Json(CallbackWithKey { callback, key: some(answer.key) }))
}

/// Retire a key of a callback
///
/// Ends one of two; the last one cannot be retired. Needs `callbacks.write`.
#[utoipa::path(delete, path = "/api/v1/callbacks/{name}/keys/{id}", tag = "callbacks", params(ByNameAndId),
    responses((status = 200, description = "The callback as it is now.", body = Callback)))]
async fn retire_key(
    State(app): State<App>,
    by: ByNameAndId,
    Params(NoParams): Params<NoParams>,
) -> Result<Json<Callback>> {
    let request = proto::RetireCallbackKeyRequest { name: by.name, key_id: by.id };
    let answer = app.ports.callbacks().retire_callback_key(request).await?.into_inner();
    Ok(Json(present(answer.callback, "callback")?.into()))
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
async fn list_messages(
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
    super::answer::checked_page(answer.messages, answer.next_page_token)
}

/// Read a message
///
/// With what it says. Needs `callbacks.read`.
#[utoipa::path(get, path = "/api/v1/callbacks/{name}/messages/{id}", tag = "callbacks", params(ByNameAndId),
    responses((status = 200, description = "The message.", body = CallbackMessage)))]
async fn read_message(
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
async fn replay_message(
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
