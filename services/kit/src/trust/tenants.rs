//! Judging by the tenant: one that is not there is not found, and one that is disabled is refused.

use std::time::Instant;

use super::{COME_BACK, Trust};
use crate::caller::Caller;
use crate::error::{Error, Result};
use crate::reason::ErrorReason;

/// The message for a disabled tenant's principals.
pub(super) fn disabled() -> Error {
    Error::new(ErrorReason::TenantDisabled, "The tenant is disabled.")
}

impl Trust {
    /// Lets a caller act in the tenant it acts for, if it names one. `for_disabled` says whether the platform may make
    /// this call for a tenant that is disabled.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such tenant, `TENANT_DISABLED`, or `UNAVAILABLE` if neither is known.
    pub async fn admit(&self, caller: &Caller, for_disabled: bool) -> Result<()> {
        let Some(tenant) = caller.tenant() else { return Ok(()) };
        if !self.require_tenant(tenant).await? {
            return Ok(());
        }
        if caller.home_tenant.is_some() {
            return Err(disabled());
        }
        if for_disabled {
            return Ok(());
        }
        Err(Error::new(
            ErrorReason::TenantDisabled,
            "The tenant is disabled. Until it is enabled you can read, stop jobs and remove things in it, but not add or change anything.",
        ))
    }

    /// Demands that a tenant exists, and answers whether it is disabled. One that was made a moment ago is found: a name
    /// that is not known is asked for.
    ///
    /// # Errors
    /// `NOT_FOUND`, or `UNAVAILABLE` when that is not known.
    pub async fn require_tenant(&self, name: &str) -> Result<bool> {
        if self.source.is_none() {
            return Ok(false);
        }
        if let Some(disabled) = self.tenant(name) {
            return if self.is_young(self.confirmed().tenants) { Ok(disabled) } else { Err(cannot_tell()) };
        }
        self.look_for_tenant(name).await?;
        self.tenant(name).ok_or_else(|| Error::not_found("tenant"))
    }

    /// Whether the list of tenants is as it was a moment ago. If not, nothing is known of any tenant.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.source.is_none() || self.is_young(self.confirmed().tenants)
    }

    /// Whether the list of tenants has arrived at all.
    #[must_use]
    pub fn knows_tenants(&self) -> bool {
        self.source.is_none() || self.confirmed().tenants.is_some()
    }

    /// Whether a tenant is disabled, if it is known.
    fn tenant(&self, name: &str) -> Option<bool> {
        self.known.load().as_ref().and_then(|known| known.tenants.get(name).copied())
    }

    /// Asks for a tenant that is not known, together with all others who wait for the same.
    async fn look_for_tenant(&self, name: &str) -> Result<()> {
        let _place = self.waiting_for_tenant.try_acquire().map_err(|_| cannot_tell())?;
        let arrived = (self.ticks)();
        let mut asked = self.asking.lock().await;
        // An answer to another's question counts only if it tells how things were since: auth asks no further about a
        // tenant that it knows.
        let since = |at: Option<Instant>| at.is_some_and(|at| at >= arrived);
        if since(asked.for_tenant) && since(self.confirmed().tenants) {
            return Ok(());
        }
        self.rest(asked.for_tenant).await;
        self.ask(&mut asked, name).await.map_err(|error| cannot_tell().with_cause(error))
    }
}

pub(super) fn cannot_tell() -> Error {
    Error::unavailable("Whether the tenant exists and is enabled cannot be found out right now.")
        .with_retry_after(COME_BACK)
}
