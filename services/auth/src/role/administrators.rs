//! Nobody is locked out: the platform always keeps an administrator that never expires, and a tenant's own principals
//! cannot take away its last one. The platform can, so that a tenant whose administrator was compromised can be recovered.

use runwarden_engines::config::Change;
use runwarden_kit::caller::Caller;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::client::record::Client;
use crate::role::principal::Principal;
use crate::role::record::{PLATFORM_ADMIN, TENANT_ADMIN};
use crate::store::{self, Store, keys};

/// Serialises changes to platform clients: every change that takes rights away writes this record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PlatformHead {
    /// The client that was made at the first start.
    pub(crate) bootstrap_client: String,
}

/// What serialises taking administrators away from a tenant.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct TenantHead {}

/// A client and its principal, before a change or after it.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a> {
    /// The client.
    pub(crate) client: &'a Client,
    /// Its principal.
    pub(crate) principal: &'a Principal,
}

/// How lasting a principal's administrator role is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// None, or one that cannot obtain tokens.
    No,
    /// One that expires.
    Expiring,
    /// One that stays.
    Lasting,
}

/// Whether a principal administers its tenant, or the platform. Held in a tenant, the platform's role is no less than
/// the tenant's.
fn administers(principal: &Principal) -> bool {
    principal.has(PLATFORM_ADMIN, None) || (principal.tenant.is_some() && principal.has(TENANT_ADMIN, None))
}

impl Pair<'_> {
    fn standing(&self, now: Moment) -> Standing {
        match (administers(self.principal) && self.client.works_at(now), self.client.expires_at) {
            (false, _) => Standing::No,
            (true, Some(_)) => Standing::Expiring,
            (true, None) => Standing::Lasting,
        }
    }
}

/// Adds to a change that it happens only if an administrator remains that is as good as the best before it. `after` is
/// what becomes of `before`; `None` if it goes.
pub(crate) async fn keep_one(
    store: &Store,
    change: &mut Change,
    caller: &Caller,
    now: Moment,
    before: Pair<'_>,
    after: Option<Pair<'_>>,
) -> Result<()> {
    let tenant = before.client.tenant.as_ref();
    let itself = after.map_or(Standing::No, |after| after.standing(now));
    let loses = itself < before.standing(now);
    let Some(tenant) = tenant else {
        // Changes to platform clients are few: all of them queue here.
        return keep_one_on_platform(store, change, now, before, itself).await;
    };
    if !loses || caller.home_tenant.is_none() {
        return Ok(());
    }
    let key = keys::tenant_head(tenant);
    match store.get::<TenantHead>(&key).await? {
        Some(head) => change.at(&key, head.revision),
        None => change.absent(&key),
    };
    store::put(change, key, &TenantHead {})?;
    if best_other(store, Some(tenant), &before.client.principal, now).await?.max(itself) < before.standing(now) {
        return Err(Error::conflict(
            "This is the tenant's last administrator that never expires, or its last one. Create another first, or ask the platform's administrator.",
        ));
    }
    Ok(())
}

async fn keep_one_on_platform(
    store: &Store,
    change: &mut Change,
    now: Moment,
    before: Pair<'_>,
    itself: Standing,
) -> Result<()> {
    let Some(head) = store.get::<PlatformHead>(keys::PLATFORM_HEAD).await? else {
        return Err(Error::internal(anyhow::anyhow!("there are platform clients but no platform head")));
    };
    if best_other(store, None, &before.client.principal, now).await?.max(itself) < Standing::Lasting {
        return Err(Error::conflict(
            "This is the last platform-admin that never expires; without it nobody could manage the platform. Create another one first.",
        ));
    }
    change.at(keys::PLATFORM_HEAD, head.revision);
    store::put(change, keys::PLATFORM_HEAD, &head.value)
}

/// The best administrator of a tenant, or of the platform, but one.
async fn best_other(store: &Store, tenant: Option<&TenantId>, but: &str, now: Moment) -> Result<Standing> {
    let principals = store.list_all::<Principal>(&keys::principals(tenant)).await?;
    let mut best = Standing::No;
    for principal in principals.into_iter().map(|stored| stored.value).filter(|other| other.principal != but) {
        if !administers(&principal) {
            continue;
        }
        let Some(client) = store.client(tenant, &principal.client_id).await? else { continue };
        best = best.max(Pair { client: &client.value, principal: &principal }.standing(now));
    }
    Ok(best)
}
