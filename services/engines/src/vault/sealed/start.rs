//! Opening the vault: every key is looked at before anything is sealed or opened with it.

use std::sync::Arc;

use super::error::OpenError;
use super::keyring::Keyring;
use super::marker::{self, Marker};
use super::rotation::Pages;
use super::steps::Steps;
use super::tenant_keys::{self, TenantKeys, Wrapped};
use super::{SealedVault, VaultOptions};
use crate::config::{Change, Commit};
use crate::vault::Result;

impl SealedVault {
    /// Opens the vault, making the first master key if the store is new.
    ///
    /// Refuses to open when a master key the store needs is missing or another, or when a stored tenant key does not
    /// open: found now, while an operator is looking, and not at the next launch. A new master key is never made in
    /// place of a missing one.
    ///
    /// Call [`Vault::resume_rotation`](crate::vault::Vault::resume_rotation) next.
    pub async fn open(options: VaultOptions) -> Result<Self, OpenError> {
        let VaultOptions { store, master_keys, tenant_key_max_age, clock } = options;
        let keyring = Arc::new(Keyring::open(master_keys).await?);
        let tenant_keys =
            TenantKeys::new(Arc::clone(&store), Arc::clone(&keyring), tenant_key_max_age, Arc::clone(&clock));
        let rotating = tokio::sync::Mutex::default();
        let vault = Self { store, keyring, tenant_keys, clock, rotating, steps: Steps::default() };
        let marker = match marker::read(&*vault.store).await? {
            Some((marker, _)) => marker,
            None => vault.first_start().await?,
        };
        vault.check_master(&marker).await?;
        vault.check_tenant_keys().await?;
        Ok(vault)
    }

    /// Notes the first master key in a store that has none.
    async fn first_start(&self) -> Result<Marker, OpenError> {
        if !self.store.list(tenant_keys::PREFIX, None, 1).await?.is_empty() {
            return Err(OpenError::StoreIncomplete);
        }
        // A key without a note of it: the first start was interrupted between the two.
        let key = match self.keyring.newest() {
            Some(key) => key,
            None => self.keyring.add(self.clock.now().micros()).await?,
        };
        let marker = Marker::of(&key, true)?;
        let mut change = Change::new();
        change.absent(marker::KEY).put(marker::KEY, marker.encode()?);
        match self.store.commit(change).await? {
            Commit::Done { .. } => Ok(marker),
            // Another process started at the same time, and its key it is.
            Commit::Refused { .. } => Ok(marker::expect(&*self.store).await?.0),
        }
    }

    async fn check_master(&self, marker: &Marker) -> Result<(), OpenError> {
        let Some(key) = self.keyring.find(&marker.id).await? else {
            return Err(self.keyring.missing(&marker.id));
        };
        if key.key.check()? != marker.check {
            return Err(OpenError::WrongMasterKey { id: marker.id.clone(), path: self.keyring.path(&marker.id) });
        }
        Ok(())
    }

    async fn check_tenant_keys(&self) -> Result<(), OpenError> {
        let mut pages = Pages::default();
        while let Some(page) = pages.next(self).await? {
            for entry in &page {
                let wrapped = Wrapped::decode(entry)?;
                let Some(master) = self.keyring.find(&wrapped.master).await? else {
                    return Err(self.keyring.missing(&wrapped.master));
                };
                if wrapped.unwrap(&entry.key, &master).is_none() {
                    return Err(OpenError::DamagedTenantKey { key: entry.key.clone(), master: wrapped.master });
                }
            }
        }
        Ok(())
    }
}
