//! The keys of tenants: wrapped in the store, unwrapped in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runwarden_kit::clock::Clock;
use serde::{Deserialize, Serialize};

use super::envelope::{self, Binding, Key};
use super::keyring::Keyring;
use super::master::MasterKey;
use super::{ATTEMPTS, PAGE, marker};
use crate::config::{Change, Commit, ConfigEntry, ConfigStore};
use crate::vault::{Result, VaultError};

/// Where they are stored.
pub(super) const PREFIX: &str = "tenant-keys/";
const ROOT: &str = "root";
/// A key must live long enough to be used once.
const MIN_AGE_MICROS: i64 = 60_000_000;

/// A tenant key as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Wrapped {
    /// The master key that wraps it.
    pub(super) master: String,
    /// When the key in it was made.
    created_at: i64,
    /// The box, in base64.
    wrapped: String,
}

impl Wrapped {
    /// Reads a stored one.
    pub(super) fn decode(entry: &ConfigEntry) -> Result<Self> {
        super::decode(entry)
    }

    /// As it is stored.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        super::encode(self)
    }

    /// Wraps a key that is stored at `at`, which names the tenant and the key's number.
    pub(super) fn wrap(at: &str, key: &Key, created_at: i64, master: &MasterKey) -> Result<Self> {
        let mut wrapped = Vec::new();
        envelope::seal_into(&mut wrapped, &master.key, &binding(at, &master.id), key.expose())?;
        Ok(Self { master: master.id.clone(), created_at, wrapped: STANDARD.encode(wrapped) })
    }

    /// Unwraps it; `None` when it does not open.
    pub(super) fn unwrap(&self, at: &str, master: &MasterKey) -> Option<Key> {
        let wrapped = STANDARD.decode(&self.wrapped).ok()?;
        Key::from_bytes(envelope::open(&master.key, &binding(at, &master.id), &wrapped)?.expose())
    }

    /// The same key wrapped by another master key.
    pub(super) fn rewrap(&self, at: &str, from: &MasterKey, to: &MasterKey) -> Result<Self> {
        let key = self.unwrap(at, from).ok_or_else(|| VaultError::Damaged(at.to_owned()))?;
        Self::wrap(at, &key, self.created_at, to)
    }
}

fn binding(at: &str, master: &str) -> Binding {
    Binding::new("tenant-key", &[at.as_bytes(), master.as_bytes()])
}

/// The unwrapped keys of one tenant.
struct Unwrapped {
    root: Arc<Key>,
    data: BTreeMap<u32, (i64, Arc<Key>)>,
}

/// The keys of all tenants. Unwrapped ones stay in memory: a rotation changes how they are wrapped, not what they are.
pub(super) struct TenantKeys {
    store: Arc<dyn ConfigStore>,
    keyring: Arc<Keyring>,
    max_age_micros: i64,
    clock: Arc<dyn Clock>,
    cache: RwLock<HashMap<String, Arc<Unwrapped>>>,
}

impl TenantKeys {
    pub(super) fn new(
        store: Arc<dyn ConfigStore>,
        keyring: Arc<Keyring>,
        max_age: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let max_age_micros = i64::try_from(max_age.as_micros()).unwrap_or(i64::MAX).max(MIN_AGE_MICROS);
        Self { store, keyring, max_age_micros, clock, cache: RwLock::default() }
    }

    /// The data key that seals now, made if the tenant has none yet or its newest is too old.
    pub(super) async fn sealing(&self, tenant: &str) -> Result<(u32, Arc<Key>)> {
        if let Some(found) = self.cached(tenant).and_then(|keys| self.fresh(&keys)) {
            return Ok(found);
        }
        for _ in 0..ATTEMPTS {
            let keys = self.load(tenant).await?;
            if let Some(found) = keys.as_ref().and_then(|keys| self.fresh(keys)) {
                return Ok(found);
            }
            self.make_next(tenant, keys.as_deref()).await?;
        }
        Err(VaultError::Contended(format!("{PREFIX}{tenant}/")))
    }

