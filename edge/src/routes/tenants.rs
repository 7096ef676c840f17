//! Tenants: the walls that nothing crosses.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use runwarden_proto::project::v1 as proto;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Page, always, created, page, present};
use crate::app::App;
use crate::extract::body::Body;
use crate::extract::path::ByName;
use crate::extract::query::{NoParams, PageParams, Params};
use crate::problem::Result;

/// This noun's routes.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(read, update))
}

/// A customer or organisation.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tenant {
    /// Its name, for ever.
    #[schema(example = "acme")]
    pub name: String,
    /// Its name for people.
    #[schema(example = "Acme Corporation")]
    pub display_name: String,
    /// Whether its requests are refused.
    pub disabled: bool,
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
}

/// What to change of a tenant; what is not given stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateTenant {
    /// Its name for people.
    #[schema(max_length = 200, example = "Acme Corporation")]
    display_name: Option<String>,
    /// Whether its requests shall be refused.
    disabled: Option<bool>,
}

/// Make a tenant
///
/// Needs `tenants.write` on the platform.
#[utoipa::path(post, path = "/api/v1/tenants", tag = "tenants", request_body = CreateTenant,
    responses((status = 201, description = "It was made.", body = Tenant)))]
async fn create(
    State(app): State<App>,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<CreateTenant>,
) -> Result<Response> {
    let request = proto::CreateTenantRequest {
        name: body.name,
        display_name: body.display_name.unwrap_or_default(),
        ..Default::default()
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
/// A disabled tenant's requests are refused. Needs `tenants.write` on the platform.
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
        ..Default::default()
    };
    let answer = app.ports.tenants().update_tenant(request).await?.into_inner();
    Ok(Json(present(answer.tenant, "tenant")?.into()))
}
