//! The platform is never left without an administrator: at least one platform client stays enabled, never expires
//! and holds platform-admin.

use runwarden_engines::config::Change;
use runwarden_kit::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::principal::Principal;
use crate::role::PLATFORM_ADMIN;
use crate::store::{self, Store, keys};

/// What serialises changes to platform clients: whoever takes something away writes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PlatformHead {
    /// The client that was made at the first start.
    pub(crate) bootstrap_client: String,
}

/// A platform client and its principal as they are to be; `None` when they are to go.
pub(crate) struct After<'a> {
    /// Whose.
    pub(crate) principal_id: &'a str,
    /// The client and the principal after the change.
    pub(crate) state: Option<(&'a Client, &'a Principal)>,
}

/// Adds to a change that it happens only if an administrator remains after it.
pub(crate) async fn keep_an_administrator(store: &Store, change: &mut Change, after: &After<'_>) -> Result<()> {
    let Some(head) = store.get::<PlatformHead>(keys::PLATFORM_HEAD).await? else {
        return Err(Error::internal(anyhow::anyhow!("there are platform clients but no platform head")));
    };
    let clients = store.list_all::<Client>(&keys::clients(None)).await?;
    let principals = store.list_all::<Principal>(&keys::principals(None)).await?;
    let others = clients.iter().any(|(_, client)| {
        client.value.principal != after.principal_id
            && principals.iter().any(|(_, principal)| {
                principal.value.principal == client.value.principal
                    && lasting_administrator(&client.value, &principal.value)
            })
    });
    let itself = after.state.is_some_and(|(client, principal)| lasting_administrator(client, principal));
    if !others && !itself {
        return Err(Error::conflict(
            "This is the last platform-admin that never expires; without it nobody could manage the platform. Make another one first.",
        ));
    }
    change.at(keys::PLATFORM_HEAD, head.revision);
    store::put(change, keys::PLATFORM_HEAD, &head.value)
}

fn lasting_administrator(client: &Client, principal: &Principal) -> bool {
    !client.disabled && client.expires_at.is_none() && principal.has(PLATFORM_ADMIN, None)
}
