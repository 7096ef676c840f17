//! Changing and removing clients.

use std::collections::BTreeMap;

use runwarden_engines::config::{Change, Commit};
use runwarden_kit::caller::Caller;
use runwarden_kit::clock::Moment;
use runwarden_kit::permission::Permission;
use runwarden_kit::{Error, Result};
use serde_json::json;

use crate::client::clients::{Clients, WithSecret, check_expiry};
use crate::client::record::{Client, ClientView};
use crate::client::secret::{self, MAX_SECRETS};
use crate::once::Once;
use crate::role::administrators::{self, Pair};
use crate::role::authority;
use crate::role::principal::Principal;
use crate::store::{self, Stored, TRIES, keys};
use crate::trust::revocation::{self, LONGEST_TOKEN};

/// What shall be different about a client.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClientChange {
    /// Whether it shall be switched off; `None` leaves it.
    pub(crate) disabled: Option<bool>,
    /// When it shall stop working, `Some(None)` for never; `None` leaves it.
    pub(crate) expires_at: Option<Option<Moment>>,
}

impl ClientChange {
    fn apply(self, client: &Client) -> Client {
        let mut after = client.clone();
        after.disabled = self.disabled.unwrap_or(client.disabled);
        after.expires_at = self.expires_at.unwrap_or(client.expires_at);
        after
    }
}

/// Whether the second expiry is later; `None` is never, which is later than any.
fn later(before: Option<Moment>, after: Option<Moment>) -> bool {
    match (before, after) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(before), Some(after)) => after > before,
    }
}

/// Whether tokens the client holds now could outlive what the change allows.
fn ends_tokens(before: &Client, after: &Client, now: Moment) -> bool {
    let sooner =
        later(after.expires_at, before.expires_at) && after.expires_at.is_some_and(|end| end < now.plus(LONGEST_TOKEN));
    sooner || (!before.disabled && after.disabled)
}

impl Clients {
    /// Disables, enables, or sets the expiry of a client.
    pub(crate) async fn update(&self, caller: &Caller, client_id: &str, change: ClientChange) -> Result<ClientView> {
        for _ in 0..TRIES {
            let mut commit = Change::new();
            let (stored, principal) = self.writable(caller, client_id, &mut commit).await?;
            let before = stored.value;
            let after = change.apply(&before);
            if after == before {
                return self.view(before).await;
            }
            let now = self.shared.now();
            if after.expires_at != before.expires_at {
                check_expiry(after.expires_at, now)?;
            }
            let pair = |client| Pair { client, principal: &principal.value };
            let (was, becomes) = (pair(&before), Some(pair(&after)));
            administrators::keep_one(&self.shared.store, &mut commit, caller, now, was, becomes).await?;
            let ends = ends_tokens(&before, &after, now);
            if ends {
                revocation::end_principal(&self.shared.store, &mut commit, &before.principal, now).await?;
            }
            put_client(&mut commit, &after, stored.revision)?;
            let action = match (before.disabled, after.disabled) {
                (false, true) => "client.disable",
                (true, false) => "client.enable",
                (true, true) | (false, false) => "client.update",
            };
            let entry = self.shared.entry(action, "client", client_id).details(&json!({
                "name": after.name,
                "disabled": after.disabled,
                "expires_at": after.expires_at.map(Moment::rfc3339),
                "tokens_ended": ends,
            }));
            if self.shared.store.commit(commit, &entry.build()).await?.is_done() {
                self.shared.trust.changed();
                return self.view(after).await;
            }
        }
        Err(Error::contended())
    }

    /// Adds a second secret.
    pub(crate) async fn rotate_secret(
        &self,
        caller: &Caller,
        client_id: &str,
        once: &Once<'_, WithSecret>,
    ) -> Result<WithSecret> {
        for _ in 0..TRIES {
            let mut change = Change::new();
            let (stored, _) = self.writable(caller, client_id, &mut change).await?;
            let mut client = stored.value;
            if client.secrets.len() >= MAX_SECRETS {
                return Err(Error::conflict("The client has two secrets. Retire the older one first."));
            }
            let secret = secret::generate()?;
            let stored_secret = self.shared.pepper.store(client_id, &secret, self.shared.now());
            let secret_id = stored_secret.secret_id.clone();
            client.secrets.push(stored_secret);
            put_client(&mut change, &client, stored.revision)?;
            let view = self.view(client).await?;
            let made = WithSecret { view, secret };
            once.keep(&mut change, &made)?;
            let entry = self
                .shared
                .entry("client.rotate_secret", "client", client_id)
                .details(&json!({ "name": made.view.client.name, "secret_id": secret_id }));
            match self.shared.store.commit(change, &entry.build()).await? {
                Commit::Done { .. } => return Ok(made),
                Commit::Refused { key } => once.check_lost(&key)?,
            }
        }
        Err(Error::contended())
    }

