//! Hooks: configured ways in for foreign senders.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::ETAG;
use http::{HeaderMap, HeaderValue, StatusCode};
use runwarden_proto::hook::v1 as proto;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::answer::{Page, checked_page, created};
use super::field::{always, kept_object, present, some};
use crate::app::App;
use crate::declared::Routes;
use crate::extract::body::Body;
use crate::extract::headers::{Precondition, etag, precondition};
use crate::extract::path::{ByName, ByNameAndId};
use crate::extract::query::{NoParams, PageParams, Params};
use crate::problem::{Problem, Result};

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .admin(routes!(create, list))
        .admin(routes!(read, update, delete))
        .admin(routes!(rotate_key))
        .admin(routes!(retire_key))
}

/// A configured way in for a foreign sender.
#[derive(Debug, Serialize, ToSchema)]
pub struct Hook {
    /// Its name, unique in its tenant.
    #[schema(example = "deploy-on-push")]
    pub name: String,
    /// The project that it belongs to.
    #[schema(example = "web")]
    pub project: String,
    /// What it is for.
    pub description: String,
    /// Where its sender delivers: the path at the public address.
    #[schema(example = "/webhook/acme/deploy-on-push")]
    pub path: String,
    /// The kind of its sender.
    #[schema(example = "github")]
    pub kind: String,
    /// What the kind wants to know, as its page describes.
    pub settings: Value,
    /// The template that its deliveries run.
    #[schema(example = "deploy")]
    pub template: String,
    /// The OAuth client of the service account that its jobs run as.
    #[schema(example = "client_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    pub client_id: String,
    /// The Rego module that filters and maps its deliveries; absent if all are accepted, with no parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Whether it takes no deliveries.
    pub disabled: bool,
    /// Its keys, oldest first, without their values.
    pub keys: Vec<HookKey>,
    /// What the proof of its sender does not prevent; see the kind's page.
    #[schema(example = json!(["body_unsigned"]))]
    pub weaknesses: Vec<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it was last changed.
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// Grows with every change; also the ETag.
    pub revision: i64,
}

/// A key of a hook, without its value.
#[derive(Debug, Serialize, ToSchema)]
pub struct HookKey {
    /// Its id.
    #[schema(example = "key_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    pub id: String,
    /// When it was added.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Whether it is so short that it can be found by trying; absent if not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub weak: bool,
}

/// A hook with a key that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub struct HookWithKey {
    /// The hook.
    #[serde(flatten)]
    pub hook: Hook,
    /// Its key, if it was made here: in this answer, in repeats of this request with the same `Idempotency-Key` for 24
    /// hours, and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl TryFrom<proto::Hook> for Hook {
    type Error = Problem;

    fn try_from(hook: proto::Hook) -> Result<Self> {
        let key = |key: proto::HookKey| HookKey { id: key.id, created_at: always(key.created_at), weak: key.weak };
        Ok(Self {
            path: format!("/webhook/{}/{}", hook.tenant, hook.name),
            name: hook.name,
            project: hook.project,
            description: hook.description,
            kind: hook.kind,
            settings: kept_object(&hook.settings_json, "the settings of a hook")?,
            template: hook.template,
            client_id: hook.client_id,
            module: some(hook.module),
            disabled: hook.disabled,
            keys: hook.keys.into_iter().map(key).collect(),
            weaknesses: hook.weaknesses,
            created_at: always(hook.created_at),
            updated_at: always(hook.updated_at),
            revision: hook.revision,
        })
    }
}

/// A hook to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateHook {
    /// Its name: lower-case letters, digits and hyphens.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "deploy-on-push")]
    name: String,
    /// The project it is to belong to.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "web")]
    project: String,
    /// The template that its deliveries are to run.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "deploy")]
    template: String,
    /// The kind of its sender.
    #[schema(example = "github")]
    kind: String,
    /// What the kind wants to know, as its page describes.
    #[serde(default)]
    #[schema(value_type = Object)]
    settings: Map<String, Value>,
    /// The OAuth client of the service account that its jobs run as. You must hold all that it holds.
    #[schema(example = "client_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    client_id: String,
    /// The Rego module, of package `runwarden.hook`, with `accept`, `parameters` and `reference`. Without one, all
    /// deliveries are accepted, with no parameters.
    #[serde(default)]
    #[schema(
        example = "package runwarden.hook\n\naccept if input.body.ref == \"refs/heads/main\"\n\nparameters := {\"version\": input.body.after}\n"
    )]
    module: String,
    /// What it is for.
    #[serde(default)]
    description: String,
    /// Its key, if the sender makes it; otherwise one is made and shown in the answer.
    #[schema(write_only)]
    key: Option<String>,
}

/// The changes to a hook; fields not given stay as they are.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateHook {
    /// The template.
    template: Option<String>,
    /// What the kind wants to know, all of it.
    #[schema(value_type = Option<Object>)]
    settings: Option<Map<String, Value>>,
    /// The OAuth client.
    client_id: Option<String>,
    /// The Rego module; an empty one is none.
    module: Option<String>,
    /// What it is for.
    description: Option<String>,
    /// Whether it takes no deliveries.
    disabled: Option<bool>,
}

/// A second key.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateHookKey {
    /// The key, if the sender makes it; otherwise one is made and shown in the answer.
    #[schema(write_only)]
    key: Option<String>,
}

fn tagged(hook: proto::Hook) -> Result<Response> {
    let tag = HeaderValue::from_str(&etag(hook.revision));
    let mut response = Json(Hook::try_from(hook)?).into_response();
    if let Ok(tag) = tag {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

/// Create a hook
///
/// Settings and module are checked. The key is in the answer if it was made here. Needs `hooks.write` at the project,
/// and all that the service account holds.
#[utoipa::path(post, path = "/api/v1/hooks", tag = "hooks", request_body = CreateHook,
    responses((status = 201, description = "It was created.", body = HookWithKey)))]
