//! One queue a tenant, and what is kept beside it.

use std::sync::atomic::{AtomicUsize, Ordering};

use runwarden_kit::clock::Moment;

use super::*;
use crate::config::{self, Commit, Written};
use crate::sqlite::SqliteConfigStore;

fn entry(tenant: &str, id: &str) -> Entry {
    Entry { entry_id: id.to_owned(), tenant: tenant.to_owned(), action: "tenant.create".to_owned(), ..Entry::default() }
}

fn head(tenant: &str, size: i64) -> LogHead {
    LogHead { tenant: tenant.to_owned(), size, ..LogHead::default() }
}

async fn open(dir: &tempfile::TempDir) -> Arc<dyn ConfigStore> {
    Arc::new(SqliteConfigStore::open(&dir.path().join("config.db")).await.unwrap())
}

async fn fill(store: &Arc<dyn ConfigStore>, entries: &[Entry]) {
    for some in entries.chunks(100) {
        let mut change = Change::new();
        for entry in some {
            put(&mut change, entry);
        }
        store.commit(change).await.unwrap();
    }
}

#[tokio::test]
async fn entries_wait_with_their_change_oldest_first_until_they_are_settled() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let outbox = ConfigOutbox::new(Arc::clone(&store));
    for id in ["rec_2", "rec_1", "rec_3"] {
        let mut change = Change::new();
        change.put(format!("thing/{id}"), b"");
        put(&mut change, &entry("acme", id));
        store.commit(change).await.unwrap();
    }
    fill(&store, &[entry("", "rec_0"), entry("rec", "rec_9"), entry("zed", "rec_7")]).await;
    assert_eq!(outbox.waiting().await.unwrap(), ["", "acme", "rec", "zed"]);
    assert_eq!(outbox.count("acme").await.unwrap(), 3);
    assert_eq!(outbox.count("").await.unwrap(), 1);
    assert_eq!(outbox.pending("acme", 2).await.unwrap(), [entry("acme", "rec_1"), entry("acme", "rec_2")]);
    let ids = ["rec_1", "rec_2", "rec_2", "rec_9"].map(str::to_owned);
    outbox.settle("acme", &ids, &[head("acme", 2)]).await.unwrap();
    assert_eq!(outbox.pending("acme", 10).await.unwrap(), [entry("acme", "rec_3")]);
    assert_eq!(outbox.count("rec").await.unwrap(), 1, "another tenant's entry of that id stays");
    assert_eq!(outbox.seen().await.unwrap(), [head("acme", 2)]);
    outbox.settle("", &[], &[head("", 7), head("acme", 3)]).await.unwrap();
    assert_eq!(outbox.seen().await.unwrap(), [head("", 7), head("acme", 3)]);
    assert_eq!(store.count("thing/").await.unwrap(), 3);
}

#[tokio::test]
async fn a_refused_change_leaves_no_entry() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let mut change = Change::new();
    change.at("a", 7).put("a", b"1");
    put(&mut change, &entry("acme", "rec_1"));
    store.commit(change).await.unwrap();
    assert_eq!(ConfigOutbox::new(store).count("acme").await.unwrap(), 0);
}

#[tokio::test]
async fn more_than_one_commit_can_take_is_settled_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let ids: Vec<String> = (0..250).map(|n| format!("rec_{n:04}")).collect();
    fill(&store, &ids.iter().map(|id| entry("acme", id)).collect::<Vec<_>>()).await;
    let outbox = ConfigOutbox::new(store);
    outbox.settle("acme", &ids, &[head("acme", 250)]).await.unwrap();
    assert_eq!(outbox.totals().await.unwrap(), (0, 0));
    assert_eq!(outbox.seen().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_an_earlier_version_left_is_handed_over_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let earlier: Vec<Entry> =
        (0..120).map(|n| entry(if n % 2 == 0 { "acme" } else { "" }, &format!("rec_{n:03}"))).collect();
    for some in earlier.chunks(100) {
        let mut change = Change::new();
        for entry in some {
            change.put(format!("outbox/{}", entry.entry_id), entry.encode_to_vec());
        }
        store.commit(change).await.unwrap();
    }
    let outbox = ConfigOutbox::new(store);
    assert_eq!(outbox.waiting().await.unwrap(), ["", "acme"]);
    for tenant in ["", "acme"] {
        let of_it: Vec<Entry> = earlier.iter().filter(|entry| entry.tenant == tenant).cloned().collect();
        assert_eq!(outbox.pending(tenant, 500).await.unwrap(), of_it);
    }
}

#[tokio::test]
async fn what_is_set_aside_is_kept_and_can_be_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    fill(&store, &[entry("acme", "rec_1"), entry("acme", "rec_2")]).await;
    let outbox = ConfigOutbox::new(store);
    let refused = SetAside::new(entry("acme", "rec_1"), "too long".into(), Moment::from_micros(5));
    outbox.set_aside(&refused).await.unwrap();
    assert_eq!(outbox.pending("acme", 9).await.unwrap(), [entry("acme", "rec_2")]);
    assert_eq!(outbox.aside().await.unwrap(), [refused]);
    assert_eq!(outbox.totals().await.unwrap(), (1, 1));
    assert_eq!(outbox.count("acme").await.unwrap(), 2);
    assert!(!outbox.send_again("umbrella", "rec_1").await.unwrap());
    assert!(outbox.send_again("acme", "rec_1").await.unwrap());
    assert_eq!(outbox.totals().await.unwrap(), (2, 0));
}

/// A store that takes so many commits and then no more.
#[derive(Debug)]
struct Failing {
    inner: Arc<dyn ConfigStore>,
    left: AtomicUsize,
}

#[async_trait]
impl ConfigStore for Failing {
    async fn get(&self, key: &str) -> Result<Option<config::ConfigEntry>> {
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<config::ConfigEntry>> {
        self.inner.list(prefix, after, limit).await
    }

    async fn count(&self, prefix: &str) -> Result<u64> {
        self.inner.count(prefix).await
    }

    async fn commit(&self, change: Change) -> Result<Commit> {
        let left = self.left.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_err(|_| StoreError::failed("the disk is full"))?;
        self.inner.commit(change).await
    }

    async fn revision(&self) -> Result<i64> {
        self.inner.revision().await
    }

    async fn written_since(&self, prefix: &str, after: i64) -> Result<Written> {
        self.inner.written_since(prefix, after).await
    }
}

#[tokio::test]
async fn no_entry_is_forgotten_before_how_far_its_log_was_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let ids: Vec<String> = (0..120).map(|n| format!("rec_{n:04}")).collect();
    fill(&store, &ids.iter().map(|id| entry("acme", id)).collect::<Vec<_>>()).await;
    let outbox = ConfigOutbox::new(Arc::new(Failing { inner: store, left: 1.into() }));
    outbox.settle("acme", &ids, &[head("acme", 120)]).await.unwrap_err();
    assert_eq!(outbox.count("acme").await.unwrap(), 70, "the second commit failed");
    assert_eq!(outbox.seen().await.unwrap(), [head("acme", 120)]);
}
