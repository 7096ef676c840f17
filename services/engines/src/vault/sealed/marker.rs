//! The store's note of the master key in use.
//!
//! Every commit that writes a wrapped key is guarded by it. So once a rotation has moved it on, nothing can be wrapped
//! by the older key any more, by this process or another, and the older key can be removed after a last look.

use serde::{Deserialize, Serialize};

use super::master::MasterKey;
use crate::config::ConfigStore;
use crate::vault::{Result, VaultError};

/// Its key.
pub(super) const KEY: &str = "master-key/current";

/// The note.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Marker {
    /// The master key in use.
    pub(super) id: String,
    /// When that key was made.
    pub(super) created_at: i64,
    /// The key's fingerprint: a file with other bytes under the same id is noticed at once.
    pub(super) check: String,
    /// Whether everything is wrapped by it.
    pub(super) complete: bool,
}

impl Marker {
    /// The note of a key.
    pub(super) fn of(key: &MasterKey, complete: bool) -> Result<Self> {
        Ok(Self { id: key.id.clone(), created_at: key.created_at, check: key.key.check()?, complete })
    }

    /// As it is stored.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        super::encode(self)
    }
}

/// Reads the note and its revision.
pub(super) async fn read(store: &dyn ConfigStore) -> Result<Option<(Marker, i64)>> {
    let Some(entry) = store.get(KEY).await? else {
        return Ok(None);
    };
    Ok(Some((super::decode(&entry)?, entry.revision)))
}

/// Reads the note of a vault that is open, which therefore has one.
pub(super) async fn expect(store: &dyn ConfigStore) -> Result<(Marker, i64)> {
    read(store).await?.ok_or_else(|| VaultError::Damaged(format!("{KEY} (it is gone)")))
}
