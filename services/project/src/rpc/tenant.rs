//! `TenantService`.

use runwarden_kit::rpc::caller;
use runwarden_proto::project::v1::tenant_service_server::TenantService;
use runwarden_proto::project::v1::{
    self as wire, CreateTenantRequest, CreateTenantResponse, GetTenantRequest, GetTenantResponse,
    ListTenantStatesRequest, ListTenantStatesResponse, ListTenantsRequest, ListTenantsResponse, TenantState,
    UpdateTenantRequest, UpdateTenantResponse,
};
use tonic::{Request, Response, Status};

use super::{Repeat, page};
use crate::tenant::{NewTenant, Tenant, TenantLimitsUpdate, TenantUpdate, Tenants};

/// Serves tenants.
#[derive(Clone)]
pub struct TenantRpc(pub(super) Tenants);

#[tonic::async_trait]
impl TenantService for TenantRpc {
    async fn create_tenant(
        &self,
        request: Request<CreateTenantRequest>,
    ) -> Result<Response<CreateTenantResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let repeat = Repeat::of(&request);
        let limits = TenantLimitsUpdate {
            share: (request.share != 0).then_some(request.share),
            max_queued: Some(request.max_queued),
            principal_max_concurrent: Some(request.principal_max_concurrent),
            principal_rate: request.principal_rate.map(Into::into),
        };
        let new = NewTenant { name: request.name, display_name: request.display_name, limits };
        let tenant = self.0.create(&caller, new, &repeat).await?;
        Ok(Response::new(CreateTenantResponse { tenant: Some(tenant.into()) }))
    }

    async fn get_tenant(&self, request: Request<GetTenantRequest>) -> Result<Response<GetTenantResponse>, Status> {
        let tenant = self.0.get(&*caller(&request)?, &request.get_ref().name).await?;
        Ok(Response::new(GetTenantResponse { tenant: Some(tenant.into()) }))
    }

    async fn list_tenants(
        &self,
        request: Request<ListTenantsRequest>,
    ) -> Result<Response<ListTenantsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let found = self.0.list(&caller, &page(request.page_size, request.page_token)).await?;
        let tenants = found.items.into_iter().map(Into::into).collect();
        Ok(Response::new(ListTenantsResponse { tenants, next_page_token: found.next }))
    }

    async fn update_tenant(
        &self,
        request: Request<UpdateTenantRequest>,
    ) -> Result<Response<UpdateTenantResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let limits = TenantLimitsUpdate {
            share: request.share,
            max_queued: request.max_queued,
            principal_max_concurrent: request.principal_max_concurrent,
            principal_rate: request.principal_rate.map(Into::into),
        };
        let update = TenantUpdate { display_name: request.display_name, disabled: request.disabled, limits };
        let tenant = self.0.update(&caller, &request.name, update).await?;
        Ok(Response::new(UpdateTenantResponse { tenant: Some(tenant.into()) }))
    }

    async fn list_tenant_states(
        &self,
        request: Request<ListTenantStatesRequest>,
    ) -> Result<Response<ListTenantStatesResponse>, Status> {
        let states = self.0.states(&request.get_ref().known_version).await?;
        Ok(Response::new(ListTenantStatesResponse {
            version: states.version,
            only_changes: states.only_changes,
            tenants: states.tenants.into_iter().map(|(name, disabled)| TenantState { name, disabled }).collect(),
        }))
    }
}

impl From<Tenant> for wire::Tenant {
    fn from(tenant: Tenant) -> Self {
        Self {
            name: tenant.name.into(),
            display_name: tenant.display_name,
            disabled: tenant.disabled,
            created_at: Some(tenant.created_at.to_proto()),
            revision: tenant.revision,
            share: tenant.limits.share,
            max_queued: tenant.limits.max_queued,
            principal_max_concurrent: tenant.limits.principal_max_concurrent,
            principal_rate: tenant.limits.principal_rate.map(Into::into),
        }
    }
}
