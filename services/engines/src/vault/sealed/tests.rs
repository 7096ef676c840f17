//! The sealed vault on a real store in a folder of its own.

mod races;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use runwarden_kit::clock::{Clock, Moment};
use runwarden_proto::audit::v1::Entry as AuditEntry;
use tempfile::TempDir;

use super::steps::Step;
use super::{OpenError, SealedVault, VaultOptions};
use crate::config::{Change, ConfigStore};
use crate::outbox::ConfigOutbox;
use crate::sqlite::SqliteConfigStore;
use crate::vault::{Plaintext, RotationNote, SecretName, Vault, VaultError};

const DAY: Duration = Duration::from_secs(86_400);

/// A data folder that outlives the vaults opened on it.
struct House {
    temp: TempDir,
    clock: Ticking,
}

/// A clock that moves on by a microsecond at every look, as time does.
#[derive(Clone)]
struct Ticking(Arc<AtomicI64>);

impl Clock for Ticking {
    fn now(&self) -> Moment {
        Moment::from_micros(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

impl House {
    fn new() -> Self {
        Self { temp: tempfile::tempdir().unwrap(), clock: Ticking(Arc::new(AtomicI64::new(1_795_000_000_000_000))) }
    }

    fn master_keys(&self) -> PathBuf {
        self.temp.path().join("master-keys")
    }

    fn key_files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(self.master_keys()).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files
    }

    fn advance(&self, by: Duration) {
        self.clock.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }

    async fn store(&self) -> Arc<dyn ConfigStore> {
        Arc::new(SqliteConfigStore::open(&self.temp.path().join("config.db")).await.unwrap())
    }

    async fn open(&self) -> Result<SealedVault, OpenError> {
        self.open_on(self.store().await).await
    }

    async fn open_on(&self, store: Arc<dyn ConfigStore>) -> Result<SealedVault, OpenError> {
        SealedVault::open(VaultOptions {
            store,
            master_keys: self.master_keys(),
            tenant_key_max_age: 90 * DAY,
            clock: Arc::new(self.clock.clone()),
        })
        .await
    }

    async fn vault(&self) -> SealedVault {
        self.open().await.unwrap()
    }
}

async fn fresh() -> anyhow::Result<(House, Arc<dyn Vault>)> {
    let house = House::new();
    let vault = house.open().await?;
    Ok((house, Arc::new(vault)))
}

mod conformance {
    crate::vault_conformance!(super::fresh);
}

fn entry(action: &str) -> AuditEntry {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    AuditEntry { entry_id: format!("rec_{number:032}"), action: action.to_owned(), ..AuditEntry::default() }
}

fn note(step: RotationNote) -> AuditEntry {
    match step {
        RotationNote::Begun { .. } => entry("begun"),
        RotationNote::Done { .. } => entry("done"),
    }
}

fn name(text: &str) -> SecretName {
    SecretName::parse(text).unwrap()
}

fn text(value: &str) -> Plaintext {
    Plaintext::new(value.as_bytes().to_vec())
}

async fn put(vault: &SealedVault, tenant: &str, value: &str) {
    vault.put(tenant, &name("a"), &text(value), &|_| entry("put")).await.unwrap();
}

async fn read(vault: &SealedVault, tenant: &str) -> String {
    let revealed = vault.read(tenant, &name("a")).await.unwrap().unwrap();
    String::from_utf8(revealed.value.expose().to_vec()).unwrap()
}

async fn outbox(house: &House) -> Vec<String> {
    let entries = ConfigOutbox::new(house.store().await).pending_of_all().await.unwrap();
    entries.into_iter().map(|entry| entry.action).collect()
}

/// Every file of the house, for looking for what must not be there.
fn all_bytes(house: &House) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(house.temp.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            bytes.extend(fs::read(path).unwrap());
        }
    }
    bytes
}

#[tokio::test]
async fn everything_is_there_again_after_a_restart() {
    let house = House::new();
    let vault = house.vault().await;
    put(&vault, "acme", "kept").await;
    let sealed = vault.seal("acme", "job_1", &text("sealed")).await.unwrap();
    let status = vault.status().await.unwrap();
    drop(vault);

    let vault = house.vault().await;
    assert_eq!(vault.resume_rotation(&note).await.unwrap(), None);
    assert_eq!(vault.status().await.unwrap(), status);
    assert_eq!(read(&vault, "acme").await, "kept");
    assert_eq!(vault.open("acme", "job_1", &sealed.bytes).await.unwrap().unwrap().expose(), b"sealed");
    let again = vault.seal("acme", "job_1", &text("sealed")).await.unwrap();
    assert_eq!(again.keyed_hash, sealed.keyed_hash);
}

