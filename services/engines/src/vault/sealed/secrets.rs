//! Stored secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::blob::{self, Belongs};
use super::{ATTEMPTS, SealedVault, decode, encode};
use crate::config::{Change, Commit};
use crate::outbox;
use crate::vault::{Listed, Note, Plaintext, Result, Revealed, SecretName, VaultError};

/// A secret as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: i64,
    updated_at: i64,
    /// The blob, in base64.
    sealed: String,
}

fn prefix(tenant: &str) -> String {
    format!("secrets/{tenant}/")
}

fn key(tenant: &str, name: &SecretName) -> String {
    format!("secrets/{tenant}/{name}")
}

pub(super) async fn put(
    vault: &SealedVault,
    tenant: &str,
    name: &SecretName,
    value: &Plaintext,
    note: Note<'_, i64>,
) -> Result<i64> {
    let at = key(tenant, name);
    for _ in 0..ATTEMPTS {
        let mut change = Change::new();
        let version = match vault.store.get(&at).await? {
            None => {
                change.absent(&at);
                1
            }
            Some(entry) => {
                change.at(&at, entry.revision);
                decode::<Stored>(&entry)?.version.saturating_add(1)
            }
        };
        let (number, data_key) = vault.tenant_keys.sealing(tenant).await?;
        let belongs = Belongs::Secret { tenant, name: name.as_str(), version };
        let sealed = STANDARD.encode(blob::seal(number, &data_key, &belongs, value.expose())?);
        let stored = Stored { version, updated_at: vault.clock.now().micros(), sealed };
        change.put(&at, encode(&stored)?);
        outbox::put(&mut change, &note(version));
        match vault.store.commit(change).await? {
            Commit::Done { .. } => return Ok(version),
            Commit::Refused { .. } => {}
        }
    }
    Err(VaultError::Contended(at))
}

pub(super) async fn read(vault: &SealedVault, tenant: &str, name: &SecretName) -> Result<Option<Revealed>> {
    let at = key(tenant, name);
    let Some(entry) = vault.store.get(&at).await? else {
        return Ok(None);
    };
    let stored: Stored = decode(&entry)?;
    let sealed = STANDARD.decode(&stored.sealed).map_err(|_| VaultError::Damaged(at.clone()))?;
    let belongs = Belongs::Secret { tenant, name: name.as_str(), version: stored.version };
    let value = vault.open_blob(tenant, &belongs, &sealed).await?.ok_or(VaultError::Damaged(at))?;
    Ok(Some(Revealed { value, version: stored.version }))
}

pub(super) async fn list(
    vault: &SealedVault,
    tenant: &str,
    after: Option<&SecretName>,
    limit: usize,
) -> Result<Vec<Listed>> {
    let prefix = prefix(tenant);
    let after = after.map(|name| key(tenant, name));
    let entries = vault.store.list(&prefix, after.as_deref(), limit).await?;
    entries
        .iter()
        .map(|entry| {
            let stored: Stored = decode(entry)?;
            let name = SecretName::parse(entry.key.strip_prefix(&prefix).unwrap_or_default())
                .map_err(|_| VaultError::Damaged(entry.key.clone()))?;
            Ok(Listed { name, version: stored.version, updated_at: stored.updated_at })
        })
        .collect()
}

pub(super) async fn delete(
    vault: &SealedVault,
    tenant: &str,
    name: &SecretName,
    note: Note<'_, i64>,
) -> Result<Option<i64>> {
    let at = key(tenant, name);
    for _ in 0..ATTEMPTS {
        let Some(entry) = vault.store.get(&at).await? else {
            return Ok(None);
        };
        let version = decode::<Stored>(&entry)?.version;
        let mut change = Change::new();
        change.at(&at, entry.revision).delete(&at);
        outbox::put(&mut change, &note(version));
        match vault.store.commit(change).await? {
            Commit::Done { .. } => return Ok(Some(version)),
            Commit::Refused { .. } => {}
        }
    }
    Err(VaultError::Contended(at))
}