async fn create(
    State(app): State<App>,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<CreateHook>,
) -> Result<Response> {
    let request = proto::CreateHookRequest {
        name: body.name,
        project: body.project,
        template: body.template,
        kind: body.kind,
        settings_json: Value::Object(body.settings).to_string(),
        client_id: body.client_id,
        module: body.module,
        description: body.description,
        key: body.key.unwrap_or_default(),
    };
    let answer = app.ports.hooks().create_hook(request).await?.into_inner();
    let hook = Hook::try_from(present(answer.hook, "hook")?)?;
    let location = format!("/api/v1/hooks/{}", hook.name);
    Ok(created(&location, HookWithKey { hook, key: some(answer.key) }))
}

/// List hooks
///
/// Those of the projects where you hold `hooks.read`.
#[utoipa::path(get, path = "/api/v1/hooks", tag = "hooks", params(PageParams),
    responses((status = 200, description = "A page, by name.", body = Page<Hook>)))]
async fn list(State(app): State<App>, Params(paging): Params<PageParams>) -> Result<Json<Page<Hook>>> {
    let request = proto::ListHooksRequest { page_size: paging.page_size, page_token: paging.page_token };
    let answer = app.ports.hooks().list_hooks(request).await?.into_inner();
    checked_page(answer.hooks, answer.next_page_token)
}

/// Read a hook
///
/// Needs `hooks.read`.
#[utoipa::path(get, path = "/api/v1/hooks/{name}", tag = "hooks", params(ByName),
    responses((status = 200, description = "The hook.", body = Hook, headers(("ETag" = String, description = "The revision.")))))]
async fn read(State(app): State<App>, by: ByName, Params(NoParams): Params<NoParams>) -> Result<Response> {
    let answer = app.ports.hooks().get_hook(proto::GetHookRequest { name: by.name }).await?.into_inner();
    tagged(present(answer.hook, "hook")?)
}

/// Change a hook
///
/// With `If-Match` it is changed only if it is still at that revision. Needs what creating it needs; `hooks.write` alone
/// is enough to disable it.
#[utoipa::path(patch, path = "/api/v1/hooks/{name}", tag = "hooks", params(ByName,
        ("If-Match" = Option<String>, Header, pattern = r#"^(\*|"[1-9][0-9]{0,17}")$"#, description = "Only if the hook is at this revision: an ETag, or * for any.")),
    request_body = UpdateHook,
    responses((status = 200, description = "The hook as it is now.", body = Hook, headers(("ETag" = String, description = "The revision.")))))]
async fn update(
    State(app): State<App>,
    by: ByName,
    Params(NoParams): Params<NoParams>,
    headers: HeaderMap,
    Body(body): Body<UpdateHook>,
) -> Result<Response> {
    let expected_revision = match precondition(&headers)? {
        // There is nothing to change in a hook that does not exist.
        Precondition::None | Precondition::Exists => 0,
        Precondition::Revision(revision) => revision,
    };
    let request = proto::UpdateHookRequest {
        name: by.name,
        expected_revision,
        template: body.template,
        settings_json: body.settings.map(|settings| Value::Object(settings).to_string()),
        client_id: body.client_id,
        module: body.module,
        description: body.description,
        disabled: body.disabled,
    };
    let answer = app.ports.hooks().update_hook(request).await?.into_inner();
    tagged(present(answer.hook, "hook")?)
}

/// Remove a hook
///
/// With its keys. What it delivered can no longer be looked at, and what still waits is not launched. Needs
/// `hooks.write`.
#[utoipa::path(delete, path = "/api/v1/hooks/{name}", tag = "hooks", params(ByName),
    responses((status = 204, description = "It was deleted.")))]
async fn delete(State(app): State<App>, by: ByName, Params(NoParams): Params<NoParams>) -> Result<StatusCode> {
    app.ports.hooks().delete_hook(proto::DeleteHookRequest { name: by.name }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Add a second key
///
/// Both keys are valid until one is retired. Needs what creating the hook needs.
#[utoipa::path(post, path = "/api/v1/hooks/{name}/rotate-key", tag = "hooks", params(ByName), request_body = RotateHookKey,
    responses((status = 200, description = "The hook with its two keys.", body = HookWithKey)))]
async fn rotate_key(
    State(app): State<App>,
    by: ByName,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<RotateHookKey>,
) -> Result<Json<HookWithKey>> {
    let request = proto::RotateHookKeyRequest { name: by.name, key: body.key.unwrap_or_default() };
    let answer = app.ports.hooks().rotate_hook_key(request).await?.into_inner();
    Ok(Json(HookWithKey { hook: present(answer.hook, "hook")?.try_into()?, key: some(answer.key) }))
}

/// Retire a key
///
/// The other one stays. Needs `hooks.write`.
#[utoipa::path(delete, path = "/api/v1/hooks/{name}/keys/{id}", tag = "hooks", params(ByNameAndId),
    responses((status = 200, description = "The hook as it is now.", body = Hook)))]
async fn retire_key(State(app): State<App>, by: ByNameAndId, Params(NoParams): Params<NoParams>) -> Result<Json<Hook>> {
    let request = proto::RetireHookKeyRequest { name: by.name, key_id: by.id };
    let answer = app.ports.hooks().retire_hook_key(request).await?.into_inner();
    Ok(Json(present(answer.hook, "hook")?.try_into()?))
}