#[tokio::test]
async fn nothing_on_disk_shows_a_value_and_key_files_are_private() {
    let house = House::new();
    let vault = house.vault().await;
    put(&vault, "acme", "correct horse battery staple").await;
    drop(vault);
    let needle = b"correct horse";
    assert!(!all_bytes(&house).windows(needle.len()).any(|w| w == needle));
    let mode = |path: &PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&house.master_keys()), 0o700);
    assert_eq!(house.key_files().iter().map(mode).collect::<Vec<_>>(), [0o600]);
}

#[tokio::test]
async fn a_missing_master_key_stops_the_start_and_no_new_one_is_made() {
    let house = House::new();
    put(&house.vault().await, "acme", "kept").await;
    let file = house.key_files().remove(0);
    let aside = house.temp.path().join("aside");
    fs::rename(&file, &aside).unwrap();

    let error = house.open().await.unwrap_err();
    assert!(matches!(error, OpenError::MissingMasterKey { .. }), "{error}");
    let id = file.file_stem().unwrap().to_str().unwrap();
    assert!(error.to_string().contains(id) && error.to_string().contains("backup"), "{error}");
    assert!(house.key_files().is_empty(), "a new key would hide the loss");

    fs::rename(&aside, &file).unwrap();
    assert_eq!(read(&house.vault().await, "acme").await, "kept");
}

#[tokio::test]
async fn another_key_under_the_same_id_stops_the_start() {
    let house = House::new();
    put(&house.vault().await, "acme", "kept").await;
    let other = House::new();
    drop(other.vault().await);

    let words = |path: &PathBuf| fs::read_to_string(path).unwrap().split(' ').map(str::to_owned).collect::<Vec<_>>();
    let file = house.key_files().remove(0);
    let mut content = words(&file);
    content[3] = words(&other.key_files()[0])[3].clone();
    fs::write(&file, content.join(" ")).unwrap();
    let error = house.open().await.unwrap_err();
    assert!(matches!(error, OpenError::WrongMasterKey { .. }), "{error}");
}

#[tokio::test]
async fn a_changed_or_moved_tenant_key_stops_the_start() {
    let house = House::new();
    let vault = house.vault().await;
    put(&vault, "acme", "acme's").await;
    put(&vault, "evil", "evil's").await;
    drop(vault);
    let store = house.store().await;
    // Evil's key in the place of acme's: whoever knows the one would know the other.
    let key = store.get("tenant-keys/evil/0000000001").await.unwrap().unwrap();
    let mut change = Change::new();
    change.put("tenant-keys/acme/0000000001", key.value);
    store.commit(change).await.unwrap();
    let error = house.open().await.unwrap_err();
    assert!(matches!(error, OpenError::DamagedTenantKey { ref key, .. } if key.contains("acme")), "{error}");
}

#[tokio::test]
async fn a_store_that_was_restored_in_part_stops_the_start() {
    let house = House::new();
    put(&house.vault().await, "acme", "kept").await;
    let mut change = Change::new();
    change.delete(super::marker::KEY);
    house.store().await.commit(change).await.unwrap();
    let error = house.open().await.unwrap_err();
    assert!(matches!(error, OpenError::StoreIncomplete), "{error}");
}

#[tokio::test]
async fn a_stored_secret_in_another_place_or_with_another_version_does_not_open() {
    let house = House::new();
    let vault = house.vault().await;
    put(&vault, "acme", "one").await;
    put(&vault, "evil", "two").await;
    let store = house.store().await;
    let stored = store.get("secrets/acme/a").await.unwrap().unwrap().value;
    let older = String::from_utf8(stored.clone()).unwrap().replace("\"version\":1", "\"version\":2").into_bytes();
    for (at, value) in [("secrets/evil/a", &stored), ("secrets/acme/b", &stored), ("secrets/acme/a", &older)] {
        let mut change = Change::new();
        change.put(at, value.clone());
        store.commit(change).await.unwrap();
        let (tenant, secret) = at.strip_prefix("secrets/").unwrap().split_once('/').unwrap();
        let outcome = vault.read(tenant, &name(secret)).await;
        assert!(matches!(outcome, Err(VaultError::Damaged(ref what)) if what == at), "{at}");
    }
}

