//! The caller token: a JWT access token (RFC 9068) and how every service verifies it by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};

use crate::caller::{Caller, Grant};
use crate::clock::{Clock as _, Moment, SystemClock};
use crate::error::{Error, Result};
use crate::reason::ErrorReason;
use crate::revoked::Revoked;
use crate::tenant::TenantId;
use seen::Seen;

mod seen;

/// The audience of caller tokens.
pub const AUDIENCE: &str = "runwarden";
/// The media type in the token's header (RFC 9068 section 2.1).
pub const TYPE: &str = "at+jwt";
/// Clocks of services may differ by this many seconds.
pub const LEEWAY_SECONDS: u64 = 5;
/// No token lives longer, whatever is configured: what outlives this has nothing left to verify or revoke.
pub const LONGEST_TOKEN: Duration = Duration::from_secs(60 * 60);
/// Longer tokens are not looked at.
pub const MAX_LENGTH: usize = 16 * 1024;

/// The claims of a caller token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// The principal.
    pub sub: String,
    /// Always [`AUDIENCE`].
    pub aud: String,
    /// When it expires, seconds since 1970.
    pub exp: i64,
    /// When it was issued, seconds since 1970.
    pub iat: i64,
    /// When it was issued, microseconds since 1970: revocations compare with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat_us: Option<i64>,
    /// The token's id.
    pub jti: String,
    /// The OAuth client.
    pub client_id: String,
    /// The principal's name.
    #[serde(default)]
    pub name: String,
    /// The principal's tenant; absent for the platform's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Permissions, space-separated.
    #[serde(default)]
    pub scope: String,
    /// How the principal proved itself.
    pub amr: String,
    /// What it may, where.
    #[serde(default)]
    pub grants: Vec<Grant>,
}

impl Claims {
    /// When it was issued, as finely as it says.
    #[must_use]
    pub fn issued_at(&self) -> Moment {
        Moment::from_micros(self.iat_us.unwrap_or_else(|| self.iat.saturating_mul(1_000_000)))
    }

    /// The caller these claims describe. A tenant's principal has no rights outside of its tenant, whatever is granted.
    #[must_use]
    pub fn into_caller(mut self) -> Caller {
        let issued_at = self.issued_at();
        if self.tenant.is_some() {
            self.grants.retain(|grant| grant.scope.tenant == self.tenant);
        }
        Caller {
            principal: self.sub,
            name: self.name,
            client_id: self.client_id,
            acting_tenant: self.tenant.clone(),
            home_tenant: self.tenant,
            authenticated_by: self.amr,
            token_id: self.jti,
            issued_at,
            expires_at: Moment::from_micros(self.exp.saturating_mul(1_000_000)),
            grants: self.grants,
        }
    }
}

/// What it takes to verify tokens: keys by id, the issuer, and what was revoked.
#[derive(Clone, Default)]
pub struct Verifier {
    /// The issuer that tokens must name.
    pub issuer: String,
    keys: Arc<HashMap<String, (Algorithm, DecodingKey)>>,
    /// What these keys, and no others, were seen to have signed.
    seen: Arc<Seen>,
    /// What has ended before its time.
    pub revoked: Revoked,
}

impl Verifier {
    /// From a JSON Web Key Set (RFC 7517). Keys that are not signature keys of an accepted algorithm are left out.
    ///
    /// # Errors
    /// When the set is no JWKS.
    pub fn new(issuer: &str, jwks_json: &str) -> anyhow::Result<Self> {
        let set: JwkSet = serde_json::from_str(jwks_json)?;
        let mut keys = HashMap::new();
        for jwk in &set.keys {
            let Some(kid) = jwk.common.key_id.clone() else { continue };
            let algorithm = match jwk.common.key_algorithm.map(|a| a.to_string()).as_deref() {
                Some("RS256") => Algorithm::RS256,
                Some("ES256") => Algorithm::ES256,
                Some("EdDSA") => Algorithm::EdDSA,
                _ => continue,
            };
            keys.insert(kid, (algorithm, DecodingKey::from_jwk(jwk)?));
        }
        Ok(Self { issuer: issuer.to_owned(), keys: Arc::new(keys), seen: Arc::default(), revoked: Revoked::default() })
    }

    /// Whether the key that signed a token is known. A token without a readable header has none.
    #[must_use]
    pub(crate) fn knows_key_of(&self, token: &str) -> bool {
        key_id(token).is_some_and(|kid| self.keys.contains_key(&kid))
    }

    /// Who calls with a token that was verified less than a minute ago. Its signature is not verified again; whether it
    /// has expired or was revoked is judged now.
    pub(crate) fn recall(&self, token: &str) -> Option<Result<Arc<Caller>>> {
        let caller = self.seen.find(token, Instant::now())?;
        Some(self.check(&caller, SystemClock.now()).map(|()| caller))
    }

