//! Replacing the key of a hook: a second one is added, the sender is told it, and then the first one is retired.

use runwarden_engines::idempotency::{Begun, Repeat};
use runwarden_kit::caller::Caller;
use runwarden_kit::{Error, Result, SecretString};
use serde_json::json;

use super::manage::{key_for, weaknesses};
use super::{Hook, Hooks, MAX_KEYS, WithKey};

impl Hooks {
    /// Adds a second key. Both are valid until one is retired.
    pub async fn rotate_key(
        &self,
        caller: &Caller,
        name: &str,
        given: Option<SecretString>,
        repeat: &Repeat,
    ) -> Result<WithKey> {
        let ticket = match self.catalog.begin(caller, "hook.rotate_key", repeat).await? {
            Begun::Replay(made) => return Ok(made),
            Begun::Fresh(ticket) => ticket,
        };
        let (stored, mut hook) = self.writable(caller, name).await?;
        if hook.keys.len() >= MAX_KEYS {
            return Err(Error::conflict("The hook has two keys. Retire the older one first."));
        }
        self.check_account(&hook).await?;
        let (value, made) = key_for(&hook.receiver()?, given, *self.keys_from.of(&hook.tenant, &hook.name))?;
        let value = value.ok_or_else(|| Error::conflict("This hook has no key: its sender has an access token."))?;
        self.add_key(&mut hook, &value).await?;
        let added = hook.keys.last().cloned();
        let details = json!({ "key": added.as_ref().map(|key| &key.id), "weaknesses": weaknesses(&hook) });
        let changed = WithKey { hook: hook.clone(), made };
        let saved = self.save_with(&stored, changed, "hook.rotate_key", &details, Some(&ticket)).await?;
        // Only when it is certain that the hook does not refer to it: a commit that fails may have happened.
        if saved.is_err() {
            self.forget_keys(&hook, added.as_slice()).await;
        }
        saved
    }

    /// Removes a key. The last one cannot be removed: disable the hook instead.
    pub async fn retire_key(&self, caller: &Caller, name: &str, key_id: &str) -> Result<Hook> {
        let (stored, mut hook) = self.writable(caller, name).await?;
        let Some(at) = hook.keys.iter().position(|key| key.id == key_id) else {
            return Err(Error::not_found("key"));
        };
        if hook.keys.len() == 1 {
            return Err(Error::conflict("This is the hook's only key. Add another one first, or disable the hook."));
        }
        let retired = hook.keys.remove(at);
        let details = json!({ "key": retired.id, "weaknesses": weaknesses(&hook) });
        let saved = self.save(&stored, hook, "hook.retire_key", &details).await?;
        self.forget_keys(&saved, &[retired]).await;
        Ok(saved)
    }
}
