//! How clients stand now, from the auth service.

use async_trait::async_trait;
use runwarden_kit::contract::Lapse;
use runwarden_kit::mesh::{MeshChannel, Service};
use runwarden_kit::mirror::Unspecified;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result};
use runwarden_proto::auth::v1::standing_service_client::StandingServiceClient;
use runwarden_proto::auth::v1::{CheckStandingRequest, StandingLapse};

use crate::job::Job;
use crate::launch::authority::{Principal, Standing};
use crate::ports::Standings;

/// Asks the auth service over the mesh.
pub(crate) struct MeshStandings(StandingServiceClient<MeshChannel>);

impl MeshStandings {
    /// Over a channel to the auth service.
    pub(crate) fn new(channel: MeshChannel) -> Self {
        Self(StandingServiceClient::new(channel))
    }
}

#[async_trait]
impl Standings for MeshStandings {
    async fn standing(&self, job: &Job, permission: Permission) -> Result<Standing> {
        let request = CheckStandingRequest {
            client_id: job.client_id.clone(),
            principal: job.requested_by.clone(),
            tenant: job.tenant.to_string(),
            project: job.project.clone(),
            permission: permission.name().to_owned(),
            token_permissions: job.asked_with.permissions.iter().cloned().collect(),
        };
        let answer =
            self.0.clone().check_standing(request).await.map_err(|s| Error::from_peer(Service::Auth, &s))?.into_inner();
        let lapse = StandingLapse::try_from(answer.lapse)
            .map_err(|_| Error::internal(anyhow::anyhow!("auth says that a client lapsed in an unknown way")))?;
        Ok(match Lapse::try_from(lapse) {
            Ok(lapse) => Standing::Lapsed(lapse),
            Err(Unspecified) => Standing::Holds(Principal {
                id: job.requested_by.clone(),
                name: answer.name,
                client_id: job.client_id.clone(),
                tenant: Some(answer.home_tenant.as_str()).filter(|tenant| !tenant.is_empty()).map(TenantId::trusted),
                authenticated_by: match job.asked_with.authenticated_by.as_str() {
                    // Of a job that was accepted before it was kept. There was no other way.
                    "" => "client_credentials".into(),
                    said => said.into(),
                },
                grants: answer.grants.into_iter().map(Into::into).collect(),
            }),
        })
    }
}