    /// Verifies a token, and remembers whose it is.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub(crate) fn caller(&self, token: &str) -> Result<Arc<Caller>> {
        let caller = Arc::new(self.verify(token)?.into_caller());
        self.seen.keep(token, &caller, Instant::now());
        Ok(caller)
    }

    /// Whether a token that this caller showed before still stands.
    fn check(&self, caller: &Caller, now: Moment) -> Result<()> {
        // In whole seconds, as when the token is read.
        let second = now.micros().div_euclid(1_000_000) * 1_000_000;
        if Moment::from_micros(second) > caller.expires_at.plus(Duration::from_secs(LEEWAY_SECONDS)) {
            return Err(expired());
        }
        if self.revoked.covers(&caller.token_id, &caller.principal, caller.issued_at) {
            return Err(revoked());
        }
        Ok(())
    }

    /// Verifies a token: form, type, algorithm of its key, signature, issuer, audience, expiry, revocation.
    ///
    /// # Errors
    /// `TOKEN_EXPIRED`, `TOKEN_REVOKED`, or `UNAUTHENTICATED` without saying which check failed.
    pub fn verify(&self, token: &str) -> Result<Claims> {
        let invalid = || Error::new(ErrorReason::Unauthenticated, "The access token is not valid here.");
        if token.len() > MAX_LENGTH {
            return Err(invalid());
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid())?;
        // What `crit` names must be understood (RFC 7515 section 4.1.11), and nothing is.
        if header.typ.as_deref().is_none_or(|typ| !typ.eq_ignore_ascii_case(TYPE)) || header.crit.is_some() {
            return Err(invalid());
        }
        let (algorithm, key) = header.kid.as_ref().and_then(|kid| self.keys.get(kid)).ok_or_else(invalid)?;
        // The key decides the algorithm, never the token.
        if header.alg != *algorithm {
            return Err(invalid());
        }
        let mut validation = Validation::new(*algorithm);
        validation.leeway = LEEWAY_SECONDS;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let claims = jsonwebtoken::decode::<Claims>(token, key, &validation)
            .map_err(|e| match e.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => expired(),
                _ => invalid(),
            })?
            .claims;
        if self.revoked.covers(&claims.jti, &claims.sub, claims.issued_at()) {
            return Err(revoked());
        }
        Ok(claims)
    }
}

fn expired() -> Error {
    Error::new(ErrorReason::TokenExpired, "The access token has expired.")
}

fn revoked() -> Error {
    Error::new(ErrorReason::TokenRevoked, "The access token was revoked.")
}

/// The id of the key that a token says it is signed with, if it has the form of a caller token at all.
pub(crate) fn key_id(token: &str) -> Option<String> {
    if token.len() > MAX_LENGTH {
        return None;
    }
    let header = jsonwebtoken::decode_header(token).ok()?;
    header.kid.filter(|_| header.typ.is_some_and(|typ| typ.eq_ignore_ascii_case(TYPE)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Scope;
    use crate::permission::Permission;

    #[test]
    fn the_rights_of_a_tenant_s_principal_end_at_its_tenant() {
        let grant =
            |at: Scope| Grant { role: "any".into(), scope: at.into(), permissions: ["jobs.read".to_owned()].into() };
        let claims = |tenant: Option<&str>| Claims {
            iss: "i".into(),
            sub: "sa_1".into(),
            aud: AUDIENCE.into(),
            exp: 1,
            iat: 0,
            iat_us: None,
            jti: "tok_1".into(),
            client_id: "client_1".into(),
            name: String::new(),
            tenant: tenant.map(TenantId::trusted),
            scope: String::new(),
            amr: "client_credentials".into(),
            grants: vec![
                grant(Scope::platform()),
                grant(Scope::tenant(&TenantId::trusted("umbrella"))),
                grant(Scope::project(&TenantId::trusted("acme"), "web")),
            ],
        };
        let own = claims(Some("acme")).into_caller();
        assert!(own.holds(Permission::JobsRead, &Scope::project(&TenantId::trusted("acme"), "web")));
        assert!(
            !own.holds(Permission::JobsRead, &Scope::platform())
                && !own.holds(Permission::JobsRead, &Scope::tenant(&TenantId::trusted("umbrella")))
        );
        assert!(claims(None).into_caller().holds(Permission::JobsRead, &Scope::tenant(&TenantId::trusted("umbrella"))));
    }

    #[test]
    fn a_token_that_is_remembered_expires_like_any_other() {
        let expires_at = Moment::from_micros(1_800_000_000_000_000);
        let caller = Caller { expires_at, ..Caller::example(&[], Scope::platform()) };
        let verifier = Verifier::default();
        let at = |seconds: u64| verifier.check(&caller, caller.expires_at.plus(Duration::from_secs(seconds)));
        assert!(at(0).is_ok() && at(LEEWAY_SECONDS).is_ok());
        assert_eq!(at(LEEWAY_SECONDS + 1).unwrap_err().reason(), ErrorReason::TokenExpired);
    }
}
