//! The writer and the reader on a real file: contiguous, durable, repeatable, and never over damage.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use runwarden_engines::Result as StoreResult;
use runwarden_kit::clock::SystemClock;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use super::examples::{Running, entries};
use super::*;
use crate::cli::{Against, Verdict};
use crate::merkle::proof::{verify_consistency, verify_inclusion};
use crate::merkle::{TileId, Tiles};
use crate::note::SigningKey;
use crate::record::{Record, examples as records, line_hash};
use crate::seen::SeenHead;
use crate::store::{Batch, Filter, Found, LogStore, Page, SqliteLogStore, Tail};

async fn verified(path: &std::path::Path) -> Verdict {
    crate::cli::verify_database(path, Against::default()).await.unwrap()
}

#[tokio::test]
async fn what_was_appended_is_there_in_order_and_provable() {
    let log = Running::new().await;
    log.append("acme", 0..3).await;
    let earlier = log.reader().checkpoint("acme").await.unwrap();
    log.append("acme", 3..700).await;
    let listed = log.reader().list("acme", &Filter::default(), None, 1000).await.unwrap().records;
    let indexes: Vec<u64> = listed.iter().map(|(record, _)| record.index).collect();
    assert_eq!(indexes, (0..700).rev().collect::<Vec<_>>());
    for id in ["rec_0", "rec_255", "rec_256", "rec_699"] {
        let proof = log.reader().prove_inclusion("acme", id).await.unwrap().unwrap();
        let checkpoint = &proof.against.checkpoint;
        let leaf = line_hash(proof.line.as_bytes());
        verify_inclusion(proof.index, checkpoint.size, &leaf, &proof.hashes, &checkpoint.root).unwrap();
        assert_eq!(Record::from_line(&proof.line).unwrap().entry.entry_id, id);
    }
    let proof = log.reader().prove_consistency("acme", 3).await.unwrap().unwrap();
    let now = &proof.against.checkpoint;
    verify_consistency(3, now.size, &earlier.checkpoint.root, &now.root, &proof.hashes).unwrap();
    assert!(log.reader().prove_inclusion("acme", "rec_x").await.unwrap().is_none());
    assert!(log.reader().prove_consistency("acme", 701).await.unwrap().is_none());
}

#[tokio::test]
async fn a_log_goes_on_where_it_was_after_a_restart() {
    let mut dir = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let log = Running::within(dir).await;
        log.append("acme", round * 150..(round + 1) * 150).await;
        dir = log.stop().await;
    }
    let reports = verified(&crate::database_path(dir.path())).await;
    assert!(reports[0].is_whole(), "{}", reports[0]);
    assert_eq!(reports[0].records, 600);
}

#[tokio::test]
async fn handing_over_again_changes_nothing_and_another_entry_under_the_id_is_refused() {
    let log = Running::new().await;
    log.append("acme", 0..5).await;
    log.append("acme", 3..8).await;
    let mut twice = entries("acme", 8..9);
    twice.extend(entries("acme", 8..9));
    log.journal.append(twice).await.unwrap();
    assert_eq!(log.reader().checkpoint("acme").await.unwrap().checkpoint.size, 9);

    let mut other = records::entry("rec_4");
    other.action = "job.cancel".to_owned();
    let refused = log.journal.append(vec![("acme".to_owned(), other.clone())]).await.unwrap_err();
    assert!(matches!(refused, JournalError::Log(LogError::Conflict(id)) if id == "rec_4"));
    // In another tenant's log it is another thing.
    log.journal.append(vec![("umbrella".to_owned(), other)]).await.unwrap();
    assert_eq!(log.reader().checkpoint("acme").await.unwrap().checkpoint.size, 9);
}

