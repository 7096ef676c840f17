//! What every vault must do. An engine runs it with [`vault_conformance!`](crate::vault_conformance), which makes one
//! test of each function here.
//!
//! Each function takes a fresh vault without tenants.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, ensure};
use runwarden_proto::audit::v1::Entry;

use super::{Plaintext, RotationNote, SecretName, Vault, VaultError};

/// Makes one test of each requirement. `$make` is an async function without arguments that answers
/// `anyhow::Result<(guard, Arc<dyn Vault>)>`; the guard keeps what the vault needs (a folder, a server) alive.
#[macro_export]
macro_rules! vault_conformance {
    ($make:path) => {
        $crate::conformance_tests!(
            $make,
            [$crate::vault::conformance],
            a_secret_is_read_as_it_was_put,
            versions_grow_by_one,
            a_secret_that_is_not_there_is_none,
            a_deleted_secret_is_gone,
            secrets_of_tenants_are_apart,
            a_list_is_by_name_and_pages_without_gaps,
            puts_that_race_get_versions_of_their_own,
            a_note_that_is_made_again_says_what_came_about,
            a_sealed_value_opens_for_its_tenant_and_context_only,
            a_sealed_value_with_any_byte_changed_stays_shut,
            noise_stays_shut,
            equal_values_have_equal_hashes_within_a_tenant_only,
            everything_outlives_a_rotation,
            a_rotation_goes_on_under_load,
            a_tenant_that_is_no_slug_is_refused,
            nothing_secret_is_printed,
        );
    };
}

type Store = Arc<dyn Vault>;

/// An audit entry with an id of its own.
fn entry(action: &str) -> Entry {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Entry { entry_id: format!("rec_{number:032}"), action: action.to_owned(), ..Entry::default() }
}

fn name(text: &str) -> Result<SecretName> {
    SecretName::parse(text).map_err(anyhow::Error::msg)
}

fn text(value: &str) -> Plaintext {
    Plaintext::new(value.as_bytes().to_vec())
}

async fn put(vault: &Store, tenant: &str, at: &str, value: &str) -> Result<i64> {
    Ok(vault.put(tenant, &name(at)?, &text(value), &|_| entry("secret.put")).await?)
}

async fn read(vault: &Store, tenant: &str, at: &str) -> Result<Option<(Vec<u8>, i64)>> {
    let revealed = vault.read(tenant, &name(at)?).await?;
    Ok(revealed.map(|secret| (secret.value.expose().to_vec(), secret.version)))
}

async fn rotate(vault: &Store) -> Result<super::Rotation> {
    Ok(vault.rotate_master(&|_: RotationNote| entry("master_key.rotate")).await?)
}

/// Values of every length come back byte for byte.
pub async fn a_secret_is_read_as_it_was_put(vault: Store) -> Result<()> {
    for (at, value) in [("empty", Vec::new()), ("bytes", (0..=255).collect()), ("large", vec![7; 64 << 10])] {
        vault.put("acme", &name(at)?, &Plaintext::new(value.clone()), &|_| entry("secret.put")).await?;
        ensure!(read(&vault, "acme", at).await? == Some((value, 1)), "{at} came back changed");
    }
    Ok(())
}

/// A put replaces, and counts.
pub async fn versions_grow_by_one(vault: Store) -> Result<()> {
    for version in 1..=3 {
        let seen = std::sync::Mutex::new(0);
        let answered = vault
            .put("acme", &name("a")?, &text(&format!("value {version}")), &|noted| {
                if let Ok(mut seen) = seen.lock() {
                    *seen = noted;
                }
                entry("secret.put")
            })
            .await?;
        ensure!(answered == version, "{answered} is not {version}");
        ensure!(seen.into_inner().is_ok_and(|noted| noted == version), "the record has another version");
        ensure!(read(&vault, "acme", "a").await? == Some((format!("value {version}").into_bytes(), version)));
    }
    Ok(())
}

