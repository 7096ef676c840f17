//! Accepting a restored copy: recorded, with a reason, beside the stopped service, and only of logs that verify.

use sqlx::{Connection as _, SqliteConnection};

use super::*;
use crate::database_path;
use crate::log::examples::Running;

async fn stopped() -> tempfile::TempDir {
    let log = Running::new().await;
    log.append("acme", 0..3).await;
    log.stop().await
}

async fn refused(dir: &Path, tenants: &[&str], reason: &str) -> String {
    let tenants: Vec<String> = tenants.iter().map(|tenant| (*tenant).to_owned()).collect();
    accept_restore(dir, &tenants, "root", reason, &[]).await.unwrap_err().to_string()
}

#[tokio::test]
async fn it_becomes_a_record_of_each_log_also_of_one_that_is_gone() {
    let dir = stopped().await;
    let tenants = ["acme", "umbrella", ""].map(str::to_owned);
    let accepted = accept_restore(dir.path(), &tenants, "root", " disk failed ", &[]).await.unwrap();
    assert_eq!(
        accepted.iter().map(|a| (a.log.as_str(), a.size)).collect::<Vec<_>>(),
        [("acme", 3), ("umbrella", 0), ("_platform", 0)]
    );
    let log = Running::within(dir).await;
    for (name, size) in [("acme", 4), ("umbrella", 1), ("_platform", 1)] {
        let listed = log.reader().list(name, &crate::store::Filter::default(), None, 10).await.unwrap().records;
        assert_eq!(listed.len(), size);
        let entry = &listed[0].0.entry;
        assert!(entry.accepts_restore());
        assert_eq!(entry.actor.principal, "operator:root");
        assert_eq!(entry.details.text("reason"), Some("disk failed"));
        let key = &*log.key;
        assert_eq!(crate::log::load(&log.store, name, key).await.unwrap().restores, 1);
    }
}

#[tokio::test]
async fn it_needs_a_reason_a_stopped_service_and_a_log_that_verifies() {
    let dir = stopped().await;
    for reason in ["", "  ", "a\nb", &"x".repeat(MOST_REASON + 1)] {
        assert!(refused(dir.path(), &["acme"], reason).await.contains("the reason must be"), "{reason}");
    }
    assert!(refused(dir.path(), &["_platform"], "why").await.contains("is not a valid tenant name"));
    let lock = only_one(dir.path()).unwrap();
    assert!(refused(dir.path(), &["acme"], "why").await.contains("the audit service is running"));
    drop(lock);
    let path = database_path(dir.path());
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    sqlx::raw_sql("DROP TRIGGER tiles_stay; DELETE FROM tiles").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert!(refused(dir.path(), &["acme"], "why").await.contains("does not verify"));
}