#[tokio::test]
async fn tenants_have_logs_of_their_own() {
    let log = Running::new().await;
    let mut mixed = entries("acme", 0..2);
    mixed.extend(entries("umbrella", 0..3));
    mixed.extend(entries("acme", 2..3));
    log.journal.append(mixed).await.unwrap();
    for tenant in ["acme", "umbrella"] {
        let checkpoint = log.reader().checkpoint(tenant).await.unwrap();
        assert_eq!(checkpoint.checkpoint.size, 3);
        assert_eq!(checkpoint.checkpoint.origin, origin(tenant));
        let listed = log.reader().list(tenant, &Filter::default(), None, 10).await.unwrap().records;
        assert!(listed.iter().all(|(record, _)| record.tenant == tenant));
    }
    assert_eq!(log.reader().checkpoint("nobody").await.unwrap().checkpoint.size, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_appenders_at_once_leave_one_contiguous_log() {
    let log = Running::new().await;
    let appenders: Vec<_> = (0..40_u64)
        .map(|appender| {
            let journal = log.journal.clone();
            tokio::spawn(async move {
                for step in 0..5_u64 {
                    let first = (appender * 5 + step) * 3;
                    journal.append(entries("acme", first..first + 3)).await.unwrap();
                }
            })
        })
        .collect();
    for appender in appenders {
        appender.await.unwrap();
    }
    let reports = verified(&log.path()).await;
    assert!(reports[0].is_whole(), "{}", reports[0]);
    assert_eq!(reports[0].records, 600);
    let folder = log.stop().await;
    let left = folder.path().read_dir().unwrap().filter(|file| file.is_ok()).count();
    assert_eq!(left, 3, "the file, the lock for migrating it, and the key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_anywhere_leaves_a_whole_log_with_all_that_was_answered() {
    let mut dir = tempfile::tempdir().unwrap();
    let mut next = 0_u64;
    let mut answered = BTreeSet::new();
    for round in 0..25_u32 {
        let log = Running::within(dir).await;
        let mut waiting = Vec::new();
        for _ in 0..6 {
            let ids = next..next + 40;
            next = ids.end;
            let journal = log.journal.clone();
            waiting.push(tokio::spawn(async move { journal.append(entries("acme", ids.clone())).await.map(|()| ids) }));
        }
        // Lets the writer get somewhere else each time.
        for _ in 0..round * 7 {
            tokio::task::yield_now().await;
        }
        dir = log.crash().await;
        for appender in waiting {
            if let Ok(ids) = appender.await.unwrap() {
                answered.extend(ids);
            }
        }
    }
    let log = Running::within(dir).await;
    log.append("acme", next..next + 1).await;
    let reports = verified(&log.path()).await;
    assert!(reports[0].is_whole(), "{}", reports[0]);
    let ids: Vec<String> = answered.iter().map(|id| format!("rec_{id}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(log.store.find("acme", &ids).await.unwrap().len(), answered.len(), "what was answered is there");
}

/// A store that fails one append in so many: before it is written, or after.
#[derive(Debug)]
struct Failing {
    inner: SqliteLogStore,
    calls: AtomicUsize,
}

#[async_trait]
impl LogStore for Failing {
    async fn tenants(&self) -> StoreResult<BTreeSet<String>> {
        self.inner.tenants().await
    }
    async fn tail(&self, tenant: &str) -> StoreResult<Tail> {
        self.inner.tail(tenant).await
    }
    async fn has_tiles(&self, tenant: &str) -> StoreResult<bool> {
        self.inner.has_tiles(tenant).await
    }
    async fn tiles(&self, tenant: &str, ids: &[TileId]) -> StoreResult<Tiles> {
        self.inner.tiles(tenant, ids).await
    }
    async fn lines(&self, tenant: &str, range: Range<u64>) -> StoreResult<Vec<String>> {
        self.inner.lines(tenant, range).await
    }
    async fn find(&self, tenant: &str, ids: &[&str]) -> StoreResult<HashMap<String, String>> {
        self.inner.find(tenant, ids).await
    }
    async fn list(&self, tenant: &str, filter: &Filter, page: Page) -> StoreResult<Found> {
        self.inner.list(tenant, filter, page).await
    }
    async fn append(&self, batches: &[Batch]) -> StoreResult<()> {
        match self.calls.fetch_add(1, Ordering::SeqCst) % 3 {
            0 => Err(StoreError::failed("refused before it was written")),
            1 => {
                self.inner.append(batches).await?;
                Err(StoreError::failed("written, and the answer was lost"))
            }
            _ => self.inner.append(batches).await,
        }
    }
}

#[tokio::test]
async fn a_failing_store_is_told_to_the_appender_and_repeating_is_safe() {
    let dir = tempfile::tempdir().unwrap();
    let path = crate::database_path(dir.path());
    let inner = SqliteLogStore::open(&path).await.unwrap();
    let store = Arc::new(Failing { inner, calls: AtomicUsize::new(0) });
    let key = Arc::new(crate::signing_key::read_or_make(dir.path(), false).unwrap());
    let (journal, writer) =
        Writer::start(store.clone(), key, Arc::new(SystemClock), JournalLimits::default()).await.unwrap();
    let writer = tokio::spawn(writer.run());
    let mut failures = 0;
    for round in 0..30 {
        while let Err(error) = journal.append(entries("acme", round * 10..round * 10 + 10)).await {
            assert!(matches!(error, JournalError::Log(LogError::NotWritten)), "{error}");
            failures += 1;
        }
    }
    assert!(failures >= 20, "{failures} failures");
    drop(journal);
    writer.await.unwrap();
    let reports = verified(&path).await;
    assert!(reports[0].is_whole(), "{}", reports[0]);
    assert_eq!(reports[0].records, 300);
}

#[tokio::test]
async fn a_full_queue_refuses_instead_of_growing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteLogStore::open(&crate::database_path(dir.path())).await.unwrap());
    let key = Arc::new(SigningKey::generate().unwrap().0);
    let limits = JournalLimits { queue: 1, patience: Duration::from_millis(1), batch: 10 };
    let (journal, writer) = Writer::start(store, key, Arc::new(SystemClock), limits).await.unwrap();
    // Nobody writes yet: the first waits in the queue, the second finds it full.
    let first = tokio::spawn({
        let journal = journal.clone();
        async move { journal.append(entries("acme", 0..1)).await }
    });
    let refused = loop {
        match tokio::time::timeout(Duration::from_millis(50), journal.append(entries("acme", 1..2))).await {
            Ok(Err(error)) => break error,
            Ok(Ok(())) => panic!("nobody writes"),
            // It was faster than the first and waits in the queue in its place.
            Err(_) => {}
        }
    };
    assert!(matches!(refused, JournalError::Full), "{refused}");
    let writer = tokio::spawn(writer.drain());
    let _ = first.await.unwrap();
    writer.await.unwrap();
    assert!(matches!(journal.append(entries("acme", 2..3)).await, Err(JournalError::Stopped)));
}

#[tokio::test]
async fn whoever_goes_away_is_recorded_all_the_same() {
    let log = Running::new().await;
    drop(futures::FutureExt::now_or_never(log.journal.append(entries("acme", 0..1))));
    log.append("acme", 1..2).await;
    assert_eq!(log.reader().checkpoint("acme").await.unwrap().checkpoint.size, 2);
}

/// Changes a closed log's file behind its back.
async fn tamper(dir: &tempfile::TempDir, statements: &str) {
    let path = crate::database_path(dir.path());
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_log_is_not_grown_and_the_others_are() {
    let drop_triggers = "DROP TRIGGER records_stay_as_they_are; DROP TRIGGER records_stay; \
         DROP TRIGGER tiles_only_grow; DROP TRIGGER checkpoints_stay; DROP TRIGGER checkpoints_stay_as_they_are;";
    for damage in [
        "UPDATE records SET line = replace(line, 'sa_1', 'sa_2') WHERE tenant = 'acme' AND idx = 298",
        "DELETE FROM records WHERE tenant = 'acme' AND idx = 299",
        "DELETE FROM records WHERE tenant = 'acme' AND idx = 280",
        "DELETE FROM records WHERE tenant = 'acme'",
        "DELETE FROM checkpoints WHERE tenant = 'acme'",
        "DELETE FROM checkpoints WHERE tenant = 'acme' AND size = 300",
        "UPDATE checkpoints SET note = replace(note, char(10) || '300' || char(10), char(10) || '301' || char(10)) \
         WHERE tenant = 'acme' AND size = 300",
        "UPDATE checkpoints SET note = (SELECT note FROM checkpoints WHERE tenant = 'umbrella') WHERE tenant = 'acme'",
        "UPDATE tiles SET hashes = zeroblob(32) WHERE tenant = 'acme' AND level = 1",
        "UPDATE tiles SET hashes = substr(hashes, 1, 32) WHERE tenant = 'acme' AND level = 0 AND tile_index = 1",
    ] {
        let log = Running::new().await;
        log.append("acme", 0..290).await;
        log.append("acme", 290..300).await;
        log.append("umbrella", 0..1).await;
        let dir = log.stop().await;
        tamper(&dir, &format!("{drop_triggers} {damage}")).await;

        let log = Running::within(dir).await;
        assert_eq!(log.doubts.list().keys().collect::<Vec<_>>(), ["acme"], "{damage}");
        assert_eq!(log.doubts.note().as_deref(), Some("damaged: acme"), "{damage}");
        let mut both = entries("acme", 300..301);
        both.extend(entries("umbrella", 1..2));
        let refused = log.journal.append(both).await.unwrap_err();
        assert!(matches!(refused, JournalError::Log(LogError::Damaged { .. })), "{damage}: {refused}");
        assert_eq!(log.reader().checkpoint("umbrella").await.unwrap().checkpoint.size, 2, "{damage}");
        assert!(!verified(&log.path()).await[0].is_whole(), "{damage}");
    }
}

/// How far a log is, as its appender is told.
async fn far(log: &Running, tenant: &str, ids: Range<u64>) -> SeenHead {
    let answer = log.journal.hand_in(entries(tenant, ids), Vec::new()).await.unwrap();
    assert!(answer.refused.is_empty(), "{:?}", answer.refused);
    SeenHead { by: "executor".to_owned(), ..answer.heads.into_iter().next().unwrap() }
}

async fn appended_after(log: &Running, seen: &[SeenHead], tenant: &str, ids: Range<u64>) -> Result<(), String> {
    let mut answer = log.journal.hand_in(entries(tenant, ids), seen.to_vec()).await.unwrap();
    answer.refused.pop().map_or(Ok(()), |(_, error)| Err(error.to_string()))
}

#[tokio::test]
async fn a_log_that_continues_what_was_seen_takes_more_also_after_a_restart() {
    let log = Running::new().await;
    let early = far(&log, "acme", 0..7).await;
    assert_eq!((early.size, early.restores, early.log.as_str()), (7, 0, "acme"));
    // More batches than a head remembers the roots of.
    let mut seen = vec![early];
    for batch in 1..80 {
        seen.push(far(&log, "acme", batch * 7..(batch + 1) * 7).await);
    }
    appended_after(&log, &seen, "acme", 560..570).await.unwrap();
    let log = Running::within(log.stop().await).await;
    for (at, head) in seen.iter().enumerate() {
        let next = 600 + at as u64;
        appended_after(&log, std::slice::from_ref(head), "acme", next..next + 1).await.unwrap();
    }
    // Who saw nothing has nothing to hold against a log.
    let nothing = SeenHead { size: 0, root: crate::merkle::empty_root(), ..seen[0].clone() };
    appended_after(&log, &[nothing], "acme", 700..701).await.unwrap();
    assert!(log.doubts.list().is_empty());
}

#[tokio::test]
async fn a_log_that_does_not_continue_what_was_seen_takes_nothing_from_anybody() {
    type Change = fn(&mut SeenHead);
    let wrong: [(&str, Change); 5] = [
        ("saw 51 records, and it has 50", |seen| seen.size += 1),
        ("its first 50 records are not those", |seen| seen.root = crate::merkle::empty_root()),
        ("its first 30 records are not those", |seen| seen.size = 30),
        ("after 1 accepted restores", |seen| seen.restores = 1),
        ("signed by another key", |seen| seen.key = seen.key.replace("acme", "acne")),
    ];
    for (why, change) in wrong {
        let log = Running::new().await;
        let mut seen = far(&log, "acme", 0..50).await;
        far(&log, "umbrella", 0..5).await;
        change(&mut seen);
        let refused = appended_after(&log, &[seen], "acme", 50..51).await.unwrap_err();
        assert!(refused.contains(why), "{refused}");
        let refused = log.journal.append(entries("acme", 51..52)).await.unwrap_err();
        assert!(matches!(refused, JournalError::Log(LogError::RolledBack { .. })), "{why}: {refused}");
        log.append("umbrella", 5..6).await;
        assert_eq!(log.doubts.note().as_deref(), Some("older than seen: acme"));
        assert_eq!(log.reader().checkpoint("acme").await.unwrap().checkpoint.size, 50, "it did not grow");
    }
}

#[tokio::test]
async fn comparing_names_what_is_wrong_and_adds_nothing() {
    let log = Running::new().await;
    let acme = far(&log, "acme", 0..5).await;
    let umbrella = far(&log, "umbrella", 0..5).await;
    let gone = SeenHead { log: "gone".to_owned(), key: acme.key.replace("acme", "gone"), ..acme.clone() };
    let answer = log.journal.hand_in(Vec::new(), vec![acme, umbrella, gone]).await.unwrap();
    assert_eq!(answer.heads.len(), 2);
    assert!(matches!(&answer.refused[..], [(log, _)] if log == "gone"), "{:?}", answer.refused);
    assert_eq!(log.store.tenants().await.unwrap().len(), 2);
}

#[tokio::test]
async fn one_log_that_cannot_be_written_keeps_out_no_other_of_its_batch() {
    let log = Running::new().await;
    far(&log, "acme", 0..5).await;
    // Somebody removes records while the writer runs: the file refuses the next ones.
    let path = log.path();
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let cut = "DROP TRIGGER records_stay; DELETE FROM records WHERE tenant = 'acme' AND idx = 4";
    sqlx::raw_sql(AssertSqlSafe(cut.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let mut both = entries("acme", 5..6);
    both.extend(entries("umbrella", 0..3));
    let answer = log.journal.hand_in(both, Vec::new()).await.unwrap();
    assert!(matches!(&answer.refused[..], [(log, LogError::NotWritten)] if log == "acme"), "{:?}", answer.refused);
    assert_eq!(log.reader().checkpoint("umbrella").await.unwrap().checkpoint.size, 3);
    // Looked at again, it is seen for what it is.
    let refused = log.journal.append(entries("acme", 5..6)).await.unwrap_err();
    assert!(matches!(refused, JournalError::Log(LogError::Damaged { .. })), "{refused}");
}

#[tokio::test]
async fn the_file_itself_refuses_mistakes() {
    let log = Running::new().await;
    log.append("acme", 0..300).await;
    let dir = log.stop().await;
    let path = crate::database_path(dir.path());
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    for statement in [
        "UPDATE records SET line = 'x'",
        "DELETE FROM records",
        "INSERT OR REPLACE INTO records SELECT * FROM records WHERE idx = 3",
        "INSERT INTO records SELECT tenant, 301, 'rec_x', line, 0, '', '', '', '', '', NULL FROM records WHERE idx = 3",
        "UPDATE tiles SET hashes = zeroblob(length(hashes))",
        "DELETE FROM tiles",
        "UPDATE checkpoints SET note = 'x'",
        "DELETE FROM checkpoints",
        "INSERT INTO checkpoints SELECT tenant, 299, note, at FROM checkpoints",
    ] {
        sqlx::query(statement).execute(&mut connection).await.expect_err(statement);
    }
    connection.close().await.unwrap();
    assert!(verified(&path).await[0].is_whole());
}

#[tokio::test]
async fn a_proof_is_not_handed_out_when_it_would_not_hold() {
    let log = Running::new().await;
    log.append("acme", 0..10).await;
    let dir = log.stop().await;
    tamper(
        &dir,
        "DROP TRIGGER records_stay_as_they_are; UPDATE records SET line = replace(line, 'sa_1', 'sa_2') WHERE idx = 4",
    )
    .await;
    let log = Running::within(dir).await;
    assert!(matches!(log.reader().prove_inclusion("acme", "rec_4").await, Err(LogError::Damaged { .. })));
    assert!(log.reader().prove_inclusion("acme", "rec_3").await.unwrap().is_some());
}
