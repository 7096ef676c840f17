//! `TokenService`.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use prost::Message as _;
use runwarden_engines::idempotency::{self, Begun, Idempotency, Repeat, message};
use runwarden_kit::caller::Scope;
use runwarden_kit::clock::Moment;
use runwarden_kit::context;
use runwarden_kit::permission::Permission;
use runwarden_kit::rpc::caller;
use runwarden_proto::auth::v1 as wire;
use runwarden_proto::auth::v1::token_service_server::TokenService;
use tonic::{Request, Response, Status};

use crate::client::prove::Proof;
use crate::key::keyring::Keyring;
use crate::once::Once;
use crate::token::tokens::Tokens;
use crate::trust::revocation::{Ended, Revocation};
use crate::trust::state::Trust;

/// Serves tokens.
pub(crate) struct TokenRpc {
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) trust: Arc<Trust>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) once: Idempotency,
}

#[tonic::async_trait]
impl TokenService for TokenRpc {
    async fn issue_token(
        &self,
        request: Request<wire::IssueTokenRequest>,
    ) -> Result<Response<wire::IssueTokenResponse>, Status> {
        let request = request.into_inner();
        let proof = Proof { client_id: &request.client_id, secret: &request.client_secret, purpose: "token.issue" };
        let issue = self.tokens.issue(proof, &request.scope);
        let issued = from_address(&request.source_address, issue).await?;
        Ok(Response::new(wire::IssueTokenResponse {
            access_token: issued.access_token,
            expires_in: issued.expires_in,
            scope: issued.scope,
        }))
    }

    async fn introspect_token(
        &self,
        request: Request<wire::IntrospectTokenRequest>,
    ) -> Result<Response<wire::IntrospectTokenResponse>, Status> {
        let request = request.into_inner();
        let proof =
            Proof { client_id: &request.client_id, secret: &request.client_secret, purpose: "token.introspect" };
        let claims = self.tokens.introspect(proof, &request.token).await?;
        let answer = claims.map_or_else(Default::default, |claims| wire::IntrospectTokenResponse {
            active: true,
            scope: claims.scope,
            client_id: claims.client_id,
            sub: claims.sub,
            tenant: claims.tenant.map(String::from).unwrap_or_default(),
            exp: claims.exp,
            iat: claims.iat,
            jti: claims.jti,
            iss: claims.iss,
            aud: claims.aud,
        });
        Ok(Response::new(answer))
    }

    async fn revoke_token(
        &self,
        request: Request<wire::RevokeTokenRequest>,
    ) -> Result<Response<wire::RevokeTokenResponse>, Status> {
        let request = request.into_inner();
        let proof = Proof { client_id: &request.client_id, secret: &request.client_secret, purpose: "token.revoke" };
        self.tokens.revoke(proof, &request.token).await?;
        Ok(Response::new(wire::RevokeTokenResponse {}))
    }

    async fn get_trust_state(
        &self,
        request: Request<wire::GetTrustStateRequest>,
    ) -> Result<Response<wire::GetTrustStateResponse>, Status> {
        let question = request.into_inner();
        if question.keys_only {
            let (jwks_json, issuer) = self.trust.keys().await?;
            return Ok(Response::new(wire::GetTrustStateResponse { jwks_json, issuer, ..Default::default() }));
        }
        if !question.unknown_tenant.is_empty() {
            self.trust.tenants().look_for(&question.unknown_tenant).await?;
        }
        let mut answer = self.trust.since(&question.known_version).await?;
        let tenants_age = answer.tenants_age.and_then(|age| age.try_into().ok());
        if answer.version == question.known_version {
            let version = answer.version;
            let unchanged = wire::GetTrustStateResponse { version, unchanged: true, tenants_age, ..Default::default() };
            return Ok(Response::new(unchanged));
        }
        if answer.only_changes && !question.accepts_changes {
            answer = self.trust.since("").await?;
        }
        Ok(Response::new(wire::GetTrustStateResponse {
            version: answer.version,
            unchanged: false,
            jwks_json: answer.jwks_json.unwrap_or_default(),
            issuer: answer.issuer,
            revocations: answer.revocations.iter().map(revocation).collect(),
            only_changes: answer.only_changes,
            tenants: answer.tenants.into_iter().map(|(name, disabled)| wire::TenantState { name, disabled }).collect(),
            tenants_age,
        }))
    }

    async fn rotate_signing_key(
        &self,
        request: Request<wire::RotateSigningKeyRequest>,
    ) -> Result<Response<wire::RotateSigningKeyResponse>, Status> {
        let caller = caller(&request)?;
        caller.require(Permission::KeysRotate, &Scope::platform())?;
        let now = self.tokens.shared.clock.now();
        let ticket = match self
            .once
            .judge(
                idempotency::Request::of(&caller, "signing_key.rotate", &Repeat::of(request.get_ref())),
                now,
                message,
            )
            .await?
        {
            Begun::Replay(answer) => return Ok(Response::new(answer)),
            Begun::Fresh(ticket) => ticket,
        };
        let answer = |key_id: &String| wire::RotateSigningKeyResponse { key_id: key_id.clone() };
        let encode = |key_id: &String| answer(key_id).encode_to_vec();
        let key_id = self.keyring.rotate(&Once::new(ticket, &encode)).await?;
        self.trust.changed();
        Ok(Response::new(answer(&key_id)))
    }
}

/// Runs a future with the address that the edge names in the request, unless it came along already.
async fn from_address<F: Future>(address: &str, future: F) -> F::Output {
    let mut context = Arc::unwrap_or_clone(context::current());
    if context.source_address.is_empty() && address.parse::<IpAddr>().is_ok() {
        address.clone_into(&mut context.source_address);
    }
    context::scope(context, future).await
}

fn revocation(revocation: &Revocation) -> wire::Revocation {
    let forget_at = Some(revocation.forget_at.to_proto());
    match &revocation.ended {
        Ended::Token { token_id, principal, issued_at } => wire::Revocation {
            token_id: token_id.clone(),
            principal: principal.clone(),
            issued_at: issued_at.map(Moment::to_proto),
            forget_at,
            ..Default::default()
        },
        Ended::Principal { principal, issued_until } => wire::Revocation {
            principal: principal.clone(),
            issued_until: Some(issued_until.to_proto()),
            forget_at,
            ..Default::default()
        },
    }
}