/// Nothing is not a failure.
pub async fn a_secret_that_is_not_there_is_none(vault: Store) -> Result<()> {
    ensure!(read(&vault, "acme", "a").await?.is_none());
    put(&vault, "acme", "a/b", "value").await?;
    ensure!(read(&vault, "acme", "a").await?.is_none(), "a folder is no secret");
    ensure!(vault.delete("acme", &name("a")?, &|_| entry("secret.delete")).await?.is_none());
    Ok(())
}

/// Deleted is deleted.
pub async fn a_deleted_secret_is_gone(vault: Store) -> Result<()> {
    put(&vault, "acme", "a", "one").await?;
    put(&vault, "acme", "a", "two").await?;
    ensure!(vault.delete("acme", &name("a")?, &|_| entry("secret.delete")).await? == Some(2));
    ensure!(read(&vault, "acme", "a").await?.is_none());
    ensure!(vault.list("acme", None, 10).await?.is_empty());
    Ok(())
}

/// The same name in two tenants is two secrets.
pub async fn secrets_of_tenants_are_apart(vault: Store) -> Result<()> {
    put(&vault, "acme", "a", "acme's").await?;
    put(&vault, "acme-2", "a", "acme-2's").await?;
    put(&vault, "acme-2", "b", "acme-2's").await?;
    ensure!(read(&vault, "acme", "a").await? == Some((b"acme's".to_vec(), 1)));
    ensure!(read(&vault, "acme-2", "a").await? == Some((b"acme-2's".to_vec(), 1)));
    ensure!(vault.list("acme", None, 10).await?.len() == 1, "a list shows another tenant's");
    vault.delete("acme", &name("a")?, &|_| entry("secret.delete")).await?;
    ensure!(read(&vault, "acme-2", "a").await?.is_some());
    Ok(())
}

/// A list tells names and versions in order.
pub async fn a_list_is_by_name_and_pages_without_gaps(vault: Store) -> Result<()> {
    let mut names: Vec<String> = (0..7).map(|n| format!("controllers/c{n}")).collect();
    names.push("a".to_owned());
    for at in &names {
        put(&vault, "acme", at, "value").await?;
    }
    put(&vault, "acme", "a", "again").await?;
    names.sort();
    let mut seen = Vec::new();
    let mut after: Option<SecretName> = None;
    loop {
        let page = vault.list("acme", after.as_ref(), 3).await?;
        ensure!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = Some(last.name.clone());
        seen.extend(page);
    }
    ensure!(seen.iter().map(|s| s.name.to_string()).collect::<Vec<_>>() == names);
    ensure!(seen.first().is_some_and(|s| s.version == 2 && s.updated_at > 0));
    Ok(())
}

/// Two at once never get the same version.
pub async fn puts_that_race_get_versions_of_their_own(vault: Store) -> Result<()> {
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let vault = Arc::clone(&vault);
            tokio::spawn(async move { put(&vault, "acme", "a", &format!("value {n}")).await })
        })
        .collect();
    let mut versions = Vec::new();
    for task in tasks {
        versions.push(task.await??);
    }
    versions.sort_unstable();
    ensure!(versions == (1..=8).collect::<Vec<i64>>(), "{versions:?}");
    ensure!(read(&vault, "acme", "a").await?.is_some_and(|(_, version)| version == 8));
    Ok(())
}

/// When a put that others got in the way of is tried again, so is its note, and the last one counts.
pub async fn a_note_that_is_made_again_says_what_came_about(vault: Store) -> Result<()> {
    for _ in 0..200 {
        let racers: Vec<_> = (0..8)
            .map(|_| {
                let vault = Arc::clone(&vault);
                tokio::spawn(async move {
                    let noted = std::sync::Mutex::new(Vec::new());
                    let note = |version| {
                        if let Ok(mut noted) = noted.lock() {
                            noted.push(version);
                        }
                        entry("secret.put")
                    };
                    let version = vault.put("acme", &name("a")?, &text("value"), &note).await?;
                    anyhow::Ok((version, noted.into_inner().unwrap_or_default()))
                })
            })
            .collect();
        let mut was_made_again = false;
        for racer in racers {
            let (version, noted) = racer.await??;
            ensure!(noted.last() == Some(&version), "version {version} has the note of {noted:?}");
            was_made_again |= noted.len() > 1;
        }
        if was_made_again {
            return Ok(());
        }
    }
    anyhow::bail!("no put was ever tried again")
}