#[tokio::test]
async fn a_change_and_its_record_are_one_commit() {
    let house = House::new();
    let vault = house.vault().await;
    put(&vault, "acme", "one").await;
    let store = house.store().await;
    let secret = store.get("secrets/acme/a").await.unwrap().unwrap();
    let record = store.list("outbox/", None, 10).await.unwrap().remove(0);
    assert_eq!(secret.revision, record.revision);
    vault.delete("acme", &name("a"), &|_| entry("delete")).await.unwrap();
    assert_eq!(vault.delete("acme", &name("a"), &|_| entry("delete")).await.unwrap(), None);
    vault.rotate_master(&note).await.unwrap();
    assert_eq!(outbox(&house).await, ["put", "delete", "begun", "done"]);
}

#[tokio::test]
async fn a_rotation_leaves_one_key_file_and_the_old_one_opens_nothing() {
    let house = House::new();
    let vault = house.vault().await;
    for tenant in ["acme", "other"] {
        put(&vault, tenant, "kept").await;
    }
    let old = house.key_files().remove(0);
    let old_content = fs::read(&old).unwrap();
    let rotation = vault.rotate_master(&note).await.unwrap();
    assert_eq!(rotation.rewrapped, 4, "a root and a data key for each of two tenants");
    let new = house.key_files();
    assert_eq!(new.len(), 1);
    assert_ne!(new[0], old);
    assert_eq!(new[0].file_stem().unwrap().to_str().unwrap(), rotation.key_id);
    drop(vault);

    fs::remove_file(&new[0]).unwrap();
    fs::write(&old, old_content).unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(house.open().await.unwrap_err(), OpenError::MissingMasterKey { .. }));
}

#[tokio::test]
async fn a_rotation_that_dies_at_any_step_loses_nothing_and_is_finished_at_the_next_start() {
    let steps =
        [Step::KeyWritten, Step::Announced, Step::Rewrapped, Step::AllRewrapped, Step::Completed, Step::OldRemoved];
    for step in steps {
        let house = House::new();
        let vault = house.vault().await;
        let tenants = ["acme", "beta", "gamma"];
        let mut sealed = BTreeMap::new();
        for tenant in tenants {
            put(&vault, tenant, "kept").await;
            sealed.insert(tenant, vault.seal(tenant, "job", &text("sealed")).await.unwrap());
        }
        let before = vault.status().await.unwrap();
        vault.steps.die_at(Some(step));
        vault.rotate_master(&note).await.unwrap_err();

        // What still runs goes on as if nothing had happened, new tenants included.
        for tenant in tenants {
            assert_eq!(read(&vault, tenant).await, "kept", "{step:?}");
        }
        put(&vault, "newcomer", "kept").await;
        let behind = vault.status().await.unwrap().tenant_keys_behind;
        let expected = match step {
            Step::KeyWritten | Step::AllRewrapped | Step::Completed | Step::OldRemoved => 0,
            Step::Announced => 6,
            Step::Rewrapped => 5,
        };
        assert_eq!(behind, expected, "{step:?}");
        drop(vault);

        // The next start finishes it, and a start after that has nothing left to do.
        let vault = house.vault().await;
        for tenant in tenants {
            assert_eq!(read(&vault, tenant).await, "kept", "{step:?} before it is finished");
        }
        vault.resume_rotation(&note).await.unwrap();
        let after = vault.status().await.unwrap();
        assert_ne!(after.key_id, before.key_id, "{step:?}");
        assert_eq!((after.tenant_keys, after.tenant_keys_behind), (8, 0), "{step:?}");
        assert_eq!(house.key_files().len(), 1, "{step:?}: the old key is gone");
        assert_eq!(outbox(&house).await.iter().filter(|a| *a == "begun").count(), 1, "{step:?}");
        assert_eq!(outbox(&house).await.iter().filter(|a| *a == "done").count(), 1, "{step:?}");
        drop(vault);

        let vault = house.vault().await;
        assert_eq!(vault.resume_rotation(&note).await.unwrap(), None, "{step:?}");
        for (tenant, sealed) in &sealed {
            assert_eq!(vault.open(tenant, "job", &sealed.bytes).await.unwrap().unwrap().expose(), b"sealed");
            let again = vault.seal(tenant, "job", &text("sealed")).await.unwrap();
            assert_eq!(again.keyed_hash, sealed.keyed_hash, "{step:?}");
        }
    }
}

