//! Each kind, from SQLite itself.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::sync::Arc;

use sqlx::AssertSqlSafe;

use super::*;
use crate::config::{Change, ConfigStore as _};
use crate::sqlite::{Database, SqliteConfigStore, open, open_read_only};
use crate::{Migration, Sql};

const TABLE: Migration = Migration::of_file(
    "0001_table",
    Sql {
        sqlite: "CREATE TABLE a (x INTEGER PRIMARY KEY, y BLOB) STRICT;
                 CREATE TRIGGER a_stays BEFORE DELETE ON a BEGIN SELECT RAISE(ABORT, 'a row stays'); END;",
    },
);

async fn database(folder: &tempfile::TempDir) -> Database {
    open(&folder.path().join("a.db"), &[TABLE]).await.unwrap()
}

async fn run(database: &Database, sql: &str) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&database.write).await?;
    Ok(())
}

#[tokio::test]
async fn a_full_disk_is_full_and_what_was_there_stays() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    run(&database, "INSERT INTO a (x) VALUES (1)").await.unwrap();
    run(&database, "PRAGMA max_page_count = 8").await.unwrap();
    let full = run(&database, "INSERT INTO a (y) VALUES (randomblob(1000000))").await;
    assert!(matches!(full, Err(StoreError::Full(_))), "{full:?}");
    run(&database, "PRAGMA max_page_count = 1000000").await.unwrap();
    run(&database, "INSERT INTO a (x) VALUES (2)").await.unwrap();
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM a").fetch_one(&database.read).await.unwrap();
    assert_eq!(rows, 2);
}

#[tokio::test]
async fn a_migration_that_finds_the_disk_full_says_so() {
    let full: StoreError = {
        let folder = tempfile::tempdir().unwrap();
        let database = database(&folder).await;
        run(&database, "PRAGMA max_page_count = 8").await.unwrap();
        let large = "CREATE TABLE b (y BLOB); INSERT INTO b VALUES (randomblob(1000000))";
        sqlx::raw_sql(large).execute(&database.write).await.map_err(|error| MigrateError::ExecuteMigration(error, 2))
    }
    .unwrap_err()
    .into();
    assert!(matches!(full, StoreError::Full(_)), "{full:?}");
}

#[tokio::test]
async fn a_file_that_another_process_holds_is_busy() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (database(&folder).await, database(&folder).await);
    run(&two, "PRAGMA busy_timeout = 0").await.unwrap();
    let held = one.begin_write().await.unwrap();
    let busy = two.begin_write().await.map(drop).map_err(StoreError::from);
    assert!(matches!(busy, Err(StoreError::Retry(_))), "{busy:?}");
    held.rollback().await.unwrap();
    two.begin_write().await.unwrap();
}

#[tokio::test]
async fn a_commit_that_meets_a_busy_file_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.db");
    let (other, store) = (SqliteConfigStore::open(&path).await.unwrap(), SqliteConfigStore::open(&path).await.unwrap());
    run(store.database(), "PRAGMA busy_timeout = 0").await.unwrap();
    let held = other.database().begin_write().await.unwrap();
    let store = Arc::new(store);
    let commit = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let mut change = Change::new();
            change.put("a", b"1");
            store.commit(change).await
        }
    });
    while store.database().writes_begun() < 2 {
        tokio::task::yield_now().await;
    }
    held.rollback().await.unwrap();
    assert!(commit.await.unwrap().unwrap().is_done());
}

#[tokio::test]
async fn what_is_damaged_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let intact = database(&folder).await;
    for _ in 0..20 {
        run(&intact, "INSERT INTO a (y) VALUES (randomblob(3000))").await.unwrap();
    }
    intact.close().await;
    let length = std::fs::metadata(&path).unwrap().len();
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    // All pages but the first few, which hold the schema and what was migrated.
    file.seek(SeekFrom::Start(length / 4096 / 2 * 4096)).unwrap();
    file.write_all(&vec![0xff; usize::try_from(length).unwrap() / 2]).unwrap();
    let damaged = open_read_only(&path).await.unwrap();
    let read = sqlx::query("SELECT x, y FROM a ORDER BY x").fetch_all(&damaged.read).await.map_err(StoreError::from);
    assert!(matches!(read, Err(StoreError::Corrupt(_))), "{:?}", read.map(|rows| rows.len()));

    std::fs::write(&path, "this is not a database ".repeat(500)).unwrap();
    let foreign = open(&path, &[TABLE]).await.map(drop);
    assert!(matches!(foreign, Err(StoreError::Corrupt(_))), "{foreign:?}");
}

#[tokio::test]
async fn a_column_that_does_not_read_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    let read = sqlx::query_scalar::<_, i64>("SELECT 'text'").fetch_one(&database.read).await;
    assert!(matches!(read.map_err(StoreError::from), Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn what_is_closed_or_cannot_be_written_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    let reading = open_read_only(&folder.path().join("a.db")).await.unwrap();
    let written = run(&reading, "INSERT INTO a (x) VALUES (1)").await;
    assert!(matches!(written, Err(StoreError::Unavailable(_))), "{written:?}");
    database.close().await;
    let closed = run(&database, "INSERT INTO a (x) VALUES (1)").await;
    assert!(matches!(closed, Err(StoreError::Unavailable(_))), "{closed:?}");
}

#[tokio::test]
async fn a_place_that_is_taken_is_a_conflict_and_a_wrong_statement_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    run(&database, "INSERT INTO a (x) VALUES (1)").await.unwrap();
    for taken in ["INSERT INTO a (x) VALUES (1)", "DELETE FROM a"] {
        let taken = run(&database, taken).await;
        assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
    }
    for wrong in ["INSERT INTO a (x) VALUES ('text')", "SELECT nothing FROM nowhere"] {
        let wrong = run(&database, wrong).await;
        assert!(matches!(wrong, Err(StoreError::Failed(_))), "{wrong:?}");
    }
}
