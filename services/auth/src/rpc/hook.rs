//! `HookIdentityService`.

use std::sync::Arc;

use runwarden_kit::rpc::caller;
use runwarden_kit::tenant::TenantId;
use runwarden_proto::auth::v1 as wire;
use runwarden_proto::auth::v1::hook_identity_service_server::HookIdentityService;
use tonic::{Request, Response, Status};

use crate::token::tokens::Tokens;

/// Serves identities for deliveries.
pub(crate) struct HookIdentityRpc(pub(crate) Arc<Tokens>);

#[tonic::async_trait]
impl HookIdentityService for HookIdentityRpc {
    async fn check_hook_client(
        &self,
        request: Request<wire::CheckHookClientRequest>,
    ) -> Result<Response<wire::CheckHookClientResponse>, Status> {
        let caller = caller(&request)?;
        let wire::CheckHookClientRequest { client_id, project } = request.into_inner();
        let client = self.0.check_for_hook(&caller, &client_id, &project).await?;
        Ok(Response::new(wire::CheckHookClientResponse { principal: client.principal, name: client.name }))
    }

    async fn issue_hook_token(
        &self,
        request: Request<wire::IssueHookTokenRequest>,
    ) -> Result<Response<wire::IssueHookTokenResponse>, Status> {
        let wire::IssueHookTokenRequest { tenant, client_id, project, hook } = request.into_inner();
        let tenant = TenantId::named("/tenant", &tenant)?;
        let issued = self.0.issue_for_hook(&tenant, &client_id, &project, &hook).await?;
        Ok(Response::new(wire::IssueHookTokenResponse {
            access_token: issued.access_token,
            expires_at: Some(issued.expires_at.to_proto()),
            principal: issued.principal,
        }))
    }
}
