//! The project service, as this service needs it.

use async_trait::async_trait;
use runwarden_kit::mesh::MeshChannel;
use runwarden_kit::{Error, Result};
use runwarden_proto::project::v1::CheckScopeRequest;
use runwarden_proto::project::v1::project_service_client::ProjectServiceClient;

use crate::project::{ScopeStatus, Scopes};

/// Asks the project service over the mesh.
pub(crate) struct MeshScopes(ProjectServiceClient<MeshChannel>);

impl MeshScopes {
    pub(crate) fn new(channel: MeshChannel) -> Self {
        Self(ProjectServiceClient::new(channel))
    }
}

#[async_trait]
impl Scopes for MeshScopes {
    async fn check(&self, tenant: &str, project: Option<&str>) -> Result<ScopeStatus> {
        let request = CheckScopeRequest { tenant: tenant.to_owned(), project: project.unwrap_or_default().to_owned() };
        let answer =
            self.0.clone().check_scope(request).await.map_err(|status| Error::from_status(&status))?.into_inner();
        Ok(ScopeStatus {
            tenant_exists: answer.tenant_exists,
            tenant_disabled: answer.tenant_disabled,
            project_exists: answer.project_exists,
        })
    }
}
