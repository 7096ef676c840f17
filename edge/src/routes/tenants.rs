//! Tenants: the walls that nothing crosses.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use runwarden_proto::project::v1 as proto;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::answer::{Page, created, page};
use super::field::{always, nullable, present};
use super::rate::Rate;
use crate::app::App;
use crate::declared::Routes;
use crate::extract::body::{Body, Object};
use crate::extract::path::ByName;
use crate::extract::query::{NoParams, PageParams, Params};
use crate::problem::{Problem, Result};

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new().admin(routes!(create, list)).admin(routes!(read, update))
}

/// A customer or organisation.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tenant {
    /// Its name. It cannot be changed.
    #[schema(example = "acme")]
    pub name: String,
    /// Its name for people.
    #[schema(example = "Acme Corporation")]
    pub display_name: String,
    /// Whether its requests are refused.
    pub disabled: bool,
    /// Its share of launches compared with other waiting tenants: one with 2 gets twice as many launches as one with 1.
    pub share: i32,
    /// How many of its jobs may wait at once; more are refused; 0 for what the platform allows.
    pub max_queued: i32,
    /// How many jobs of one principal may be launching or running at once; 0 for no limit.
    pub principal_max_concurrent: i32,
    /// How many jobs of one principal may be started in a period; absent for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal_rate: Option<Rate>,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Grows with every change.
    pub revision: i64,
}

impl From<proto::Tenant> for Tenant {
    fn from(tenant: proto::Tenant) -> Self {
        Self {
            name: tenant.name,
            display_name: tenant.display_name,
            disabled: tenant.disabled,
            share: tenant.share,
            max_queued: tenant.max_queued,
            principal_max_concurrent: tenant.principal_max_concurrent,
            principal_rate: Rate::read(tenant.principal_rate),
            created_at: always(tenant.created_at),
            revision: tenant.revision,
        }
    }
}

/// A tenant to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTenant {
    /// Its name: lower-case letters, digits and hyphens.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "acme")]
    name: String,
    /// Its name for people; the name if not given.
    #[schema(max_length = 200, example = "Acme Corporation")]
    display_name: Option<String>,
    /// Its share of the launcher next to other tenants that wait; 1 if not given.
    #[schema(minimum = 1, maximum = 100)]
    share: Option<i32>,
    /// How many of its jobs may wait at once; 0 for what the platform allows.
    #[schema(minimum = 0, maximum = 1_000_000)]
    max_queued: Option<i32>,
    /// How many jobs of one principal may be launching or running at once; 0 for no limit.
    #[schema(minimum = 0, maximum = 10_000)]
    principal_max_concurrent: Option<i32>,
    /// How many jobs of one principal may be started in a period; no limit if not given.
    #[schema(value_type = Option<Rate>)]
    principal_rate: Option<Object<Rate>>,
}

/// The changes to a tenant; fields not given stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateTenant {
    /// Its name for people.
    #[schema(max_length = 200, example = "Acme Corporation")]
    display_name: Option<String>,
    /// Whether its requests shall be refused.
    disabled: Option<bool>,
    /// Its share of the launcher next to other tenants that wait.
    #[schema(minimum = 1, maximum = 100)]
    share: Option<i32>,
    /// How many of its jobs may wait at once; 0 for what the platform allows.
    #[schema(minimum = 0, maximum = 1_000_000)]
    max_queued: Option<i32>,
    /// How many jobs of one principal may be launching or running at once; 0 for no limit.
    #[schema(minimum = 0, maximum = 10_000)]
    principal_max_concurrent: Option<i32>,
    /// How many jobs of one principal may be started in a period; null for no limit.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Rate>)]
    principal_rate: Option<Option<Object<Rate>>>,
}

/// Make a tenant
///
/// Needs `tenants.write` on the platform.
#[utoipa::path(post, path = "/api/v1/tenants", tag = "tenants", request_body = CreateTenant,
    responses((status = 201, description = "It was created.", body = Tenant)))]
async fn create(
    State(app): State<App>,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<CreateTenant>,
) -> Result<Response> {
    // On the way to the service 0 says that nothing was said.
    if body.share == Some(0) {
        return Err(Problem::invalid("/share", "must be 1 to 100"));
    }
    let request = proto::CreateTenantRequest {
        name: body.name,
        display_name: body.display_name.unwrap_or_default(),
        share: body.share.unwrap_or_default(),
        max_queued: body.max_queued.unwrap_or_default(),
        principal_max_concurrent: body.principal_max_concurrent.unwrap_or_default(),
        principal_rate: Rate::sent(body.principal_rate),
    };
    let tenant = present(app.ports.tenants().create_tenant(request).await?.into_inner().tenant, "tenant")?;
    Ok(created(&format!("/api/v1/tenants/{}", tenant.name), Tenant::from(tenant)))
}

/// List tenants
///
/// All for the platform, its own for a tenant's principal. Needs `tenants.read`.
#[utoipa::path(get, path = "/api/v1/tenants", tag = "tenants", params(PageParams),
    responses((status = 200, description = "A page, by name.", body = Page<Tenant>)))]
async fn list(State(app): State<App>, Params(paging): Params<PageParams>) -> Result<Json<Page<Tenant>>> {
    let request = proto::ListTenantsRequest { page_size: paging.page_size, page_token: paging.page_token };
    let answer = app.ports.tenants().list_tenants(request).await?.into_inner();
    Ok(page(answer.tenants, answer.next_page_token))
}

/// Read a tenant
///
/// Needs `tenants.read`.
#[utoipa::path(get, path = "/api/v1/tenants/{name}", tag = "tenants", params(ByName),
    responses((status = 200, description = "The tenant.", body = Tenant)))]
async fn read(State(app): State<App>, by: ByName, Params(NoParams): Params<NoParams>) -> Result<Json<Tenant>> {
    let request = proto::GetTenantRequest { name: by.name };
    let answer = app.ports.tenants().get_tenant(request).await?.into_inner();
    Ok(Json(present(answer.tenant, "tenant")?.into()))
}

/// Change a tenant
///
/// A disabled tenant's requests are refused. Limits hold from the next launch on. Needs `tenants.write` on the platform.
#[utoipa::path(patch, path = "/api/v1/tenants/{name}", tag = "tenants", params(ByName), request_body = UpdateTenant,
    responses((status = 200, description = "The tenant as it is now.", body = Tenant)))]
async fn update(
    State(app): State<App>,
    by: ByName,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<UpdateTenant>,
) -> Result<Json<Tenant>> {
    let request = proto::UpdateTenantRequest {
        name: by.name,
        display_name: body.display_name,
        disabled: body.disabled,
        share: body.share,
        max_queued: body.max_queued,
        principal_max_concurrent: body.principal_max_concurrent,
        principal_rate: Rate::changed(body.principal_rate),
    };
    let answer = app.ports.tenants().update_tenant(request).await?.into_inner();
    Ok(Json(present(answer.tenant, "tenant")?.into()))
}
