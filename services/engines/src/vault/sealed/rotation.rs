//! Rotation of the master key on a running system.
//!
//! 1. The new key's file becomes durable.
//! 2. The marker names it (`complete: false`). From here on nothing is wrapped by an older key: every commit that
//!    writes a wrapped key is guarded by the marker's revision.
//! 3. Every tenant key is wrapped anew, each by compare-and-swap.
//! 4. The marker says `complete`.
//! 5. The files of older keys that wrap nothing any more are removed.
//!
//! Whatever dies in between, everything stays readable, and going on from any point leads to the same end: a key that
//! is durable and not announced is announced, an announced one is completed, and what is left over is removed.

use std::collections::BTreeSet;

use super::marker::{self, Marker};
use super::steps::Step;
use super::tenant_keys::{self, Wrapped};
use super::{ATTEMPTS, PAGE, SealedVault};
use crate::config::{Change, Commit, ConfigEntry};
use crate::outbox;
use crate::vault::{KeyStatus, Note, Result, Rotation, RotationNote, VaultError};

/// Rotates: finishes what an earlier rotation left, then brings in a new key.
pub(super) async fn rotate(vault: &SealedVault, note: Note<'_, RotationNote>) -> Result<Rotation> {
    finish(vault, note).await?;
    let (marker, revision) = marker::expect(&*vault.store).await?;
    let unannounced = vault.keyring.newest().filter(|key| key.created_at > marker.created_at);
    let next = match unannounced {
        Some(key) => key,
        None => {
            // Later than the key before even if the clock went back: the newest is found by its time.
            let created_at = vault.clock.now().micros().max(marker.created_at.saturating_add(1));
            vault.keyring.add(created_at).await.map_err(VaultError::keys)?
        }
    };
    vault.steps.reached(Step::KeyWritten)?;
    let mut change = Change::new();
    change.at(marker::KEY, revision).put(marker::KEY, Marker::of(&next, false)?.encode()?);
    outbox::put(&mut change, &note(RotationNote::Begun { from: marker.id.clone(), to: next.id.clone() }));
    match vault.store.commit(change).await? {
        Commit::Done { .. } => {}
        Commit::Refused { .. } => return Err(VaultError::RotationRunning),
    }
    vault.steps.reached(Step::Announced)?;
    match finish(vault, note).await? {
        Some(rotation) => Ok(rotation),
        // Another process saw the announcement and was faster.
        None => Ok(Rotation { key_id: next.id.clone(), rewrapped: 0 }),
    }
}

/// Goes on with a rotation that was interrupted, from wherever it got to. `None` when there was none.
pub(super) async fn resume(vault: &SealedVault, note: Note<'_, RotationNote>) -> Result<Option<Rotation>> {
    let (marker, _) = marker::expect(&*vault.store).await?;
    if vault.keyring.newest().is_some_and(|key| key.created_at > marker.created_at) {
        return rotate(vault, note).await.map(Some);
    }
    let finished = finish(vault, note).await?;
    remove_unused(vault).await?;
    Ok(finished)
}

/// Wraps everything by the announced key. `None` when that was done before.
async fn finish(vault: &SealedVault, note: Note<'_, RotationNote>) -> Result<Option<Rotation>> {
    let mut rewrapped = 0;
    for _ in 0..ATTEMPTS {
        let (marker, revision) = marker::expect(&*vault.store).await?;
        if marker.complete {
            return Ok(None);
        }
        rewrapped += rewrap_all(vault, &marker.id).await?;
        vault.steps.reached(Step::AllRewrapped)?;
        let done = Marker { complete: true, ..marker };
        let mut change = Change::new();
        change.at(marker::KEY, revision).put(marker::KEY, done.encode()?);
        outbox::put(&mut change, &note(RotationNote::Done { key_id: done.id.clone(), rewrapped }));
        match vault.store.commit(change).await? {
            Commit::Refused { .. } => continue,
            Commit::Done { .. } => {}
        }
        vault.steps.reached(Step::Completed)?;
        remove_unused(vault).await?;
        return Ok(Some(Rotation { key_id: done.id, rewrapped }));
    }
    Err(VaultError::Contended(marker::KEY.to_owned()))
}

