//! Callbacks: ways back out, to which what becomes of jobs is sent.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use runwarden_proto::hook::v1 as proto;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::answer::{Page, created, page};
use super::field::{always, present, some, time};
use crate::app::App;
use crate::declared::Routes;
use crate::extract::body::Body;
use crate::extract::path::{ByName, ByNameAndId};
use crate::extract::query::{NoParams, PageParams, Params};
use crate::problem::Result;

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .admin(routes!(create, list))
        .admin(routes!(read, update, delete))
        .admin(routes!(rotate_key))
        .admin(routes!(retire_key))
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