/// A sealed value is worth nothing anywhere else.
pub async fn a_sealed_value_opens_for_its_tenant_and_context_only(vault: Store) -> Result<()> {
    let sealed = vault.seal("acme", "job_1", &text("value")).await?;
    let opened = vault.open("acme", "job_1", &sealed.bytes).await?.context("it does not open")?;
    ensure!(opened.expose() == b"value");
    // The other tenant has keys of its own.
    vault.seal("other", "job_1", &text("value")).await?;
    for (tenant, context) in
        [("other", "job_1"), ("nobody", "job_1"), ("acme", "job_2"), ("acme", ""), ("acme", "job_1/")]
    {
        ensure!(vault.open(tenant, context, &sealed.bytes).await?.is_none(), "opened for {tenant} {context}");
    }
    let large = Plaintext::new(vec![9; 1 << 20]);
    let sealed = vault.seal("acme", "", &large).await?;
    ensure!(vault.open("acme", "", &sealed.bytes).await?.is_some_and(|value| value.expose() == large.expose()));
    Ok(())
}

/// Each byte counts.
pub async fn a_sealed_value_with_any_byte_changed_stays_shut(vault: Store) -> Result<()> {
    let sealed = vault.seal("acme", "job_1", &text("a password")).await?.bytes;
    for at in 0..sealed.len() {
        for flip in [1, 0x80, 0xff] {
            let mut changed = sealed.clone();
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= flip;
            }
            ensure!(vault.open("acme", "job_1", &changed).await?.is_none(), "byte {at} does not count");
        }
        let cut = sealed.get(..at).unwrap_or_default();
        ensure!(vault.open("acme", "job_1", cut).await?.is_none(), "cut at {at} it opens");
    }
    let longer = [sealed.as_slice(), b"x"].concat();
    ensure!(vault.open("acme", "job_1", &longer).await?.is_none());
    Ok(())
}

/// What was never sealed does not open, and breaks nothing.
pub async fn noise_stays_shut(vault: Store) -> Result<()> {
    vault.seal("acme", "", &text("x")).await?;
    for noise in [Vec::new(), vec![0], vec![1], vec![1, 0, 0, 0, 1], vec![1; 4096], vec![0xff; 64]] {
        ensure!(vault.open("acme", "", &noise).await?.is_none(), "{noise:?}");
    }
    Ok(())
}

/// Hashes find repetitions and help no guesser.
pub async fn equal_values_have_equal_hashes_within_a_tenant_only(vault: Store) -> Result<()> {
    let one = vault.seal("acme", "job_1", &text("value")).await?;
    let same = vault.seal("acme", "job_2", &text("value")).await?;
    let other = vault.seal("acme", "job_1", &text("another")).await?;
    let elsewhere = vault.seal("other", "job_1", &text("value")).await?;
    ensure!(one.keyed_hash.len() == 64 && one.keyed_hash.bytes().all(|b| b.is_ascii_hexdigit()));
    ensure!(one.keyed_hash == same.keyed_hash && one.bytes != same.bytes);
    ensure!(one.keyed_hash != other.keyed_hash && one.keyed_hash != elsewhere.keyed_hash);
    Ok(())
}

