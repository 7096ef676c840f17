//! The embedded vault: master key → tenant keys → values, all AES-256-GCM, kept in the config store.
//!
//! - A **master key** lives in a file of its own (`keyfiles`) and wraps tenant keys, nothing else.
//! - Each tenant has a **root**, from which the key of its keyed hashes is derived and which lives as long as the
//!   tenant, and numbered **data keys**, of which the newest seals and every one still opens (`tenant_keys`). All of
//!   them are stored wrapped by a master key, bound to tenant and number.
//! - A **value** is sealed by a data key (`envelope`) and bound to what it is: a stored secret to tenant, name and
//!   version, a sealed value to tenant and context. In any other place it does not open.
//!
//! | key in the store | holds |
//! |---|---|
//! | `master-key/current` | which master key is in use, its fingerprint, whether a rotation is done (`marker`) |
//! | `tenant-keys/<tenant>/root`, `tenant-keys/<tenant>/<number>` | a wrapped key |
//! | `secrets/<tenant>/<name>` | a sealed secret with its version |
//!
//! What this cannot do: whoever may write the store can delete a secret, or put back an older record of the same
//! name. Both show in the audit log as versions that do not follow each other.

mod blob;
mod envelope;
mod error;
mod keyfiles;
mod keyring;
mod marker;
mod master;
mod rotation;
mod secrets;
mod start;
mod steps;
mod tenant_keys;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runwarden_kit::clock::Clock;
use runwarden_kit::slug::is_slug;
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::keyring::Keyring;
use self::steps::Steps;
use self::tenant_keys::TenantKeys;
use super::{
    KeyStatus, Listed, Note, Plaintext, Result, Revealed, Rotation, RotationNote, Sealed, SecretName, Vault, VaultError,
};
use crate::catalog;
use crate::config::{ConfigEntry, ConfigStore};

pub use error::OpenError;

/// How often a commit that others got in the way of is tried again.
const ATTEMPTS: usize = 32;
/// How many entries are read at once when all of them are looked at.
const PAGE: usize = 200;

/// Reads a record of the vault.
fn decode<T: DeserializeOwned>(entry: &ConfigEntry) -> Result<T> {
    catalog::decode(&entry.key, &entry.value).map_err(|_| VaultError::Damaged(entry.key.clone()))
}

/// A record of the vault as it is stored.
fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>> {
    Ok(catalog::encode(record)?)
}

/// How a vault is opened.
pub struct VaultOptions {
    /// Where everything but the master keys is kept.
    pub store: Arc<dyn ConfigStore>,
    /// The folder of the master keys.
    pub master_keys: PathBuf,
    /// A tenant's data key older than this no longer seals; the next one is made then. The old one can still decrypt.
    pub tenant_key_max_age: Duration,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

/// The embedded vault.
pub struct SealedVault {
    store: Arc<dyn ConfigStore>,
    keyring: Arc<Keyring>,
    tenant_keys: TenantKeys,
    clock: Arc<dyn Clock>,
    /// Held while this process rotates. Other processes are kept apart by guards on the marker.
    rotating: tokio::sync::Mutex<()>,
    steps: Steps,
}

impl fmt::Debug for SealedVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedVault").field("master_keys", &self.keyring.dir()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Vault for SealedVault {
    async fn put(&self, tenant: &str, name: &SecretName, value: &Plaintext, note: Note<'_, i64>) -> Result<i64> {
        check_tenant(tenant)?;
        secrets::put(self, tenant, name, value, note).await
    }

    async fn read(&self, tenant: &str, name: &SecretName) -> Result<Option<Revealed>> {
        check_tenant(tenant)?;
        secrets::read(self, tenant, name).await
    }

    async fn list(&self, tenant: &str, after: Option<&SecretName>, limit: usize) -> Result<Vec<Listed>> {
        check_tenant(tenant)?;
        secrets::list(self, tenant, after, limit).await
    }

    async fn delete(&self, tenant: &str, name: &SecretName, note: Note<'_, i64>) -> Result<Option<i64>> {
        check_tenant(tenant)?;
        secrets::delete(self, tenant, name, note).await
    }

    async fn seal(&self, tenant: &str, context: &str, value: &Plaintext) -> Result<Sealed> {
        check_tenant(tenant)?;
        let (number, key) = self.tenant_keys.sealing(tenant).await?;
        let bytes = blob::seal(number, &key, &blob::Belongs::Value { tenant, context }, value.expose())?;
        let root = self.tenant_keys.root(tenant).await?;
        Ok(Sealed { bytes, keyed_hash: root.keyed_hash(value.expose())? })
    }

    async fn open(&self, tenant: &str, context: &str, sealed: &[u8]) -> Result<Option<Plaintext>> {
        check_tenant(tenant)?;
        self.open_blob(tenant, &blob::Belongs::Value { tenant, context }, sealed).await
    }

    async fn rotate_master(&self, note: Note<'_, RotationNote>) -> Result<Rotation> {
        let Ok(_running) = self.rotating.try_lock() else {
            return Err(VaultError::RotationRunning);
        };
        rotation::rotate(self, note).await
    }

    async fn resume_rotation(&self, note: Note<'_, RotationNote>) -> Result<Option<Rotation>> {
        let _running = self.rotating.lock().await;
        rotation::resume(self, note).await
    }

    async fn status(&self) -> Result<KeyStatus> {
        rotation::status(self).await
    }
}

impl SealedVault {
    /// Opens a blob with the data key it names.
    async fn open_blob(&self, tenant: &str, belongs: &blob::Belongs<'_>, sealed: &[u8]) -> Result<Option<Plaintext>> {
        let Some((number, sealed_box)) = blob::split(sealed) else {
            return Ok(None);
        };
        let Some(key) = self.tenant_keys.opening(tenant, number).await? else {
            return Ok(None);
        };
        Ok(envelope::open(&key, &blob::binding(number, belongs), sealed_box))
    }
}

/// A tenant is one segment of a key: nothing that could reach into another's.
fn check_tenant(tenant: &str) -> Result<()> {
    if is_slug(tenant) { Ok(()) } else { Err(VaultError::Invalid("a tenant that is no slug")) }
}
