//! The keys of a callback: one signs, or two while one is being replaced.

use runwarden_engines::idempotency::{Begun, Repeat};
use runwarden_kit::access::right;
use runwarden_kit::caller::Caller;
use runwarden_kit::{Error, ExposeSecret as _, Result, id};
use runwarden_webhooks::standard::SigningKey;
use serde_json::json;

use super::manage::{Callbacks, WithKey};
use super::{Callback, Key};

/// How a key signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyKind {
    /// The receiver has the same key.
    #[default]
    Symmetric,
    /// The receiver has the public key.
    Ed25519,
}

impl Callbacks {
    /// Adds a second key.
    ///
    /// # Errors
    /// `CONFLICT` when there are two already.
    pub async fn rotate_key(&self, caller: &Caller, name: &str, kind: KeyKind, repeat: &Repeat) -> Result<WithKey> {
        let ticket = match self.catalog.begin(caller, "callback.rotate_key", repeat).await? {
            Begun::Replay(made) => return Ok(made),
            Begun::Fresh(ticket) => ticket,
        };
        let (callback, stored) = self.authorized::<right::CallbacksWrite>(caller, name).await?;
        let mut callback = callback.into_inner();
        if callback.keys.len() >= 2 {
            return Err(Error::conflict("The callback has two keys already. Retire one of them first."));
        }
        let key = self.add_key(&mut callback, kind).await?;
        let details = json!({ "added": callback.keys.last().map(|key| &key.id) });
        self.save_with(WithKey { callback, key }, &stored, "callback.rotate_key", &details, Some(&ticket)).await
    }

    /// Removes one of two keys.
    ///
    /// # Errors
    /// `CONFLICT` when it is the only one.
    pub async fn retire_key(&self, caller: &Caller, name: &str, key: &str) -> Result<Callback> {
        let (callback, stored) = self.authorized::<right::CallbacksWrite>(caller, name).await?;
        let mut callback = callback.into_inner();
        if !callback.keys.iter().any(|known| known.id == key) {
            return Err(Error::not_found("key"));
        }
        if callback.keys.len() < 2 {
            return Err(Error::conflict("It is the callback's only key. Add another one first."));
        }
        callback.keys.retain(|known| known.id != key);
        let changed = WithKey { callback, key: None };
        let details = json!({ "retired": key });
        Ok(self.save_with(changed, &stored, "callback.retire_key", &details, None).await?.callback)
    }

    /// Makes a key. Answers it if the receiver needs it.
    pub(super) async fn add_key(&self, callback: &mut Callback, kind: KeyKind) -> Result<Option<String>> {
        let made = match kind {
            KeyKind::Symmetric => SigningKey::generate_symmetric(),
            KeyKind::Ed25519 => SigningKey::generate_ed25519(),
        };
        let unmade = || Error::internal(anyhow::anyhow!("no key could be made"));
        let value = made.ok_or_else(unmade)?;
        let public = SigningKey::parse(&value).map_err(|_| unmade())?.public_key();
        let id = id::new("key");
        let sealed = self.keys.seal(callback, &id, &value).await?;
        callback.keys.push(Key { id, public, sealed, created_at: self.clock.now() });
        Ok((kind == KeyKind::Symmetric).then(|| value.expose_secret().to_owned()))
    }
}
