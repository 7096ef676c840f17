//! Policies: Rego modules of a tenant.

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use runwarden_kit::ErrorReason;
use runwarden_proto::policy::v1 as proto;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::answer::Page;
use super::field::{always, present, some};
use super::paging;
use crate::app::App;
use crate::declared::Routes;
use crate::extract::body::{bytes, from_json, without_mark};
use crate::extract::headers::{Precondition, etag, precondition};
use crate::extract::path::ByName;
use crate::extract::query::{NoParams, PageParams, Params};
use crate::problem::{Problem, Result};

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new().admin(routes!(list)).admin(routes!(put, read, delete))
}

/// One Rego module.
#[derive(Debug, Serialize, ToSchema)]
pub struct Policy {
    /// Its name, unique in its tenant.
    #[schema(example = "only-dev")]
    pub name: String,
    /// The Rego v1 source; absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rego: Option<String>,
    /// SHA-256 of the source, hex.
    pub digest: String,
    /// Counts the changes of this policy; also the ETag.
    pub revision: i64,
    /// When it was last changed.
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// The principal that changed it last.
    pub updated_by: String,
    /// When it was stored just now: what its author should look at, each with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["line 5, column 1: nothing uses `authz.alow`"]))]
    pub warnings: Vec<String>,
}

impl From<proto::Module> for Policy {
    fn from(module: proto::Module) -> Self {
        Self {
            name: module.name,
            rego: some(module.rego),
            digest: module.digest,
            revision: module.revision,
            updated_at: always(module.updated_at),
            updated_by: module.updated_by,
            warnings: Vec::new(),
        }
    }
}

/// A module to store. The source may also be sent alone, as `text/plain`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutPolicy {
    /// The Rego v1 source, at most 256 KiB. Its package is `runwarden.authz`, or begins with `runwarden.lib.`.
    #[schema(
        example = "package runwarden.authz\n\ndeny contains \"only dev\" if input.parameters.environment != \"dev\"\n"
    )]
    rego: String,
}

/// The source, from whichever of the two media types it came in.
struct Source(String);

impl<S: Sync> FromRequest<S> for Source {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let (kind, body) = bytes(request, &["text/plain", "application/json"]).await?;
        if kind == "application/json" {
            return from_json::<PutPolicy>(&body).map(|body| Self(body.rego));
        }
        let text = String::from_utf8(without_mark(&body).to_vec())
            .map_err(|_| Problem::new(ErrorReason::MalformedRequest, "The body is not UTF-8."))?;
        if text.contains('\0') {
            return Err(Problem::invalid("", "The body must not contain a NUL character."));
        }
        Ok(Self(text))
    }
}

fn tagged(mut response: Response, revision: i64) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&etag(revision)) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// Store a policy
///
/// Compiles it first; one that does not compile, or would make what another one refuses void, is refused with line and
/// column. With `If-Match` it is stored only if it is still at that revision. Needs `policies.write`.
#[utoipa::path(put, path = "/api/v1/policies/{name}", tag = "policies", params(ByName,
        ("If-Match" = Option<String>, Header, pattern = r#"^(\*|"[1-9][0-9]{0,17}")$"#, description = "Only if the policy is at this revision: an ETag, or * for any.")),
    request_body(content((PutPolicy = "application/json"), (String = "text/plain", example = json!("package runwarden.authz\n")))),
    responses((status = 200, description = "It was replaced.", body = Policy, headers(("ETag" = String, description = "The revision."))),
        (status = 201, description = "It was created.", body = Policy, headers(("ETag" = String, description = "The revision.")))))]
async fn put(
    State(app): State<App>,
    by: ByName,
    Params(NoParams): Params<NoParams>,
    headers: HeaderMap,
    Source(rego): Source,
) -> Result<Response> {
    let mut policies = app.ports.policies();
    let expected_revision = match precondition(&headers)? {
        Precondition::None => 0,
        Precondition::Revision(revision) => revision,
        Precondition::Exists => {
            let answer = policies.get_module(proto::GetModuleRequest { name: by.name.clone() }).await?.into_inner();
            present(answer.module, "policy")?.revision
        }
    };
    let request = proto::PutModuleRequest { name: by.name, rego, expected_revision };
    let answer = policies.put_module(request).await?.into_inner();
    let module = present(answer.module, "policy")?;
    let (revision, location) = (module.revision, format!("/api/v1/policies/{}", module.name));
    let status = if answer.created { StatusCode::CREATED } else { StatusCode::OK };
    let policy = Policy { warnings: answer.warnings, ..Policy::from(module) };
    let mut response = tagged((status, Json(policy)).into_response(), revision);
    if answer.created
        && let Ok(location) = HeaderValue::from_str(&location)
    {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// List policies
///
/// Without their source. Needs `policies.read`.
#[utoipa::path(get, path = "/api/v1/policies", tag = "policies", params(PageParams),
    responses((status = 200, description = "A page, by name.", body = Page<Policy>)))]
async fn list(State(app): State<App>, Params(params): Params<PageParams>) -> Result<Json<Page<Policy>>> {
    let answer = app.ports.policies().list_modules(proto::ListModulesRequest {}).await?.into_inner();
    paging::cut(&paging::listing("policies"), answer.modules, &params, |module| module.name.clone())
}

/// Read a policy
///
/// Needs `policies.read`.
#[utoipa::path(get, path = "/api/v1/policies/{name}", tag = "policies", params(ByName),
    responses((status = 200, description = "The policy.", body = Policy, headers(("ETag" = String, description = "The revision.")))))]
async fn read(State(app): State<App>, by: ByName, Params(NoParams): Params<NoParams>) -> Result<Response> {
    let answer = app.ports.policies().get_module(proto::GetModuleRequest { name: by.name }).await?.into_inner();
    let module = present(answer.module, "policy")?;
    let revision = module.revision;
    Ok(tagged(Json(Policy::from(module)).into_response(), revision))
}

/// Remove a policy
///
/// Without any policy, roles alone decide. Needs `policies.write`.
#[utoipa::path(delete, path = "/api/v1/policies/{name}", tag = "policies", params(ByName),
    responses((status = 204, description = "It was deleted.")))]
async fn delete(State(app): State<App>, by: ByName, Params(NoParams): Params<NoParams>) -> Result<StatusCode> {
    app.ports.policies().delete_module(proto::DeleteModuleRequest { name: by.name }).await?;
    Ok(StatusCode::NO_CONTENT)
}
