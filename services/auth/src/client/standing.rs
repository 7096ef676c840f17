//! The standing of a client that submitted something earlier: what it may still do, long after its token expired.

use std::collections::BTreeSet;
use std::sync::Arc;

use runwarden_kit::caller::{Grant, Scope};
use runwarden_kit::contract::Lapse;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result, id, slug};

use crate::ids;
use crate::role::grants;
use crate::shared::Shared;

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The client.
    pub(crate) client_id: String,
    /// The principal it stood for then.
    pub(crate) principal: String,
    /// Where.
    pub(crate) tenant: TenantId,
    /// Where in the tenant.
    pub(crate) project: String,
    /// The permission that was needed.
    pub(crate) permission: Permission,
    /// What the token was narrowed to there; empty if it was not.
    pub(crate) narrowed_to: BTreeSet<String>,
}

/// The standing of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It could ask now.
    Holds {
        /// Its name.
        name: String,
        /// Its tenant; none for the platform's own.
        tenant: Option<TenantId>,
        /// Its permissions there.
        grants: Vec<Grant>,
    },
    /// It could not.
    Lapsed(Lapse),
}

/// Looks clients up. Everything is read from the store and nothing is remembered: what was revoked before the question
/// is in the answer.
pub(crate) struct Standings {
    pub(crate) shared: Arc<Shared>,
}

impl Standings {
    /// The standing of a client.
    ///
    /// # Errors
    /// If the request is invalid, or the answer cannot be determined now: neither is a lapse.
    pub(crate) async fn check(&self, asked: &Asked) -> Result<Standing> {
        slug::check("/project", &asked.project)?;
        for (pointer, kind, given) in
            [("/client_id", ids::CLIENT, &asked.client_id), ("/principal", ids::PRINCIPAL, &asked.principal)]
        {
            if !id::is_valid(kind, given) {
                return Err(Error::invalid(pointer, "is not an id"));
            }
        }
        let lapsed = |lapse| Ok(Standing::Lapsed(lapse));
        let Some(owner) = self.shared.store.client_owner(&asked.client_id).await? else { return lapsed(Lapse::Gone) };
        let home = owner.tenant.as_ref();
        let client = self.shared.store.client(home, &asked.client_id).await?.map(|stored| stored.value);
        let principal = self.shared.store.principal(home, &asked.principal).await?.map(|stored| stored.value);
        let (Some(client), Some(principal)) = (client, principal) else { return lapsed(Lapse::Gone) };
        // A tenant's client acts for its own tenant; the platform's for any.
        if client.principal != principal.principal || home.is_some_and(|home| *home != asked.tenant) {
            return lapsed(Lapse::Gone);
        }
        if client.disabled {
            return lapsed(Lapse::Disabled);
        }
        if !client.works_at(self.shared.now()) {
            return lapsed(Lapse::Expired);
        }
        let place = self.shared.scopes.check(&asked.tenant, Some(&asked.project)).await?;
        if !place.tenant_exists || place.tenant_disabled {
            return lapsed(Lapse::TenantClosed);
        }
        let here = Scope::project(&asked.tenant, &asked.project);
        let roles = self.shared.roles_of(&principal).await?;
        let mut held = grants::resolve(&principal, &roles);
        held.retain(|grant| Scope::from(grant.scope.clone()).covers(&here));
        if !asked.narrowed_to.is_empty() {
            held.iter_mut().for_each(|grant| grant.permissions.retain(|name| asked.narrowed_to.contains(name)));
            held.retain(|grant| !grant.permissions.is_empty());
        }
        if !place.project_exists || !grants::hold(&held, asked.permission, &here) {
            return lapsed(Lapse::NotPermitted);
        }
        Ok(Standing::Holds { name: client.name, tenant: client.tenant, grants: held })
    }
}
