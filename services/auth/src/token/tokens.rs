//! Issuing, introspecting and revoking caller tokens.

use std::sync::Arc;
use std::time::Duration;

use runwarden_engines::config::Change;
use runwarden_kit::audit::EntryBuilder;
use runwarden_kit::caller::Scope;
use runwarden_kit::clock::Moment;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::token::{AUDIENCE, Claims};
use runwarden_kit::{Error, ErrorReason, Result, id};
use serde_json::json;

use super::narrow::narrow;
use super::scope::{self, InvalidScope, RequestedScope};
use crate::audit;
use crate::client::prove::{Proof, Proven, Prover};
use crate::ids;
use crate::key::keyring::Keyring;
use crate::role::grants;
use crate::role::principal::Principal;
use crate::shared::Shared;
use crate::store::{self, Stored, TRIES, keys};
use crate::trust::revocation::{self, BUDGET, Revocation};

/// Longer tokens do not pass as a header through everything between a client and us.
const LONGEST: usize = 12 * 1024;

/// A token that was issued.
pub(crate) struct Issued {
    /// The signed JWT.
    pub(crate) access_token: String,
    /// Its lifetime in seconds.
    pub(crate) expires_in: i64,
    /// The granted scope.
    pub(crate) scope: String,
}

/// Issues and judges tokens.
pub(crate) struct Tokens {
    pub(crate) shared: Arc<Shared>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) prover: Arc<Prover>,
    /// The issuer that tokens name.
    pub(crate) issuer: String,
    /// How long tokens live.
    pub(crate) lifetime: Duration,
}

impl Tokens {
    /// Turns a proof into a token. The record of it and the token's right to exist are one commit: a client that is
    /// disabled, or loses a role, at the same moment gets no token with what it has lost.
    pub(crate) async fn issue(&self, proof: Proof<'_>, scope: &str) -> Result<Issued> {
        for _ in 0..TRIES {
            // Before anything is read.
            let now = self.shared.now();
            let proven = self.prover.prove(proof).await?;
            self.prover.require_open(proof, &proven).await?;
            let requested = RequestedScope::parse(scope).map_err(|error| invalid_scope(&error))?;
            let principal = self.principal_of(&proven).await?;
            let claims = self.claims(&proven, &principal.value, &requested, now).await?;
            let key = self.keyring.active()?;
            let issued = Issued {
                expires_in: claims.exp - claims.iat,
                scope: claims.scope.clone(),
                access_token: String::new(),
            };
            let (change, entry) = self.note(&proven, &principal, &claims).await?;
            let access_token = tokio::task::spawn_blocking(move || key.sign(&claims))
                .await
                .map_err(Error::internal)?
                .map_err(Error::internal)?;
            if access_token.len() > LONGEST {
                return Err(Error::invalid(
                    "/scope",
                    "A token with everything this client holds would be too long. Ask for fewer permissions with the scope parameter.",
                )
                .with_metadata("oauth_error", "invalid_scope"));
            }
            if self.shared.store.commit(change, &entry.build()).await?.is_done() {
                metrics::counter!("runwarden_auth_tokens_issued_total").increment(1);
                return Ok(Issued { access_token, ..issued });
            }
        }
        Err(Error::contended())
    }

    async fn principal_of(&self, proven: &Proven) -> Result<Stored<Principal>> {
        let client = &proven.client.value;
        self.shared
            .store
            .principal(client.tenant.as_ref(), &client.principal)
            .await?
            // Both go in one commit: the client was deleted a moment ago.
            .ok_or_else(|| {
                Error::new(ErrorReason::InvalidClient, "The client id and secret do not match an enabled client.")
                    .with_metadata("oauth_error", "invalid_client")
            })
    }