/// Wraps every tenant key that is not wrapped by `master` yet. Keys that are made meanwhile are wrapped by it already.
async fn rewrap_all(vault: &SealedVault, master: &str) -> Result<u32> {
    let mut rewrapped = 0;
    let mut pages = Pages::default();
    while let Some(page) = pages.next(vault).await? {
        for entry in &page {
            if Wrapped::decode(entry)?.master != master && rewrap(vault, &entry.key).await? {
                rewrapped += 1;
                vault.steps.reached(Step::Rewrapped)?;
            }
        }
    }
    Ok(rewrapped)
}

/// Wraps one tenant key by the master key in use; `false` when somebody else did.
async fn rewrap(vault: &SealedVault, at: &str) -> Result<bool> {
    for _ in 0..ATTEMPTS {
        let (marker, revision) = marker::expect(&*vault.store).await?;
        let entry = vault.store.get(at).await?.ok_or_else(|| VaultError::Damaged(at.to_owned()))?;
        let wrapped = Wrapped::decode(&entry)?;
        if wrapped.master == marker.id {
            return Ok(false);
        }
        let from = vault.keyring.get(&wrapped.master).await?;
        let to = vault.keyring.get(&marker.id).await?;
        let anew = wrapped.rewrap(at, &from, &to)?;
        let mut change = Change::new();
        change.at(marker::KEY, revision).at(at, entry.revision).put(at, anew.encode()?);
        match vault.store.commit(change).await? {
            Commit::Done { .. } => return Ok(true),
            Commit::Refused { .. } => {}
        }
    }
    Err(VaultError::Contended(at.to_owned()))
}

/// Removes older master keys that wrap nothing. Nothing can become wrapped by them after the look: the marker names a
/// newer one, and every wrapping commit is guarded by it.
async fn remove_unused(vault: &SealedVault) -> Result<()> {
    let (marker, _) = marker::expect(&*vault.store).await?;
    let older = vault.keyring.older_than(marker.created_at);
    if older.is_empty() {
        return Ok(());
    }
    let mut used = BTreeSet::new();
    let mut pages = Pages::default();
    while let Some(page) = pages.next(vault).await? {
        for entry in &page {
            used.insert(Wrapped::decode(entry)?.master);
        }
    }
    for id in older.into_iter().filter(|id| !used.contains(id)) {
        vault.keyring.remove(&id).await.map_err(VaultError::keys)?;
        tracing::info!(master_key = id, "removed a master key that is no longer in use");
        vault.steps.reached(Step::OldRemoved)?;
    }
    Ok(())
}

/// The state of the keys.
pub(super) async fn status(vault: &SealedVault) -> Result<KeyStatus> {
    let (marker, _) = marker::expect(&*vault.store).await?;
    let (mut tenant_keys, mut tenant_keys_behind) = (0, 0);
    let mut pages = Pages::default();
    while let Some(page) = pages.next(vault).await? {
        for entry in &page {
            tenant_keys += 1;
            tenant_keys_behind += u32::from(Wrapped::decode(entry)?.master != marker.id);
        }
    }
    Ok(KeyStatus { key_id: marker.id, created_at: marker.created_at, tenant_keys, tenant_keys_behind })
}

/// All tenant keys, page by page.
#[derive(Default)]
pub(super) struct Pages {
    after: Option<String>,
}

impl Pages {
    pub(super) async fn next(&mut self, vault: &SealedVault) -> Result<Option<Vec<ConfigEntry>>> {
        let page = vault.store.list(tenant_keys::PREFIX, self.after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(None);
        };
        self.after = Some(last.key.clone());
        Ok(Some(page))
    }
}
