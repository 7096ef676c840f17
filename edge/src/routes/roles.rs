//! Roles: named sets of permissions.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use runwarden_kit::Error;
use runwarden_proto::auth::v1 as proto;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::answer::{Page, created};
use super::field::present;
use super::paging;
use crate::app::App;
use crate::declared::Routes;
use crate::extract::body::Body;
use crate::extract::path::ByName;
use crate::extract::query::{NoParams, PageParams, Params};
use crate::problem::{Problem, Result};

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new().admin(routes!(create, list)).admin(routes!(read, delete))
}

/// A named set of permissions.
#[derive(Debug, Serialize, ToSchema)]
pub struct Role {
    /// Its name.
    #[schema(example = "launcher")]
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it permits.
    #[schema(example = json!(["jobs.submit", "jobs.read"]))]
    pub permissions: Vec<String>,
    /// Whether it comes with Runwarden and cannot be changed.
    pub built_in: bool,
}

impl From<proto::Role> for Role {
    fn from(role: proto::Role) -> Self {
        Self { name: role.name, description: role.description, permissions: role.permissions, built_in: role.built_in }
    }
}

/// A role to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRole {
    /// Its name; no built-in role may have it.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "night-shift")]
    name: String,
    /// What it is for.
    #[schema(example = "Runs what the night shift runs.")]
    description: Option<String>,
    /// What it shall permit; at least one.
    #[schema(min_items = 1, example = json!(["jobs.submit", "jobs.read"]))]
    permissions: Vec<String>,
}

async fn all(app: &App) -> Result<Vec<proto::Role>> {
    Ok(app.ports.roles().list_roles(proto::ListRolesRequest {}).await?.into_inner().roles)
}

/// Make a role
///
/// It can hold no permission that its maker lacks. Needs `roles.write`.
#[utoipa::path(post, path = "/api/v1/roles", tag = "access", request_body = CreateRole,
    responses((status = 201, description = "It was created.", body = Role)))]
async fn create(
    State(app): State<App>,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<CreateRole>,
) -> Result<Response> {
    let request = proto::CreateRoleRequest {
        name: body.name,
        description: body.description.unwrap_or_default(),
        permissions: body.permissions,
    };
    let role = present(app.ports.roles().create_role(request).await?.into_inner().role, "role")?;
    Ok(created(&format!("/api/v1/roles/{}", role.name), Role::from(role)))
}

/// List roles
///
/// The built-in ones and the tenant's own. Needs `roles.read`.
#[utoipa::path(get, path = "/api/v1/roles", tag = "access", params(PageParams),
    responses((status = 200, description = "A page, built-in ones first.", body = Page<Role>)))]
async fn list(State(app): State<App>, Params(params): Params<PageParams>) -> Result<Json<Page<Role>>> {
    paging::cut(&paging::listing("roles"), all(&app).await?, &params, |role| {
        format!("{}{}", u8::from(!role.built_in), role.name)
    })
}

/// Read a role
///
/// Needs `roles.read`.
#[utoipa::path(get, path = "/api/v1/roles/{name}", tag = "access", params(ByName),
    responses((status = 200, description = "The role.", body = Role)))]
async fn read(State(app): State<App>, by: ByName, Params(NoParams): Params<NoParams>) -> Result<Json<Role>> {
    let found = all(&app).await?.into_iter().find(|role| role.name == by.name);
    found.map(|role| Json(role.into())).ok_or_else(|| Problem::from(Error::not_found("role")))
}

/// Remove a role
///
/// One of the tenant's own roles that no binding uses. Needs `roles.write`.
#[utoipa::path(delete, path = "/api/v1/roles/{name}", tag = "access", params(ByName),
    responses((status = 204, description = "It was deleted.")))]
async fn delete(State(app): State<App>, by: ByName, Params(NoParams): Params<NoParams>) -> Result<StatusCode> {
    app.ports.roles().delete_role(proto::DeleteRoleRequest { name: by.name }).await?;
    Ok(StatusCode::NO_CONTENT)
}
