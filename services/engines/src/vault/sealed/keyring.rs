//! The master keys in memory, and their folder behind them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use super::error::OpenError;
use super::keyfiles::KeyFiles;
use super::master::MasterKey;
use crate::vault::{Result, VaultError};

/// All master keys this process knows.
pub(super) struct Keyring {
    files: KeyFiles,
    keys: RwLock<BTreeMap<String, Arc<MasterKey>>>,
}

impl Keyring {
    /// Loads every key of the folder.
    pub(super) async fn open(dir: PathBuf) -> Result<Self, OpenError> {
        let (files, keys) = blocking(move || {
            let files = KeyFiles::open(&dir)?;
            let keys = files.load()?;
            Ok((files, keys))
        })
        .await?;
        let ring = Self { files, keys: RwLock::default() };
        ring.take(keys);
        Ok(ring)
    }

    pub(super) fn dir(&self) -> &Path {
        self.files.dir()
    }

    pub(super) fn path(&self, id: &str) -> PathBuf {
        self.files.path(id)
    }

    /// The key of this id. One that is not known yet was made by another process since: the folder is read again.
    pub(super) async fn find(&self, id: &str) -> Result<Option<Arc<MasterKey>>, OpenError> {
        if let Some(key) = self.known(id) {
            return Ok(Some(key));
        }
        let files = self.files.clone();
        let keys = blocking(move || files.load()).await?;
        self.take(keys);
        Ok(self.known(id))
    }

    /// The key of this id, which must be there.
    pub(super) async fn get(&self, id: &str) -> Result<Arc<MasterKey>> {
        self.find(id).await.map_err(VaultError::keys)?.ok_or_else(|| VaultError::keys(self.missing(id)))
    }

    /// Says that a key is missing.
    pub(super) fn missing(&self, id: &str) -> OpenError {
        OpenError::MissingMasterKey { id: id.to_owned(), dir: self.dir().to_owned() }
    }

    fn known(&self, id: &str) -> Option<Arc<MasterKey>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// The newest key, if there is any.
    pub(super) fn newest(&self) -> Option<Arc<MasterKey>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.values().max_by_key(|key| (key.created_at, key.id.clone())).cloned()
    }

    /// The ids of all keys made before this moment.
    pub(super) fn older_than(&self, created_at: i64) -> Vec<String> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.values().filter(|key| key.created_at < created_at).map(|key| key.id.clone()).collect()
    }

    /// Makes a key and makes it durable.
    pub(super) async fn add(&self, created_at: i64) -> Result<Arc<MasterKey>, OpenError> {
        let files = self.files.clone();
        let key = blocking(move || {
            let key = MasterKey::generate(created_at)?;
            files.write(&key)?;
            Ok(key)
        })
        .await?;
        let key = Arc::new(key);
        self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(key.id.clone(), Arc::clone(&key));
        Ok(key)
    }

    /// Forgets a key and removes its file.
    pub(super) async fn remove(&self, id: &str) -> Result<(), OpenError> {
        let (files, name) = (self.files.clone(), id.to_owned());
        blocking(move || files.remove(&name)).await?;
        self.keys.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        Ok(())
    }

    fn take(&self, keys: Vec<MasterKey>) {
        let mut known = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            known.entry(key.id.clone()).or_insert_with(|| Arc::new(key));
        }
    }
}

/// Runs disk work where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    tokio::task::spawn_blocking(work).await.map_err(|died| OpenError::Vault(VaultError::keys(died)))?
}
