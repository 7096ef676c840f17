//! Bindings: which principal has which role at which scope.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use runwarden_proto::auth::v1 as proto;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::answer::{Page, created, page};
use super::field::{always, present, some};
use crate::app::App;
use crate::declared::Routes;
use crate::extract::body::Body;
use crate::extract::path::ById;
use crate::extract::query::{FromQuery, NoParams, Params, Query};
use crate::problem::Result;

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new().admin(routes!(create, list)).admin(routes!(delete))
}

/// A principal's role at a scope.
#[derive(Debug, Serialize, ToSchema)]
pub struct Binding {
    /// Its id.
    #[schema(example = "bind_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    pub id: String,
    /// Who holds the role.
    #[schema(example = "sa_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    pub principal: String,
    /// The role.
    #[schema(example = "launcher")]
    pub role: String,
    /// The tenant where it holds; absent for the whole platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The project it is limited to; absent for the whole tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// When it was given.
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl From<proto::Binding> for Binding {
    fn from(binding: proto::Binding) -> Self {
        let scope = binding.scope.unwrap_or_default();
        Self {
            id: binding.binding_id,
            principal: binding.principal,
            role: binding.role,
            tenant: some(scope.tenant),
            project: some(scope.project),
            created_at: always(binding.created_at),
        }
    }
}

/// A binding to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateBinding {
    /// Who shall hold the role.
    #[schema(example = "sa_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    principal: String,
    /// The role.
    #[schema(example = "launcher")]
    role: String,
    /// The project to limit it to; the whole tenant if not given.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "web")]
    project: Option<String>,
}

/// Which bindings.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListBindings {
    /// Only those of this principal.
    #[param(required = false, pattern = "^[A-Za-z0-9_.*:-]{1,128}$")]
    principal: String,
    /// Only those at this project.
    #[param(required = false, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    project: String,
    /// How many items a page has at most; 50 if not given.
    #[param(required = false, minimum = 1, maximum = 200)]
    page_size: i32,
    /// `next_page_token` of the page before; not given for the first.
    #[param(required = false, max_length = 2048, pattern = "^[A-Za-z0-9_-]*$")]
    page_token: String,
}

impl FromQuery for ListBindings {
    fn from_query(query: &mut Query) -> Self {
        let (principal, project) = (query.word("principal"), query.slug("project"));
        let (page_size, page_token) = query.page();
        Self { principal, project, page_size, page_token }
    }
}

/// Give a principal a role
///
/// Callers can only grant permissions that they hold themselves. Needs `bindings.write`.
#[utoipa::path(post, path = "/api/v1/bindings", tag = "access", request_body = CreateBinding,
    responses((status = 201, description = "It was created.", body = Binding)))]
async fn create(
    State(app): State<App>,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<CreateBinding>,
) -> Result<Response> {
    let project = body.project.unwrap_or_default();
    let request = proto::CreateBindingRequest { principal: body.principal, role: body.role, project };
    let binding = present(app.ports.roles().create_binding(request).await?.into_inner().binding, "binding")?;
    Ok(created(&format!("/api/v1/bindings/{}", binding.binding_id), Binding::from(binding)))
}

/// List bindings
///
/// Needs `bindings.read`.
#[utoipa::path(get, path = "/api/v1/bindings", tag = "access", params(ListBindings),
    responses((status = 200, description = "A page.", body = Page<Binding>)))]
async fn list(State(app): State<App>, Params(filter): Params<ListBindings>) -> Result<Json<Page<Binding>>> {
    let ListBindings { principal, project, page_size, page_token } = filter;
    let request = proto::ListBindingsRequest { principal, project, page_size, page_token };
    let answer = app.ports.roles().list_bindings(request).await?.into_inner();
    Ok(page(answer.bindings, answer.next_page_token))
}

/// Take a role away
///
/// Tokens that carried it end within 5 seconds. Needs `bindings.write`.
#[utoipa::path(delete, path = "/api/v1/bindings/{id}", tag = "access", params(ById),
    responses((status = 204, description = "It was deleted.")))]
async fn delete(State(app): State<App>, by: ById, Params(NoParams): Params<NoParams>) -> Result<StatusCode> {
    app.ports.roles().delete_binding(proto::DeleteBindingRequest { binding_id: by.id }).await?;
    Ok(StatusCode::NO_CONTENT)
}