/// A rotation changes the master key and nothing that anybody sealed.
pub async fn everything_outlives_a_rotation(vault: Store) -> Result<()> {
    put(&vault, "acme", "a", "kept").await?;
    let sealed = vault.seal("acme", "job_1", &text("value")).await?;
    vault.seal("other", "job_1", &text("value")).await?;
    let before = vault.status().await?;
    for _ in 0..3 {
        let last = vault.status().await?.key_id;
        let rotation = rotate(&vault).await?;
        let status = vault.status().await?;
        ensure!(rotation.key_id == status.key_id && status.key_id != last, "the key is not new");
        ensure!(status.tenant_keys == before.tenant_keys && status.tenant_keys_behind == 0);
        ensure!(status.created_at > before.created_at);
        ensure!(read(&vault, "acme", "a").await? == Some((b"kept".to_vec(), 1)));
        ensure!(vault.open("acme", "job_1", &sealed.bytes).await?.is_some());
        ensure!(vault.seal("acme", "", &text("value")).await?.keyed_hash == sealed.keyed_hash);
    }
    Ok(())
}

/// Nobody waits for a rotation, and nobody loses anything to it.
pub async fn a_rotation_goes_on_under_load(vault: Store) -> Result<()> {
    let workers: Vec<_> = (0..6)
        .map(|worker| {
            let vault = Arc::clone(&vault);
            tokio::spawn(async move {
                for round in 0..8 {
                    // New tenants too: keys are made while keys are wrapped anew.
                    let tenant = format!("tenant-{worker}-{}", round / 2);
                    let value = format!("value {round}");
                    let sealed = vault.seal(&tenant, "job", &text(&value)).await?;
                    put(&vault, &tenant, "a", &value).await?;
                    let opened = vault.open(&tenant, "job", &sealed.bytes).await?.context("it does not open")?;
                    ensure!(opened.expose() == value.as_bytes());
                    ensure!(read(&vault, &tenant, "a").await?.is_some_and(|(read, _)| read == value.as_bytes()));
                }
                Ok(())
            })
        })
        .collect();
    for _ in 0..4 {
        match vault.rotate_master(&|_: RotationNote| entry("master_key.rotate")).await {
            Ok(_) | Err(VaultError::RotationRunning) => {}
            Err(error) => return Err(error.into()),
        }
    }
    for worker in workers {
        worker.await??;
    }
    rotate(&vault).await?;
    ensure!(vault.status().await?.tenant_keys_behind == 0);
    for worker in 0..6 {
        let last = read(&vault, &format!("tenant-{worker}-3"), "a").await?;
        ensure!(last.is_some_and(|(value, _)| value == b"value 7"));
    }
    Ok(())
}

/// A tenant can never reach into another's place by its name.
pub async fn a_tenant_that_is_no_slug_is_refused(vault: Store) -> Result<()> {
    for tenant in ["", "a/b", "../a", "A", "a\0"] {
        ensure!(matches!(put(&vault, tenant, "a", "x").await, Err(error) if error.is::<VaultError>()), "{tenant:?}");
        ensure!(vault.seal(tenant, "", &text("x")).await.is_err(), "{tenant:?}");
        ensure!(vault.open(tenant, "", b"x").await.is_err(), "{tenant:?}");
        ensure!(vault.list(tenant, None, 1).await.is_err(), "{tenant:?}");
    }
    Ok(())
}

/// What is secret stays so when it is printed.
pub async fn nothing_secret_is_printed(vault: Store) -> Result<()> {
    put(&vault, "acme", "a", "hunter2").await?;
    let revealed = vault.read("acme", &name("a")?).await?.context("it is gone")?;
    let sealed = vault.seal("acme", "job_1", &text("hunter2")).await?;
    let opened = vault.open("acme", "job_1", &sealed.bytes).await?;
    let printed = format!("{vault:?} {revealed:?} {sealed:?} {opened:?} {:#?}", vault.status().await?);
    ensure!(!printed.contains("hunter2") && !printed.contains(&format!("{:?}", b"hunter2")), "{printed}");
    ensure!(!printed.contains(&sealed.keyed_hash), "{printed}");
    Ok(())
}
