//! `runwarden audit verify` against files and databases that somebody had their hands on.

use std::path::PathBuf;

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tempfile::TempDir;

use super::*;
use crate::log::examples::Running;
use crate::log::origin;
use crate::seen::SeenHead;
use crate::verify::{Finding, Report};

const TRIGGERS: [&str; 8] = [
    "records_stay_as_they_are",
    "records_stay",
    "records_follow_one_another",
    "tiles_only_grow",
    "tiles_stay",
    "checkpoints_stay_as_they_are",
    "checkpoints_stay",
    "checkpoints_only_grow",
];

/// A log of 300 records in batches of 100, and of one record in another.
async fn stopped() -> TempDir {
    let log = Running::new().await;
    for batch in 0..3 {
        log.append("acme", batch * 100..(batch + 1) * 100).await;
    }
    log.append("umbrella", 0..1).await;
    log.stop().await
}

async fn tampered(statements: &str) -> TempDir {
    let dir = stopped().await;
    tamper(&dir, statements).await;
    dir
}

async fn tamper(dir: &TempDir, statements: &str) {
    let path = crate::database_path(dir.path());
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    for trigger in TRIGGERS {
        sqlx::raw_sql(AssertSqlSafe(format!("DROP TRIGGER {trigger}"))).execute(&mut connection).await.unwrap();
    }
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// What is found in the log of acme; that of umbrella must be whole.
async fn findings(statements: &str) -> Vec<Finding> {
    let dir = tampered(statements).await;
    let reports = verify_database(&crate::database_path(dir.path()), Against::default()).await.unwrap();
    assert_eq!(reports.len(), 2);
    assert!(reports[1].is_whole(), "{}", reports[1]);
    assert!(!reports[0].is_whole(), "{statements}");
    assert!(reports.to_string().contains("1 of 2 logs NOT WHOLE"));
    reports.reports.into_iter().next().unwrap().findings
}

#[tokio::test]
async fn an_untouched_database_is_whole() {
    let dir = stopped().await;
    let path = crate::database_path(dir.path());
    let reports = verify_database(&path, Against::default()).await.unwrap();
    assert!(reports.is_whole(), "{}", reports);
    assert_eq!(reports.iter().map(|report| report.records).collect::<Vec<_>>(), [300, 1]);
    // Any log's verifier key serves for all: one key signs them.
    let again = verify_database(&path, Against { key: Some(&reports[1].key), ..Against::default() }).await.unwrap();
    assert_eq!(again.reports, reports.reports);
}

#[tokio::test]
async fn a_database_is_checked_while_the_service_writes_it() {
    let log = Running::new().await;
    log.append("acme", 0..10).await;
    let reports = verify_database(&log.path(), Against::default()).await.unwrap();
    log.append("acme", 10..20).await;
    assert!(reports.is_whole(), "{}", reports);
    assert_eq!(reports[0].records, 10);
}

#[tokio::test]
async fn a_changed_record_is_named() {
    let found =
        findings("UPDATE records SET line = replace(line, 'sa_1', 'sa_2') WHERE tenant = 'acme' AND idx IN (5, 123)")
            .await;
    assert!(found.contains(&Finding::Changed { from: 5, to: 6 }), "{found:?}");
    assert!(found.contains(&Finding::ColumnDiffers { index: 123, column: "principal" }), "{found:?}");
}

#[tokio::test]
async fn a_record_changed_together_with_its_tile_is_found_by_the_checkpoints() {
    let found = findings(
        "UPDATE records SET line = replace(line, '\"req_1\"', '\"req_2\"') WHERE tenant = 'acme' AND idx = 123; \
         UPDATE tiles SET hashes = zeroblob(8192) WHERE tenant = 'acme' AND level = 0 AND tile_index = 0;",
    )
    .await;
    assert!(
        found.iter().any(|f| matches!(f, Finding::Changed { from, to } if (100..200).contains(from) && *to <= 200)),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_removed_record_is_named() {
    let found = findings("DELETE FROM records WHERE tenant = 'acme' AND idx = 42").await;
    assert!(found.contains(&Finding::Missing { from: 42, to: 43 }), "{found:?}");
}

#[tokio::test]
async fn reordered_records_are_named() {
    let found = findings(
        "UPDATE records SET idx = 1000 WHERE tenant = 'acme' AND idx = 7; \
         UPDATE records SET idx = 7 WHERE tenant = 'acme' AND idx = 8; \
         UPDATE records SET idx = 8 WHERE tenant = 'acme' AND idx = 1000;",
    )
    .await;
    assert!(found.contains(&Finding::Misplaced { line: 9, index: 7 }), "{found:?}");
}

#[tokio::test]
async fn records_that_swap_their_content_are_named() {
    let found = findings(
        "UPDATE records SET line = replace(replace(replace(line, '\"rec_7\"', '\"rec_x\"'), '\"rec_8\"', '\"rec_7\"'), '\"rec_x\"', '\"rec_8\"') \
         WHERE tenant = 'acme' AND idx IN (7, 8)",
    )
    .await;
    assert!(found.contains(&Finding::Changed { from: 7, to: 8 }), "{found:?}");
    assert!(found.contains(&Finding::Changed { from: 8, to: 9 }), "{found:?}");
}

#[tokio::test]
async fn a_cut_off_end_is_named() {
    let found = findings("DELETE FROM records WHERE tenant = 'acme' AND idx >= 250").await;
    assert_eq!(found, [Finding::Truncated { records: 250, size: 300 }]);
}

#[tokio::test]
async fn an_inserted_record_is_named() {
    let found = findings(
        "INSERT INTO records SELECT tenant, 300, 'rec_300', replace(replace(line, '\"index\":299', '\"index\":300'), 'rec_299', 'rec_300'), \
         occurred_at, principal, client_id, action, object_type, object_id, job FROM records WHERE tenant = 'acme' AND idx = 299",
    )
    .await;
    assert!(found.contains(&Finding::Uncovered { from: 300, to: 301 }), "{found:?}");
}

#[tokio::test]
async fn a_tile_that_lies_is_named() {
    let found = findings(
        "UPDATE tiles SET hashes = zeroblob(length(hashes)) WHERE tenant = 'acme' AND level = 0 AND tile_index = 0",
    )
    .await;
    assert_eq!(found, [Finding::TileDiffers { level: 0, index: 0 }]);
    let found = findings("DELETE FROM tiles WHERE tenant = 'acme' AND level = 1").await;
    assert!(found.contains(&Finding::TileDiffers { level: 1, index: 0 }), "{found:?}");
    let found =
        findings("INSERT INTO tiles SELECT tenant, 2, 0, hashes FROM tiles WHERE tenant = 'acme' AND level = 1").await;
    assert_eq!(found, [Finding::TileCount { stored: 4, expected: 3 }]);
}

#[tokio::test]
async fn a_column_that_hides_a_record_is_named() {
    let found = findings("UPDATE records SET job = 'job_9', action = 'x.y' WHERE tenant = 'acme' AND idx = 17").await;
    assert_eq!(
        found,
        [Finding::ColumnDiffers { index: 17, column: "action" }, Finding::ColumnDiffers { index: 17, column: "job" },]
    );
}

#[tokio::test]
async fn checkpoints_that_lie_or_are_gone_are_named() {
    let found = findings("DELETE FROM checkpoints WHERE tenant = 'acme'").await;
    assert_eq!(found, [Finding::NoCheckpoint]);
    let found = findings("DELETE FROM checkpoints WHERE tenant = 'acme' AND size = 300").await;
    assert_eq!(found, [Finding::Uncovered { from: 200, to: 300 }]);
    let found =
        findings("UPDATE checkpoints SET note = replace(note, '— ', '- ') WHERE tenant = 'acme' AND size = 200").await;
    assert!(matches!(found[..], [Finding::CheckpointRefused { .. }]), "{found:?}");
    let found = findings("UPDATE checkpoints SET size = 150 WHERE tenant = 'acme' AND size = 200").await;
    assert!(matches!(found[..], [Finding::CheckpointRefused { .. }]), "{found:?}");
}

#[tokio::test]
async fn a_log_rolled_back_to_an_earlier_batch_is_caught_by_a_checkpoint_kept_elsewhere() {
    let whole = stopped().await;
    let kept = whole.path().join("kept.txt");
    let path = crate::database_path(whole.path());
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let note: String = sqlx::query_scalar("SELECT note FROM checkpoints WHERE tenant = 'acme' AND size = 300")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    std::fs::write(&kept, note).unwrap();
    let since = [kept.clone()];
    let reports = verify_database(&path, Against { since: &since, ..Against::default() }).await.unwrap();
    assert!(reports.is_whole());
    assert_eq!(reports[0].trusted, [300]);

    // The whole log of acme disappears, without a trace in the file.
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    for trigger in TRIGGERS {
        sqlx::raw_sql(AssertSqlSafe(format!("DROP TRIGGER {trigger}"))).execute(&mut connection).await.unwrap();
    }
    sqlx::raw_sql(
        "DELETE FROM records WHERE tenant = 'acme'; DELETE FROM tiles WHERE tenant = 'acme'; \
         DELETE FROM checkpoints WHERE tenant = 'acme'",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    assert!(verify_database(&path, Against::default()).await.unwrap().is_whole(), "the file alone cannot tell");
    let reports = verify_database(&path, Against { since: &since, ..Against::default() }).await.unwrap();
    assert_eq!(reports[0].findings, [Finding::Truncated { records: 0, size: 300 }]);
}

#[tokio::test]
async fn what_cannot_be_checked_is_an_error_and_not_a_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.db");
    assert!(matches!(verify_database(&path, Against::default()).await, Err(CliError::NoKey(_))));
    let key = crate::note::SigningKey::generate().unwrap().0.verifier("a").unwrap().to_string();
    assert!(matches!(
        verify_database(&path, Against { key: Some(&key), ..Against::default() }).await,
        Err(CliError::Database { .. })
    ));
    std::fs::write(&path, b"this is no database, and long enough not to be an empty one").unwrap();
    assert!(matches!(
        verify_database(&path, Against { key: Some(&key), ..Against::default() }).await,
        Err(CliError::Database { .. })
    ));
    assert!(matches!(
        verify_database(&path, Against { key: Some("no key"), ..Against::default() }).await,
        Err(CliError::Key(_))
    ));
    let log = Running::new().await;
    assert!(matches!(verify_database(&log.path(), Against::default()).await, Err(CliError::NoLogs(_))));
    assert!(!Verdict::default().is_whole());
}

struct Exported {
    dir: TempDir,
    key: String,
    lines: Vec<String>,
}

impl Exported {
    async fn new() -> Self {
        let log = Running::new().await;
        log.append("acme", 0..50).await;
        let earlier = log.reader().checkpoint("acme").await.unwrap();
        log.append("acme", 50..120).await;
        let signed = log.reader().checkpoint("acme").await.unwrap();
        let lines = log.reader().lines("acme", 0..120).await.unwrap();
        let this = Self { dir: tempfile::tempdir().unwrap(), key: signed.verifier.to_string(), lines };
        std::fs::write(this.file("checkpoint"), signed.note).unwrap();
        std::fs::write(this.file("earlier"), earlier.note).unwrap();
        this
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn verify(&self, content: &[u8]) -> Report {
        let records = self.file("records");
        std::fs::write(&records, content).unwrap();
        let earlier = self.file("earlier");
        verify_files(Records::from(records.as_path()), &self.file("checkpoint"), &self.key, Some(&earlier)).unwrap()
    }
}

#[tokio::test]
async fn an_exported_file_is_whole_with_or_without_its_last_line_feed() {
    let export = Exported::new().await;
    let content = export.lines.join("\n");
    let report = export.verify(content.as_bytes());
    assert!(report.is_whole(), "{report}");
    assert_eq!(report.trusted, [50]);
    assert_eq!(report.log, origin("acme"));
    assert!(export.verify(format!("{content}\n").as_bytes()).is_whole());
}

#[tokio::test]
async fn a_tampered_file_is_not() {
    let export = Exported::new().await;
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = export.lines.clone();
        change(&mut lines);
        export.verify(lines.join("\n").as_bytes()).findings
    };
    assert_eq!(with(&|lines| lines[70] = lines[70].replace("sa_1", "sa_2")), [Finding::Changed { from: 50, to: 120 }]);
    assert_eq!(with(&|lines| drop(lines.remove(60)))[0], Finding::Missing { from: 60, to: 61 });
    assert_eq!(with(&|lines| lines.swap(3, 4))[0], Finding::Misplaced { line: 5, index: 3 });
    assert_eq!(with(&|lines| lines.truncate(90)), [Finding::Truncated { records: 90, size: 120 }]);
    assert!(with(&|lines| lines.insert(9, String::new())).contains(&Finding::Unreadable { line: 10 }));
    assert!(with(&|lines| lines[9].push('\r'))[0] == Finding::Rewritten { size: 50 });
    assert!(with(&|lines| lines.insert(9, "x".repeat(3_000_000))).contains(&Finding::Unreadable { line: 10 }));
    let mut bytes = export.lines.join("\n").into_bytes();
    bytes[30] = 0xff;
    assert!(!export.verify(&bytes).is_whole());
}

#[tokio::test]
async fn files_that_are_not_there_are_an_error() {
    let export = Exported::new().await;
    let missing = export.file("missing");
    let answer = verify_files(Records::File(&missing), &export.file("checkpoint"), &export.key, None);
    assert!(matches!(answer, Err(CliError::File { .. })));
    let answer = verify_files(Records::File(&missing), &missing, &export.key, None);
    assert!(matches!(answer, Err(CliError::File { .. })));
}

/// What a service saw of a log that is as far as it is now.
async fn saw(dir: &TempDir, by: &str, log: &str) -> SeenHead {
    let store = crate::store::SqliteLogStore::open(&crate::database_path(dir.path())).await.unwrap();
    let key = std::sync::Arc::new(crate::signing_key::read(dir.path()).unwrap());
    let head = crate::log::load(&store, log, &key).await.unwrap();
    store.close().await;
    SeenHead {
        by: by.to_owned(),
        log: log.to_owned(),
        restores: head.restores,
        size: head.frontier.size(),
        root: head.frontier.root(),
        key: key.verifier(&origin(log)).unwrap().to_string(),
    }
}

async fn held_against(dir: &TempDir, known: Known) -> Verdict {
    let path = crate::database_path(dir.path());
    verify_database(&path, Against { known, ..Against::default() }).await.unwrap()
}

fn known(seen: Vec<SeenHead>) -> Known {
    Known {
        tenants: Some(["acme", "umbrella"].map(str::to_owned).into()),
        seen,
        asked: vec!["executor".to_owned()],
        ..Known::default()
    }
}

async fn grown(dir: TempDir, ids: std::ops::Range<u64>) -> TempDir {
    let log = Running::within(dir).await;
    log.append("acme", ids).await;
    log.stop().await
}

fn copied(dir: &TempDir) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap().flatten() {
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

#[tokio::test]
async fn a_log_that_is_gone_altogether_is_missed_by_whoever_knows_its_tenant() {
    let all_of_umbrella = "DELETE FROM records WHERE tenant = 'umbrella'; DELETE FROM tiles WHERE tenant = 'umbrella'; \
                           DELETE FROM checkpoints WHERE tenant = 'umbrella';";
    let dir = stopped().await;
    let saw_umbrella = saw(&dir, "executor", "umbrella").await;
    tamper(&dir, all_of_umbrella).await;
    let alone = held_against(&dir, Known::default()).await;
    assert!(alone.is_whole(), "nothing in the file itself can tell: {alone}");
    let told = alone.to_string();
    assert!(told.contains("Not compared: which tenants exist"), "{told}");
    assert!(told.contains("Not compared: what services saw"), "{told}");

    let by_tenants = held_against(&dir, known(Vec::new())).await;
    assert!(by_tenants[1].findings.contains(&Finding::NoLog), "{by_tenants}");
    let by_service = held_against(&dir, Known { tenants: None, ..known(vec![saw_umbrella]) }).await;
    let older = Finding::Older { by: "executor".to_owned(), saw: 1, there: 0 };
    assert!(by_service[1].findings.contains(&older), "{by_service}");
    assert!(!by_service.is_whole());
    // A new tenant, whose first entry is on its way, is not a finding.
    let waiting = Known { waiting: ["umbrella".to_owned()].into(), ..known(Vec::new()) };
    let verdict = held_against(&dir, waiting).await;
    assert!(verdict.is_whole(), "{verdict}");
    assert!(verdict.to_string().contains("the entries of umbrella that wait"), "{verdict}");
}

#[tokio::test]
async fn yesterdays_copy_is_found_by_what_services_saw_also_after_it_has_grown() {
    let dir = stopped().await;
    let yesterday = copied(&dir);
    let dir = grown(dir, 300..340).await;
    let seen = vec![saw(&dir, "executor", "acme").await, saw(&dir, "executor", "umbrella").await];
    let today = held_against(&dir, known(seen.clone())).await;
    assert!(today.is_whole(), "{today}");
    assert!(today.to_string().contains("continues what executor saw of it: 340 records"), "{today}");

    let verdict = held_against(&yesterday, known(seen.clone())).await;
    let older = Finding::Older { by: "executor".to_owned(), saw: 340, there: 300 };
    assert_eq!(verdict[0].findings, [older], "{verdict}");
    let regrown = grown(yesterday, 400..450).await;
    let verdict = held_against(&regrown, known(seen)).await;
    assert_eq!(verdict[0].findings, [Finding::Differs { by: "executor".to_owned(), size: 340 }], "{verdict}");
    assert!(verdict[1].is_whole(), "{verdict}");
}

#[tokio::test]
async fn a_record_cut_off_with_its_checkpoint_is_found_by_what_services_saw() {
    let whole = grown(stopped().await, 300..301).await;
    let seen = saw(&whole, "secret", "acme").await;
    let verdict = held_against(&stopped().await, known(vec![SeenHead { key: seen.key.clone(), ..seen }])).await;
    // The signing key of another folder, too.
    assert!(matches!(verdict[0].findings[..], [Finding::OtherKey { .. }]), "{verdict}");
    let copy = copied(&whole);
    let path = crate::database_path(copy.path());
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let cut = "DROP TRIGGER records_stay; DROP TRIGGER checkpoints_stay; DROP TRIGGER tiles_only_grow; \
               DELETE FROM records WHERE tenant = 'acme' AND idx = 300; \
               DELETE FROM checkpoints WHERE tenant = 'acme' AND size = 301; \
               UPDATE tiles SET hashes = substr(hashes, 1, 44 * 32) \
               WHERE tenant = 'acme' AND level = 0 AND tile_index = 1;";
    sqlx::raw_sql(AssertSqlSafe(cut.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert!(held_against(&copy, Known::default()).await.is_whole());
    let seen = saw(&whole, "secret", "acme").await;
    let verdict = held_against(&copy, known(vec![seen])).await;
    let older = Finding::Older { by: "secret".to_owned(), saw: 301, there: 300 };
    assert_eq!(verdict[0].findings, [older], "{verdict}");
}

#[tokio::test]
async fn a_page_of_an_index_that_was_changed_is_found_by_the_engine() {
    let dir = stopped().await;
    let path = crate::database_path(dir.path());
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let (root, size): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT rootpage FROM sqlite_schema WHERE name = 'records_by_principal'), \
         (SELECT page_size FROM pragma_page_size)",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    let mut file = std::fs::read(&path).unwrap();
    let (root, size) = (usize::try_from(root).unwrap(), usize::try_from(size).unwrap());
    let page = (root - 1) * size..root * size;
    let at = page.start + file[page].windows(4).position(|bytes| bytes == b"sa_1").unwrap();
    file[at + 3] = b'2';
    std::fs::write(&path, file).unwrap();
    let verdict = verify_database(&path, Against::default()).await.unwrap();
    assert!(!verdict.engine.is_empty());
    assert!(!verdict.is_whole());
    assert!(verdict.to_string().contains("The database file is NOT WHOLE."), "{verdict}");
}

#[tokio::test]
async fn a_restore_that_was_accepted_is_told_and_whole() {
    let dir = stopped().await;
    let yesterday = copied(&dir);
    let seen = vec![saw(&grown(dir, 300..340).await, "executor", "acme").await];
    let accepted =
        crate::accept_restore(yesterday.path(), &["acme".to_owned()], "root", "disk failed", &seen).await.unwrap();
    assert_eq!(accepted, [crate::Accepted { log: "acme".to_owned(), size: 300 }]);
    let verdict = held_against(&yesterday, known(seen.clone())).await;
    assert!(verdict.is_whole(), "{verdict}");
    let told = verdict.to_string();
    assert!(told.contains("operator:root accepted that it was restored from a copy: disk failed"), "{told}");
    assert!(told.contains("executor last saw 340 records of it, before a restore was accepted"), "{told}");
    // The acceptance itself cannot be rolled back unseen.
    let later = saw(&yesterday, "executor", "acme").await;
    assert_eq!((later.restores, later.size), (1, 301));
    let verdict = held_against(&stopped().await, known(vec![later])).await;
    assert!(matches!(verdict[0].findings[..], [Finding::RestoresMissing { saw: 1, there: 0, .. }]), "{verdict}");
}
