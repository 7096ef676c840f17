//! Principals that are not there to ask, as the callers they would be.

use runwarden_kit::caller::{Caller, Grant};
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result};

/// Who wants to do something, as auth knows it now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Principal {
    /// The principal.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The OAuth client it asked with.
    pub client_id: String,
    /// The tenant it belongs to; empty for the platform's own.
    pub tenant: String,
    /// How it proved itself when it asked.
    pub authenticated_by: String,
    /// What it holds now.
    pub grants: Vec<Grant>,
}

impl Principal {
    /// The caller it would be in a tenant. As a caller, it has no rights outside of its own, whatever is granted.
    ///
    /// # Errors
    /// When it is nobody, or belongs to another tenant.
    pub fn as_caller_in(self, tenant: &TenantId) -> Result<Caller> {
        if self.id.is_empty() {
            return Err(Error::invalid("/principal/id", "is missing"));
        }
        let home = Some(self.tenant).filter(|tenant| !tenant.is_empty());
        if home.as_ref().is_some_and(|home| home != tenant.as_str()) {
            return Err(Error::invalid("/principal/tenant", "is not the tenant of the job"));
        }
        let home = home.map(|_| tenant.clone());
        let mut grants = self.grants;
        if home.is_some() {
            grants.retain(|grant| grant.scope.tenant == home);
        }
        Ok(Caller {
            principal: self.id,
            name: self.name,
            client_id: self.client_id,
            home_tenant: home,
            acting_tenant: Some(tenant.clone()),
            authenticated_by: self.authenticated_by,
            // There is no token, and nothing of one gets into a decision.
            token_id: String::new(),
            issued_at: Moment::from_micros(0),
            expires_at: Moment::from_micros(0),
            grants,
        })
    }
}