    /// Retires one of two secrets: the named one, or else the older.
    pub(crate) async fn retire_secret(
        &self,
        caller: &Caller,
        client_id: &str,
        secret_id: Option<&str>,
    ) -> Result<ClientView> {
        for _ in 0..TRIES {
            let mut change = Change::new();
            let (stored, _) = self.writable(caller, client_id, &mut change).await?;
            let mut client = stored.value;
            let at = match secret_id {
                None => 0,
                Some(wanted) => client
                    .secrets
                    .iter()
                    .position(|secret| secret.secret_id == wanted)
                    .ok_or_else(|| Error::not_found("secret of this client"))?,
            };
            if client.secrets.len() < MAX_SECRETS {
                return Err(Error::conflict("The client has only one secret. Rotate it first, or disable the client."));
            }
            let retired = client.secrets.remove(at);
            put_client(&mut change, &client, stored.revision)?;
            let entry = self
                .shared
                .entry("client.retire_secret", "client", client_id)
                .details(&json!({ "name": client.name, "secret_id": retired.secret_id }));
            if self.shared.store.commit(change, &entry.build()).await?.is_done() {
                return self.view(client).await;
            }
        }
        Err(Error::contended())
    }

    /// Removes a client with its principal, its bindings and its tokens.
    pub(crate) async fn delete(&self, caller: &Caller, client_id: &str) -> Result<()> {
        for _ in 0..TRIES {
            let mut change = Change::new();
            let (stored, principal) = self.writable(caller, client_id, &mut change).await?;
            let client = stored.value;
            let tenant = client.tenant.as_ref();
            let was = Pair { client: &client, principal: &principal.value };
            administrators::keep_one(&self.shared.store, &mut change, caller, self.shared.now(), was, None).await?;
            let client_key = keys::client(tenant, client_id);
            let principal_key = keys::principal(tenant, &client.principal);
            change
                .at(&client_key, stored.revision)
                .delete(client_key)
                .delete(principal_key)
                .delete(keys::client_id(client_id))
                .delete(keys::client_name(tenant, &client.name))
                .delete(keys::secret_uses(client_id));
            let mut held: BTreeMap<&str, i64> = BTreeMap::new();
            for binding in &principal.value.bindings {
                change.delete(keys::binding_id(&binding.binding_id));
                *held.entry(&binding.role).or_default() += 1;
            }
            let roles = self.shared.roles_of(&principal.value).await?;
            for (role, bindings) in held {
                roles.hold(&mut change, tenant, role, -bindings)?;
            }
            revocation::end_principal(&self.shared.store, &mut change, &client.principal, self.shared.now()).await?;
            change.delete(keys::issued_until(&client.principal));
            let entry = self
                .shared
                .entry("client.delete", "client", client_id)
                .details(&json!({ "name": client.name, "principal": client.principal }));
            if self.shared.store.commit(change, &entry.build()).await?.is_done() {
                self.shared.trust.changed();
                return Ok(());
            }
        }
        Err(Error::contended())
    }

    /// A client that the caller may change, with its principal: whatever is done to it, giving or taking, the caller
    /// holds everything that it holds, now and when the change is committed.
    async fn writable(
        &self,
        caller: &Caller,
        client_id: &str,
        change: &mut Change,
    ) -> Result<(Stored<Client>, Stored<Principal>)> {
        let client = self.visible(caller, client_id).await?;
        caller.require(Permission::ClientsWrite, &client.value.scope())?;
        let principal = self.principal_of(&client.value).await?;
        let roles = self.shared.roles_of(&principal.value).await?;
        authority::require_principal(caller, &roles, &principal.value)?;
        let tenant = principal.value.tenant.as_ref();
        change.at(keys::principal(tenant, &principal.value.principal), principal.revision);
        Ok((client, principal))
    }
}

fn put_client(change: &mut Change, client: &Client, revision: i64) -> Result<()> {
    let key = keys::client(client.tenant.as_ref(), &client.client_id);
    change.at(&key, revision);
    store::put(change, key, client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_can_be_moved_both_ways_and_never_is_the_latest() {
        let at = |seconds: i64| Some(Moment::from_micros(seconds * 1_000_000));
        assert!(later(at(1), at(2)) && later(at(1), None));
        assert!(!later(at(2), at(1)) && !later(at(1), at(1)) && !later(None, at(1)) && !later(None, None));
    }
}
