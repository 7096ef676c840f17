//! The project service, as this service needs it.

use async_trait::async_trait;
use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::limits::LARGEST_ANSWER;
use runwarden_kit::mesh::{MeshChannel, Service};
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result};
use runwarden_proto::project::v1::project_service_client::ProjectServiceClient;
use runwarden_proto::project::v1::tenant_service_client::TenantServiceClient;
use runwarden_proto::project::v1::{CheckScopeRequest, ListTenantStatesRequest};

use crate::trust::scopes::{ScopeStatus, Scopes, TenantList};

/// Asks the project service over the mesh.
pub(crate) struct MeshScopes {
    projects: ProjectServiceClient<MeshChannel>,
    tenants: TenantServiceClient<MeshChannel>,
}

impl MeshScopes {
    pub(crate) fn new(channel: MeshChannel) -> Self {
        Self {
            projects: ProjectServiceClient::new(channel.clone()),
            tenants: TenantServiceClient::new(channel).max_decoding_message_size(LARGEST_ANSWER),
        }
    }
}

#[async_trait]
impl Scopes for MeshScopes {
    async fn check(&self, tenant: &TenantId, project: Option<&str>) -> Result<ScopeStatus> {
        let request = CheckScopeRequest { tenant: tenant.to_string(), project: project.unwrap_or_default().to_owned() };
        let answer = self
            .projects
            .clone()
            .check_scope(request)
            .await
            .map_err(|status| Error::from_peer(Service::Project, &status))?
            .into_inner();
        Ok(ScopeStatus {
            tenant_exists: answer.tenant_exists,
            tenant_disabled: answer.tenant_disabled,
            project_exists: answer.project_exists,
        })
    }

    async fn tenants(&self, known_version: &str) -> Result<TenantList> {
        let request = ListTenantStatesRequest { known_version: known_version.to_owned() };
        let mut client = self.tenants.clone();
        // Without a caller, even when a request with an unknown tenant caused the call.
        let asked = context::scope(RequestContext::default(), async move { client.list_tenant_states(request).await });
        let answer = asked.await.map_err(|status| Error::from_peer(Service::Project, &status))?.into_inner();
        Ok(TenantList {
            version: answer.version,
            only_changes: answer.only_changes,
            tenants: answer.tenants.into_iter().map(|tenant| (tenant.name, tenant.disabled)).collect(),
        })
    }
}
