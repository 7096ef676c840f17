//! What happens between the look and the commit: a store in which somebody else is always faster.

use std::fmt;
use std::pin::Pin;
use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::Result as StoreResult;
use crate::config::{Commit, ConfigEntry, Written};

type Deed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A store that lets somebody else do something right before a commit that writes under a prefix.
struct Meddler {
    inner: Arc<dyn ConfigStore>,
    prefix: &'static str,
    deed: Mutex<Option<Deed>>,
}

impl fmt::Debug for Meddler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meddler")
    }
}

#[async_trait]
impl ConfigStore for Meddler {
    async fn get(&self, key: &str) -> StoreResult<Option<ConfigEntry>> {
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> StoreResult<Vec<ConfigEntry>> {
        self.inner.list(prefix, after, limit).await
    }

    async fn count(&self, prefix: &str) -> StoreResult<u64> {
        self.inner.count(prefix).await
    }

    async fn commit(&self, change: Change) -> StoreResult<Commit> {
        if change.writes().iter().any(|write| write.key().starts_with(self.prefix)) {
            let deed = self.deed.lock().unwrap().take();
            if let Some(deed) = deed {
                deed.await;
            }
        }
        self.inner.commit(change).await
    }

    async fn revision(&self) -> StoreResult<i64> {
        self.inner.revision().await
    }

    async fn written_since(&self, prefix: &str, after: i64) -> StoreResult<Written> {
        self.inner.written_since(prefix, after).await
    }
}

/// A second process on the same house, in whose way something is done once.
async fn hindered(house: &House, prefix: &'static str, deed: impl Future<Output = ()> + Send + 'static) -> SealedVault {
    let meddler = Meddler { inner: house.store().await, prefix, deed: Mutex::new(Some(Box::pin(deed))) };
    house.open_on(Arc::new(meddler)).await.unwrap()
}

#[tokio::test]
async fn a_tenant_key_is_never_wrapped_by_a_master_key_that_a_rotation_has_just_removed() {
    let house = House::new();
    let first = Arc::new(house.vault().await);
    put(&first, "acme", "kept").await;
    let rotating = Arc::clone(&first);
    let second = hindered(&house, "tenant-keys/newcomer", async move {
        rotating.rotate_master(&note).await.unwrap();
    })
    .await;
    put(&second, "newcomer", "kept").await;
    assert_eq!(house.key_files().len(), 1);
    assert_eq!(first.status().await.unwrap().tenant_keys_behind, 0);
    assert_eq!(read(&house.vault().await, "newcomer").await, "kept");
}

#[tokio::test]
async fn of_two_processes_that_rotate_at_once_one_does_and_nothing_is_lost() {
    let house = House::new();
    let first = Arc::new(house.vault().await);
    put(&first, "acme", "kept").await;
    let rotating = Arc::clone(&first);
    let second = hindered(&house, super::super::marker::KEY, async move {
        rotating.rotate_master(&note).await.unwrap();
    })
    .await;
    assert!(matches!(second.rotate_master(&note).await, Err(VaultError::RotationRunning)));
    assert_eq!(read(&first, "acme").await, "kept");
    drop((first, second));
    // The loser's key was never announced. It is newer than the winner's or older: brought in, or removed.
    let vault = house.vault().await;
    vault.resume_rotation(&note).await.unwrap();
    assert_eq!(house.key_files().len(), 1);
    assert_eq!(read(&vault, "acme").await, "kept");
    assert_eq!(vault.status().await.unwrap().tenant_keys_behind, 0);
}

#[tokio::test]
async fn a_key_that_somebody_else_wrapped_anew_is_left_alone() {
    let house = House::new();
    let first = Arc::new(house.vault().await);
    put(&first, "acme", "kept").await;
    first.steps.die_at(Some(Step::Announced));
    first.rotate_master(&note).await.unwrap_err();
    first.steps.die_at(None);
    let finishing = Arc::clone(&first);
    let second = hindered(&house, "tenant-keys/", async move {
        finishing.resume_rotation(&note).await.unwrap();
    })
    .await;
    // It was about to wrap the first key when all of it was done.
    second.resume_rotation(&note).await.unwrap();
    assert_eq!(second.status().await.unwrap().tenant_keys_behind, 0);
    assert_eq!(house.key_files().len(), 1);
    assert_eq!(read(&second, "acme").await, "kept");
    assert_eq!(outbox(&house).await.iter().filter(|action| *action == "done").count(), 1);
}

#[tokio::test]
async fn a_put_that_was_overtaken_takes_the_next_version() {
    let house = House::new();
    let first = Arc::new(house.vault().await);
    let faster = Arc::clone(&first);
    let second = hindered(&house, "secrets/", async move { put(&faster, "acme", "first").await }).await;
    let version = second.put("acme", &name("a"), &text("second"), &|_| entry("put")).await.unwrap();
    assert_eq!(version, 2);
    assert_eq!(read(&first, "acme").await, "second");
    assert_eq!(outbox(&house).await, ["put", "put"], "the entry of the refused commit is gone with it");
}
