//! How a vault fails once it is open. The texts are for operators, never for callers, and never hold a value.

use crate::StoreError;

/// The result of a vault.
pub type Result<T, E = VaultError> = std::result::Result<T, E>;

/// How a vault fails.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The store behind it failed.
    #[error("the store behind the vault failed")]
    Store(#[from] StoreError),
    /// Too many others changed the same thing at the same time; nothing was done.
    #[error("too many changes of {0} at once")]
    Contended(String),
    /// A rotation of the master key is under way; nothing was done.
    #[error("a rotation of the master key is under way")]
    RotationRunning,
    /// What is stored does not open, or cannot be read: it was damaged or changed outside of Runwarden.
    #[error("{0} was damaged, or changed outside of Runwarden")]
    Damaged(String),
    /// The vault was asked for something it never takes: a bug of the asker.
    #[error("the vault does not accept this: {0}")]
    Invalid(&'static str),
    /// Its keys cannot be used.
    #[error("the vault's keys cannot be used")]
    Keys(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl VaultError {
    /// Wraps a failure of the key material.
    pub(super) fn keys(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Keys(source.into())
    }
}

/// What a caller gets to know: whether it is worth trying again. The rest is in the log, under an error id.
impl From<VaultError> for runwarden_kit::Error {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Store(error) => error.into(),
            VaultError::Contended(_) => Self::contended().with_cause(error),
            VaultError::RotationRunning => {
                Self::conflict("A rotation of the master key is under way. The keys' status shows how far it got.")
            }
            VaultError::Damaged(_) | VaultError::Invalid(_) | VaultError::Keys(_) => Self::internal(error),
        }
    }
}
