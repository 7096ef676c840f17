//! One queue a tenant, and what is kept beside it.

use runwarden_kit::clock::Moment;

use super::*;
use crate::job::tests::example;
use crate::store::{Acceptance, JobStore as _};

fn entry(tenant: &str, id: &str) -> Entry {
    Entry { entry_id: id.into(), tenant: tenant.into(), ..Entry::default() }
}

fn head(tenant: &str, restores: i64, size: i64) -> LogHead {
    LogHead { tenant: tenant.into(), restores, size, ..LogHead::default() }
}

async fn holding(entries: Vec<Entry>) -> (tempfile::TempDir, SqliteJobs) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap();
    store.accept(Acceptance { entries, ..Acceptance::of(example()) }).await.unwrap();
    (folder, store)
}

#[tokio::test]
async fn each_tenant_has_a_queue_of_its_own() {
    let (_folder, store) =
        holding(vec![entry("zed", "rec_1"), entry("acme", "rec_3"), entry("", "rec_0"), entry("acme", "rec_2")]).await;
    assert_eq!(store.waiting().await.unwrap(), ["", "acme", "zed"]);
    assert_eq!(store.pending("acme", 9).await.unwrap(), [entry("acme", "rec_3"), entry("acme", "rec_2")]);
    assert_eq!(store.pending("acme", 1).await.unwrap().len(), 1);
    assert_eq!((store.count("acme").await.unwrap(), store.count("").await.unwrap()), (2, 1));
    store.settle("acme", &["rec_3".into(), "rec_1".into()], &[head("acme", 0, 5)]).await.unwrap();
    assert_eq!(store.waiting().await.unwrap(), ["", "acme", "zed"], "another tenant's entry stays");
    assert_eq!(store.totals().await.unwrap(), (3, 0));
}

#[tokio::test]
async fn what_was_seen_never_goes_back() {
    let (_folder, store) = holding(Vec::new()).await;
    for seen in [head("acme", 0, 5), head("acme", 0, 4), head("acme", 1, 2), head("acme", 0, 9)] {
        store.settle("", &[], &[seen]).await.unwrap();
    }
    assert_eq!(store.seen().await.unwrap(), [head("acme", 1, 2)]);
}

#[tokio::test]
async fn what_is_set_aside_is_kept_and_can_be_sent_again() {
    let (_folder, store) = holding(vec![entry("acme", "rec_1"), entry("acme", "rec_2")]).await;
    let refused = SetAside::new(entry("acme", "rec_1"), "too long".into(), Moment::from_micros(5));
    store.set_aside(&refused).await.unwrap();
    assert_eq!(store.pending("acme", 9).await.unwrap(), [entry("acme", "rec_2")]);
    assert_eq!(store.aside().await.unwrap(), [refused]);
    assert_eq!((store.count("acme").await.unwrap(), store.totals().await.unwrap()), (2, (1, 1)));
    assert!(!store.send_again("zed", "rec_1").await.unwrap());
    assert!(store.send_again("acme", "rec_1").await.unwrap());
    assert_eq!(store.totals().await.unwrap(), (2, 0));
}

#[tokio::test]
async fn what_an_earlier_version_left_is_handed_over_too() {
    let (_folder, store) = holding(vec![entry("acme", "rec_1"), entry("", "rec_2")]).await;
    sqlx::query("UPDATE outbox SET tenant = '?'").execute(&store.engine.database.write).await.unwrap();
    assert_eq!(store.waiting().await.unwrap(), ["", "acme"]);
    assert_eq!(store.pending("acme", 9).await.unwrap(), [entry("acme", "rec_1")]);
}
