//! Why the sealed vault cannot be opened. Written for the operator who starts the service; no caller ever sees it.

use std::io;
use std::path::PathBuf;

use super::envelope::CryptoFailed;
use crate::StoreError;
use crate::vault::VaultError;

/// The vault does not open. It never "repairs" this by making a new key: what is sealed would be lost without a word.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// What is stored was wrapped by a master key whose file is not there.
    #[error(
        "master key {id} is missing from {dir}, and stored tenant keys need it. Restore {id}.key there from your \
         backup. A new key is not made, because it could not open what is sealed"
    )]
    MissingMasterKey {
        /// The missing key.
        id: String,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// A master key's file holds other bytes than those the store was sealed with.
    #[error(
        "{path} is not the master key this store was sealed with: the id {id} matches, but the key does not. Restore the \
         file from the backup that belongs to this store"
    )]
    WrongMasterKey {
        /// The key's id.
        id: String,
        /// Its file.
        path: PathBuf,
    },
    /// A tenant key does not open with the master key it names: the record was changed outside of Runwarden.
    #[error(
        "the stored tenant key {key} cannot be decrypted with master key {master}: its record was damaged or changed"
    )]
    DamagedTenantKey {
        /// Its key in the config store.
        key: String,
        /// The master key it names.
        master: String,
    },
    /// A key file or its folder that cannot be read or written, or that others than the owner could read or change.
    #[error(transparent)]
    File(io::Error),
    /// A key file that cannot be read as one.
    #[error("{path} is not a master key file: {why}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The disk said no.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store holds tenant keys and does not say which master key is in use.
    #[error(
        "the store has tenant keys but does not say which master key is in use: it was only partly restored. Restore all of it"
    )]
    StoreIncomplete,
    /// The vault behind it failed: the store, or the cryptographic library.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Vault(error.into())
    }
}

impl From<CryptoFailed> for OpenError {
    fn from(failed: CryptoFailed) -> Self {
        Self::Vault(failed.into())
    }
}

impl From<CryptoFailed> for VaultError {
    fn from(failed: CryptoFailed) -> Self {
        Self::keys(failed)
    }
}
