//! Credentials that no controller refers to: put away under a name before the controller that needs them exists, or
//! left behind by one that is gone.
//!
//! The secret service cannot take part in a commit here. So each name is written down as an orphan before the secret
//! is stored, struck off in the commit that makes a controller refer to it, and written down again in the commit that
//! makes none refer to it. Whatever dies in between leaves an orphan, which the next change in the tenant removes.

use std::time::Duration;

use runwarden_engines::config::{Change, Commit};
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::port::SecretKeeper;
use crate::store::{Catalog, Stored, key, put};

/// How old an orphan must be: a younger one may belong to a request that is still running.
const GRACE: Duration = Duration::from_secs(600);
/// How many are removed at once.
const AT_ONCE: usize = 20;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Orphan {
    secret_name: String,
    since: Moment,
    /// Somebody is removing the secret: no controller may refer to it any more.
    doomed: bool,
}

/// Writes a name down before its secret is stored. The answer is struck off in the commit that uses the secret.
pub(super) async fn expect(catalog: &Catalog, tenant: &TenantId, secret_name: &str) -> Result<Stored<Orphan>> {
    let value = Orphan { secret_name: secret_name.to_owned(), since: catalog.now(), doomed: false };
    let key = key::orphan(tenant, secret_name);
    let mut change = Change::new();
    change.absent(&key);
    put(&mut change, &key, &value)?;
    match catalog.commit_silently(change).await? {
        Commit::Done { revision } => Ok(Stored { key, value, revision }),
        Commit::Refused { .. } => Err(Error::changed("controller")),
    }
}

/// Strikes the name off, in the commit that makes a controller refer to it. Refuses if somebody is removing it.
pub(super) fn adopt(change: &mut Change, orphan: &Stored<Orphan>) {
    change.at(&orphan.key, orphan.revision).delete(&orphan.key);
}

/// Writes a name down, in the commit that makes no controller refer to it. It may be removed at once.
pub(super) fn abandon(change: &mut Change, tenant: &TenantId, secret_name: &str) -> Result<()> {
    let value = Orphan { secret_name: secret_name.to_owned(), since: Moment::from_micros(0), doomed: false };
    put(change, key::orphan(tenant, secret_name), &value)
}

/// Removes one orphan now, because the request it belonged to failed.
pub(super) async fn give_up(catalog: &Catalog, secrets: &dyn SecretKeeper, tenant: &TenantId, orphan: Stored<Orphan>) {
    if let Err(error) = remove(catalog, secrets, tenant, orphan).await {
        tracing::warn!(%error, "a credential that nothing refers to stays until the next change in its tenant");
    }
}

/// Removes what nothing refers to. A failure here does not fail the request that it accompanies: the next one retries.
pub(super) async fn sweep(catalog: &Catalog, secrets: &dyn SecretKeeper, tenant: &TenantId) {
    let swept = async {
        for orphan in catalog.list::<Orphan>(&key::orphans(tenant), None, AT_ONCE).await? {
            if orphan.value.doomed || catalog.now().since(orphan.value.since) >= GRACE {
                remove(catalog, secrets, tenant, orphan).await?;
            }
        }
        Ok::<_, runwarden_kit::Error>(())
    };
    if let Err(error) = swept.await {
        tracing::warn!(%error, "credentials that nothing refers to stay until the next change in their tenant");
    }
}

async fn remove(
    catalog: &Catalog,
    secrets: &dyn SecretKeeper,
    tenant: &TenantId,
    orphan: Stored<Orphan>,
) -> Result<()> {
    let Stored { key, mut value, mut revision } = orphan;
    if !value.doomed {
        value.doomed = true;
        let mut change = Change::new();
        change.at(&key, revision);
        put(&mut change, &key, &value)?;
        match catalog.commit_silently(change).await? {
            Commit::Done { revision: now } => revision = now,
            // It was adopted, or somebody else removes it.
            Commit::Refused { .. } => return Ok(()),
        }
    }
    secrets.delete(tenant, &value.secret_name).await?;
    let mut change = Change::new();
    change.at(&key, revision).delete(&key);
    catalog.commit_silently(change).await?;
    Ok(())
}
