//! `StandingService`.

use runwarden_kit::permission;
use runwarden_kit::tenant::TenantId;
use runwarden_proto::auth::v1 as wire;
use runwarden_proto::auth::v1::standing_service_server::StandingService;
use tonic::{Request, Response, Status};

use crate::client::standing::{Asked, Standing, Standings};

/// Serves how clients stand.
pub(crate) struct StandingRpc(pub(crate) Standings);

#[tonic::async_trait]
impl StandingService for StandingRpc {
    async fn check_standing(
        &self,
        request: Request<wire::CheckStandingRequest>,
    ) -> Result<Response<wire::CheckStandingResponse>, Status> {
        let request = request.into_inner();
        let asked = Asked {
            client_id: request.client_id,
            principal: request.principal,
            tenant: TenantId::named("/tenant", &request.tenant)?,
            project: request.project,
            permission: permission::named("/permission", &request.permission)?,
            narrowed_to: request.token_permissions.into_iter().collect(),
        };
        Ok(Response::new(match self.0.check(&asked).await? {
            Standing::Holds { name, tenant, grants } => wire::CheckStandingResponse {
                lapse: wire::StandingLapse::Unspecified.into(),
                name,
                home_tenant: tenant.map(String::from).unwrap_or_default(),
                grants: grants.into_iter().map(Into::into).collect(),
            },
            Standing::Lapsed(lapse) => {
                wire::CheckStandingResponse { lapse: wire::StandingLapse::from(lapse).into(), ..Default::default() }
            }
        }))
    }
}