    async fn claims(
        &self,
        proven: &Proven,
        principal: &Principal,
        requested: &RequestedScope,
        now: Moment,
    ) -> Result<Claims> {
        let client = &proven.client.value;
        let roles = self.shared.roles_of(principal).await?;
        let grants = narrow(grants::resolve(principal, &roles), requested).map_err(|error| invalid_scope(&error))?;
        let issued_at = self.issued_at(&principal.principal, now).await?;
        // By the clock, however far ahead the token had to be dated.
        let end = now.plus(self.lifetime);
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
            amr: "client_credentials".to_owned(),
            grants,
        })
    }

    /// The issue time that a token carries to be distinguished from revoked ones: now, but never at or before a
    /// revocation that was made already, which may be dated ahead.
    pub(super) async fn issued_at(&self, principal: &str, now: Moment) -> Result<Moment> {
        let ended = self.shared.store.get::<Revocation>(&keys::principal_revocation(principal)).await?;
        let until = ended.and_then(|ended| ended.value.issued_until());
        Ok(until.map_or(now, |until| now.max(until.plus(Duration::from_micros(1)))))
    }

    async fn note(
        &self,
        proven: &Proven,
        principal: &Stored<Principal>,
        claims: &Claims,
    ) -> Result<(Change, EntryBuilder)> {
        let client = &proven.client;
        let tenant = client.value.tenant.as_ref();
        let client_id = &client.value.client_id;
        let mut change = Change::new();
        change
            .at(keys::client(tenant, client_id), client.revision)
            .at(keys::principal(tenant, &principal.value.principal), principal.revision);
        let mut uses = self.shared.store.secret_uses(client_id).await?;
        if uses.note(&client.value, &proven.secret_id, self.shared.now()) {
            store::put(&mut change, keys::secret_uses(client_id), &uses)?;
        }
        revocation::mark_issued(&self.shared.store, &mut change, &principal.value.principal, claims.issued_at())
            .await?;
        let entry = self
            .shared
            .entry("token.issue", "token", &claims.jti)
            .tenant(tenant.map_or("", TenantId::as_str))
            .actor(audit::proven(&client.value))
            .details(&json!({
                "scope": claims.scope,
                "expires_at": Moment::from_micros(claims.exp.saturating_mul(1_000_000)).rfc3339(),
                "secret_id": proven.secret_id,
            }));
        Ok((change, entry))
    }

    /// The current state of a token, if the asking client may know: `None` for every token that is not valid.
    pub(crate) async fn introspect(&self, proof: Proof<'_>, token: &str) -> Result<Option<Claims>> {
        let proven = self.prover.prove(proof).await?;
        self.prover.require_open(proof, &proven).await?;
        let trust = &self.shared.trust;
        let Some(claims) = trust.verify(token).await? else {
            return Ok(None);
        };
        if claims.tenant.as_ref().is_some_and(|tenant| !trust.tenants().is_open(tenant)) {
            return Ok(None);
        }
        if claims.tenant == proven.client.value.tenant {
            return Ok(Some(claims));
        }
        // Another tenant's token counts as invalid, except for callers who may introspect all tokens.
        let principal = self.principal_of(&proven).await?.value;
        let roles = self.shared.roles_of(&principal).await?;
        let held = grants::resolve(&principal, &roles);
        let may = grants::hold(&held, Permission::TokensIntrospect, &Scope::platform());
        Ok(may.then_some(claims))
    }

    /// Revokes a token of the asking client. A token that is already invalid, or was never issued here, is not an
    /// error.
    ///
    /// Every service keeps each ended token until it would have expired, so a client ends [`BUDGET`] of them one by
    /// one; with the next it ends all it has. Several at the same moment may go over that by their number.
    pub(crate) async fn revoke(&self, proof: Proof<'_>, token: &str) -> Result<()> {
        let proven = self.prover.prove(proof).await?;
        let client = &proven.client.value;
        let Some(claims) = self.shared.trust.verify(token).await? else {
            return Ok(());
        };
        if claims.client_id != client.client_id {
            return Err(Error::denied("The token was issued to another client."));
        }
        for _ in 0..TRIES {
            let (ended, latest) = self.shared.trust.ended_tokens_of(&claims.sub).await?;
            let all = ended >= BUDGET;
            let mut change = Change::new();
            if all {
                // Those that were ended one by one are covered too, and forgotten.
                let until = self.shared.now().max(claims.issued_at()).max(latest.unwrap_or(claims.issued_at()));
                revocation::end_principal(&self.shared.store, &mut change, &claims.sub, until).await?;
            } else {
                revocation::end_token(&mut change, &claims)?;
            }
            let entry = self
                .shared
                .entry("token.revoke", "token", &claims.jti)
                .tenant(client.tenant.as_ref().map_or("", TenantId::as_str))
                .actor(audit::proven(client))
                .details(&json!({ "all_tokens_of_the_client": all }));
            if self.shared.store.commit(change, &entry.build()).await?.is_done() {
                self.shared.trust.changed();
                return Ok(());
            }
        }
        Err(Error::contended())
    }
}

fn invalid_scope(error: &InvalidScope) -> Error {
    Error::invalid("/scope", error.to_string()).with_metadata("oauth_error", "invalid_scope")
}