#[tokio::test]
async fn a_rotation_that_failed_midway_is_finished_by_the_next_one() {
    let house = House::new();
    let vault = house.vault().await;
    put(&vault, "acme", "kept").await;
    for step in [Step::KeyWritten, Step::Announced, Step::Rewrapped, Step::AllRewrapped, Step::Completed] {
        vault.steps.die_at(Some(step));
        vault.rotate_master(&note).await.unwrap_err();
        vault.steps.die_at(None);
        let rotation = vault.rotate_master(&note).await.unwrap();
        let status = vault.status().await.unwrap();
        assert_eq!((status.key_id, status.tenant_keys_behind), (rotation.key_id, 0), "{step:?}");
        assert_eq!(house.key_files().len(), 1, "{step:?}");
        assert_eq!(read(&vault, "acme").await, "kept");
    }
}

#[tokio::test]
async fn of_two_rotations_at_once_one_is_refused() {
    let house = House::new();
    let vault = house.vault().await;
    let _running = vault.rotating.lock().await;
    assert!(matches!(vault.rotate_master(&note).await, Err(VaultError::RotationRunning)));
}

#[tokio::test]
async fn a_second_process_follows_a_rotation_of_the_first() {
    let house = House::new();
    let (one, two) = (house.vault().await, house.vault().await);
    put(&one, "acme", "kept").await;
    assert_eq!(read(&two, "acme").await, "kept");
    one.rotate_master(&note).await.unwrap();
    // It has never seen the new key, and wraps a new tenant's keys by it.
    put(&two, "newcomer", "kept").await;
    assert_eq!(two.status().await.unwrap().tenant_keys_behind, 0);
    assert_eq!(read(&one, "newcomer").await, "kept");
    two.rotate_master(&note).await.unwrap();
    assert_eq!(read(&one, "acme").await, "kept");
    assert_eq!(one.status().await.unwrap(), two.status().await.unwrap());
    assert_eq!(house.key_files().len(), 1);
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_make_a_new_key_the_older_one() {
    let house = House::new();
    let vault = house.vault().await;
    put(&vault, "acme", "kept").await;
    house.clock.0.fetch_sub(3_600_000_000, Ordering::SeqCst);
    let rotation = vault.rotate_master(&note).await.unwrap();
    drop(vault);
    let vault = house.vault().await;
    assert_eq!(vault.resume_rotation(&note).await.unwrap(), None);
    assert_eq!(vault.status().await.unwrap().key_id, rotation.key_id);
    assert_eq!(read(&vault, "acme").await, "kept");
}

#[tokio::test]
async fn an_old_data_key_seals_no_more_and_still_opens_and_hashes_stay() {
    let house = House::new();
    let vault = house.vault().await;
    put(&vault, "acme", "kept").await;
    let old = vault.seal("acme", "job", &text("value")).await.unwrap();
    assert_eq!(vault.status().await.unwrap().tenant_keys, 2);
    house.advance(90 * DAY);
    let new = vault.seal("acme", "job", &text("value")).await.unwrap();
    assert_eq!(vault.status().await.unwrap().tenant_keys, 3);
    assert_eq!((old.bytes[4], new.bytes[4]), (1, 2), "the number of the data key");
    assert_eq!(old.keyed_hash, new.keyed_hash);
    vault.rotate_master(&note).await.unwrap();
    for sealed in [&old, &new] {
        assert_eq!(vault.open("acme", "job", &sealed.bytes).await.unwrap().unwrap().expose(), b"value");
    }
    assert_eq!(read(&vault, "acme").await, "kept");
}

#[tokio::test]
async fn racing_first_seals_of_a_tenant_agree_on_its_keys() {
    let house = House::new();
    let (one, two) = (Arc::new(house.vault().await), Arc::new(house.vault().await));
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let vault = Arc::clone(if n % 2 == 0 { &one } else { &two });
            tokio::spawn(async move { vault.seal("acme", "job", &text("value")).await.unwrap() })
        })
        .collect();
    let mut hashes = Vec::new();
    for task in tasks {
        let sealed = task.await.unwrap();
        assert!(one.open("acme", "job", &sealed.bytes).await.unwrap().is_some());
        assert!(two.open("acme", "job", &sealed.bytes).await.unwrap().is_some());
        hashes.push(sealed.keyed_hash);
    }
    hashes.dedup();
    assert_eq!(hashes.len(), 1);
    assert_eq!(one.status().await.unwrap().tenant_keys, 2);
}
