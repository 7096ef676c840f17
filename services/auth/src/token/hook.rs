//! Tokens for deliveries to hooks: the hook service verified the delivery, and acts as the service account that the hook
//! names, at the hook's project and nowhere else.

use std::time::Duration;

use runwarden_engines::config::Change;
use runwarden_kit::audit::Actor;
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::clock::Moment;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::token::{AUDIENCE, Claims};
use runwarden_kit::{Error, ErrorReason, Result, id, slug};
use serde_json::json;

use super::scope;
use super::tokens::Tokens;
use crate::client::record::Client;
use crate::ids;
use crate::role::principal::Principal;
use crate::role::{authority, grants};
use crate::store::{Stored, TRIES, keys};
use crate::trust::revocation;

/// How such a caller proved itself, in tokens and records.
pub(crate) const AUTHENTICATED_BY: &str = "hook";
/// How long such a token lives. The hook service uses one for many deliveries, and asks again in time.
const LIFETIME: Duration = Duration::from_secs(120);
/// What such a token is good for, of what its account holds: to ask for jobs, and to see what becomes of them. Whatever
/// else was granted is nothing that a delivery needs.
const PERMISSIONS: [Permission; 2] = [Permission::JobsSubmit, Permission::JobsRead];

/// A token for deliveries.
pub(crate) struct HookToken {
    /// The signed JWT.
    pub(crate) access_token: String,
    /// When it expires.
    pub(crate) expires_at: Moment,
    /// The principal that it is for.
    pub(crate) principal: String,
}

impl Tokens {
    /// Answers the client that a hook is to act as, if the caller may let it: whoever decides what is done with a
    /// client's rights must hold all of them, as if it were given its secret.
    pub(crate) async fn check_for_hook(&self, caller: &Caller, client_id: &str, project: &str) -> Result<Client> {
        slug::check("/project", project)?;
        let tenant = caller.require_tenant()?;
        let here = Scope::project(tenant, project);
        caller.require(Permission::HooksWrite, &here)?;
        let (client, principal) = self.hook_client(tenant, client_id).await?;
        if !client.value.works_at(self.shared.now()) {
            return Err(Error::invalid("/client_id", "is disabled, or has expired"));
        }
        if !client.value.scope().covers(&here) {
            return Err(Error::invalid("/client_id", "belongs to another project"));
        }
        let roles = self.shared.roles_of(&principal.value).await?;
        authority::require_principal(caller, &roles, &principal.value)?;
        Ok(client.value)
    }

    /// Issues a token for deliveries to a hook. As for every token, the record of it and its right to exist are one
    /// commit.
    pub(crate) async fn issue_for_hook(
        &self,
        tenant: &TenantId,
        client_id: &str,
        project: &str,
        hook: &str,
    ) -> Result<HookToken> {
        slug::check("/project", project)?;
        slug::check("/hook", hook)?;
        let here = Scope::project(tenant, project);
        for _ in 0..TRIES {
            // Before anything is read.
            let now = self.shared.now();
            let (client, principal) = self.hook_client(tenant, client_id).await?;
            if !client.value.works_at(now) {
                return Err(Error::denied("The hook's service account is disabled, or has expired."));
            }
            if !client.value.scope().covers(&here) {
                return Err(Error::denied("The hook's service account belongs to another project."));
            }
            let place = self.shared.scopes.check(tenant, Some(project)).await?;
            if !place.tenant_exists || place.tenant_disabled {
                return Err(Error::new(ErrorReason::TenantDisabled, "The tenant is disabled."));
            }
            if !place.project_exists {
                return Err(Error::not_found("project"));
            }
            let claims = self.hook_claims(&client.value, &principal.value, &here, now).await?;
            let mut change = Change::new();
            change
                .at(keys::client(Some(tenant), client_id), client.revision)
                .at(keys::principal(Some(tenant), &principal.value.principal), principal.revision);
            revocation::mark_issued(&self.shared.store, &mut change, &claims.sub, claims.issued_at()).await?;
            let expires_at = Moment::from_micros(claims.exp.saturating_mul(1_000_000));
            let actor = Actor {
                principal: claims.sub.clone(),
                name: claims.name.clone(),
                authenticated_by: AUTHENTICATED_BY.to_owned(),
                client_id: claims.client_id.clone(),
                home_tenant: tenant.to_string(),
            };
            let entry = self.shared.entry("token.issue", "token", &claims.jti).tenant(tenant).actor(actor).details(
                &json!({ "scope": claims.scope, "expires_at": expires_at.rfc3339(), "hook": hook, "project": project }),
            );
            let key = self.keyring.active()?;
            let access_token = tokio::task::spawn_blocking(move || key.sign(&claims))
                .await
                .map_err(Error::internal)?
                .map_err(Error::internal)?;
            if self.shared.store.commit(change, &entry.build()).await?.is_done() {
                metrics::counter!("runwarden_auth_tokens_issued_total").increment(1);
                return Ok(HookToken { access_token, expires_at, principal: principal.value.principal });
            }
        }
        Err(Error::contended())
    }

    /// A client of the tenant itself: a client of the platform acts for no hook.
    async fn hook_client(&self, tenant: &TenantId, client_id: &str) -> Result<(Stored<Client>, Stored<Principal>)> {
        let missing = || Error::invalid("/client_id", "is not a client of this tenant");
        if !id::is_valid(ids::CLIENT, client_id) {
            return Err(missing());
        }
        let store = &self.shared.store;
        let client = store.client(Some(tenant), client_id).await?.ok_or_else(missing)?;
        let principal = store.principal(Some(tenant), &client.value.principal).await?.ok_or_else(missing)?;
        Ok((client, principal))
    }

    async fn hook_claims(&self, client: &Client, principal: &Principal, here: &Scope, now: Moment) -> Result<Claims> {
        let roles = self.shared.roles_of(principal).await?;
        let mut grants = grants::resolve(principal, &roles);
        grants.retain(|grant| Scope::from(grant.scope.clone()).covers(here));
        // What holds in the whole tenant holds for this token at the hook's project.
        for grant in &mut grants {
            grant.scope = here.clone().into();
            grant.permissions.retain(|permission| PERMISSIONS.iter().any(|kept| kept.name() == permission));
        }
        grants.retain(|grant| !grant.permissions.is_empty());
        if !grants::hold(&grants, Permission::JobsSubmit, here) {
            return Err(Error::denied(format!(
                "The hook's service account lacks the permission jobs.submit at {here}."
            )));
        }
        let issued_at = self.issued_at(&principal.principal, now).await?;
        let end = now.plus(LIFETIME);
        let end = client.expires_at.map_or(end, |expiry| end.min(expiry));
        Ok(Claims {
            iss: self.issuer.clone(),
            sub: principal.principal.clone(),
            aud: AUDIENCE.to_owned(),
            exp: end.seconds(),
            iat: now.seconds(),
            iat_us: Some(issued_at.micros()),
            jti: id::new(ids::TOKEN),
            client_id: client.client_id.clone(),
            name: client.name.clone(),
            tenant: client.tenant.clone(),
            scope: scope::join(grants::permissions(&grants)),
            amr: AUTHENTICATED_BY.to_owned(),
            grants,
        })
    }
}
