//! Where secrets live: named values that are kept, and values that are sealed for somebody else to keep.
//!
//! An engine keeps tenants apart by key material, not only by name: what one tenant's key sealed opens with no other.
//! What an engine promises is what `conformance` checks; every engine runs that one suite.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod name;
mod plaintext;
pub mod sealed;

use std::fmt::Debug;

use async_trait::async_trait;
use runwarden_proto::audit::v1::Entry as AuditEntry;

pub use error::{Result, VaultError};
pub use name::SecretName;
pub use plaintext::Plaintext;
pub use sealed::{OpenError, SealedVault, VaultOptions};

/// Makes the audit entry of a change, which becomes durable with it: in the same commit where the engine has
/// commits, before it where not. It may be called more than once when the change is tried again; only what the last
/// call made is kept.
pub type Note<'a, T> = &'a (dyn Fn(T) -> AuditEntry + Send + Sync);

/// A secret, revealed.
#[derive(Debug)]
pub struct Revealed {
    /// Its value.
    pub value: Plaintext,
    /// Its version.
    pub version: i64,
}

/// What can be shown of a secret without revealing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: SecretName,
    /// Its version.
    pub version: i64,
    /// When that version was stored, in microseconds since 1970.
    pub updated_at: i64,
}

/// A sealed value, for its owner to keep.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Opaque to everybody but the engine.
    pub bytes: Vec<u8>,
    /// HMAC-SHA-256 in hex under a key of the tenant's own, the same for equal values for as long as the tenant lives.
    pub keyed_hash: String,
}

impl Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({} bytes)", self.bytes.len())
    }
}

/// A moment of a rotation that is put on the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationNote {
    /// The new master key is durable and in use; tenant keys follow.
    Begun {
        /// The key so far.
        from: String,
        /// The new key.
        to: String,
    },
    /// Nothing is wrapped by an older key any more.
    Done {
        /// The new key.
        key_id: String,
        /// How many tenant keys were rewrapped. After an interruption: since it went on.
        rewrapped: u32,
    },
}

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The new master key.
    pub key_id: String,
    /// How many tenant keys were rewrapped.
    pub rewrapped: u32,
}

/// The state of the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// The master key in use.
    pub key_id: String,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// How many tenant keys there are.
    pub tenant_keys: u32,
    /// How many of them an older master key still wraps. Not 0 only during a rotation, or after an interrupted one.
    pub tenant_keys_behind: u32,
}

/// A vault.
#[async_trait]
pub trait Vault: Debug + Send + Sync + 'static {
    /// Stores a value under a name, replacing the one before. Answers its version: 1 for the first, growing by one.
    async fn put(&self, tenant: &str, name: &SecretName, value: &Plaintext, note: Note<'_, i64>) -> Result<i64>;

    /// Reveals a value; `None` when there is none of that name.
    async fn read(&self, tenant: &str, name: &SecretName) -> Result<Option<Revealed>>;

    /// Lists up to `limit` secrets of a tenant by name, beginning behind `after`.
    async fn list(&self, tenant: &str, after: Option<&SecretName>, limit: usize) -> Result<Vec<Listed>>;

    /// Removes a value for good. Answers the version that was removed; `None` when there was none, and then nothing
    /// is put on the record.
    async fn delete(&self, tenant: &str, name: &SecretName, note: Note<'_, i64>) -> Result<Option<i64>>;

    /// Seals a value for its owner to keep. It opens for the same tenant and context only.
    async fn seal(&self, tenant: &str, context: &str, value: &Plaintext) -> Result<Sealed>;

    /// Opens a sealed value; `None` when it was not sealed for this tenant and context, or was changed since.
    async fn open(&self, tenant: &str, context: &str, sealed: &[u8]) -> Result<Option<Plaintext>>;

    /// Makes a new master key and wraps every tenant key with it, while everything else runs.
    /// [`VaultError::RotationRunning`] when one is under way.
    async fn rotate_master(&self, note: Note<'_, RotationNote>) -> Result<Rotation>;

    /// Goes on with a rotation that was interrupted, and removes what it left over. `None` when there was none to go on
    /// with.
    async fn resume_rotation(&self, note: Note<'_, RotationNote>) -> Result<Option<Rotation>>;

    /// The state of the keys.
    async fn status(&self) -> Result<KeyStatus>;
}