    /// The root of the tenant, made if there is none yet.
    pub(super) async fn root(&self, tenant: &str) -> Result<Arc<Key>> {
        self.sealing(tenant).await?;
        let keys = self.cached(tenant).ok_or_else(|| VaultError::Damaged(format!("{PREFIX}{tenant}/{ROOT}")))?;
        Ok(Arc::clone(&keys.root))
    }

    /// A data key by its number, if there is such a one.
    pub(super) async fn opening(&self, tenant: &str, number: u32) -> Result<Option<Arc<Key>>> {
        let find = |keys: &Unwrapped| keys.data.get(&number).map(|(_, key)| Arc::clone(key));
        if let Some(key) = self.cached(tenant).and_then(|keys| find(&keys)) {
            return Ok(Some(key));
        }
        Ok(self.load(tenant).await?.and_then(|keys| find(&keys)))
    }

    fn cached(&self, tenant: &str) -> Option<Arc<Unwrapped>> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    /// The newest data key, unless it is too old to seal.
    fn fresh(&self, keys: &Unwrapped) -> Option<(u32, Arc<Key>)> {
        let (number, (created_at, key)) = keys.data.last_key_value()?;
        let age = self.clock.now().micros().saturating_sub(*created_at);
        (age < self.max_age_micros).then(|| (*number, Arc::clone(key)))
    }

    /// Reads and unwraps all keys of a tenant.
    async fn load(&self, tenant: &str) -> Result<Option<Arc<Unwrapped>>> {
        let prefix = format!("{PREFIX}{tenant}/");
        let (mut root, mut data) = (None, BTreeMap::new());
        let mut after: Option<String> = None;
        loop {
            let page = self.store.list(&prefix, after.as_deref(), PAGE).await?;
            for entry in &page {
                let wrapped = Wrapped::decode(entry)?;
                let master = self.keyring.get(&wrapped.master).await?;
                let key = wrapped.unwrap(&entry.key, &master).ok_or_else(|| VaultError::Damaged(entry.key.clone()))?;
                let key = Arc::new(key);
                match entry.key.strip_prefix(&prefix).unwrap_or_default() {
                    ROOT => root = Some(key),
                    number => {
                        let number = number.parse().map_err(|_| VaultError::Damaged(entry.key.clone()))?;
                        data.insert(number, (wrapped.created_at, key));
                    }
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
                _ => break,
            }
        }
        match (root, data.is_empty()) {
            (None, true) => Ok(None),
            (Some(root), false) => {
                let keys = Arc::new(Unwrapped { root, data });
                let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
                cache.insert(tenant.to_owned(), Arc::clone(&keys));
                Ok(Some(keys))
            }
            // They are made together and never removed.
            _ => Err(VaultError::Damaged(prefix)),
        }
    }

    /// Makes the next data key, and the root with the first. The loser of a race takes what the winner made.
    async fn make_next(&self, tenant: &str, keys: Option<&Unwrapped>) -> Result<()> {
        let (marker, revision) = marker::expect(&*self.store).await?;
        let master = self.keyring.get(&marker.id).await?;
        let created_at = self.clock.now().micros();
        let mut change = Change::new();
        change.at(marker::KEY, revision);
        let mut make = |name: &str| -> Result<()> {
            let at = format!("{PREFIX}{tenant}/{name}");
            let wrapped = Wrapped::wrap(&at, &Key::generate()?, created_at, &master)?;
            change.absent(&at).put(&at, wrapped.encode()?);
            Ok(())
        };
        let newest = keys.and_then(|keys| keys.data.last_key_value()).map_or(0, |(number, _)| *number);
        if keys.is_none() {
            make(ROOT)?;
        }
        // Ten digits, so that the order of keys in the store is the order of numbers.
        make(&format!("{:010}", newest.saturating_add(1)))?;
        match self.store.commit(change).await? {
            Commit::Done { .. } | Commit::Refused { .. } => Ok(()),
        }
    }
}
