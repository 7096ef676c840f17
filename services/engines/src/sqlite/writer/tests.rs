use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;

use rusqlite::params;

use super::*;
use crate::sqlite::{Database, open, open_read_only};
use crate::{Migration, Result, Sql};

const TABLE: Migration =
    Migration::of_file("0001_table", Sql { sqlite: "CREATE TABLE a (x INTEGER PRIMARY KEY, y BLOB) STRICT;" });

async fn database() -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder.path().join("a.db"), &[TABLE]).await.unwrap();
    (folder, database)
}

fn put(x: i64) -> impl FnMut(&mut Connection) -> Result<()> + Send + 'static {
    move |connection| {
        connection.prepare_cached("INSERT INTO a (x) VALUES (?)")?.execute(params![x])?;
        Ok(())
    }
}

async fn all(database: &Database) -> Vec<i64> {
    let reader = database.grouped().readers.get().await.unwrap();
    let mut read = reader.prepare_cached("SELECT x FROM a ORDER BY x").unwrap();
    let rows = read.query_map((), |row| row.get(0)).unwrap();
    rows.map(|row| row.unwrap()).collect()
}

/// Holds the thread inside a change until it is let go, so that what is asked for meanwhile forms one group with it.
async fn held(writer: &Writer) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<()>>) {
    let (go, may_go) = mpsc::channel::<()>();
    let (enter, entered) = oneshot::channel();
    let mut enter = Some(enter);
    let writer = writer.clone();
    let holding = tokio::spawn(async move {
        let hold = move |_: &mut Connection| {
            if let Some(enter) = enter.take() {
                enter.send(()).unwrap();
                may_go.recv().unwrap();
            }
            Ok(())
        };
        writer.change(hold).await
    });
    entered.await.unwrap();
    (go, holding)
}

/// Asks for changes one after the other, all of which wait at once.
async fn together<T: Send + 'static>(
    writer: &Writer,
    changes: Vec<Boxed<T>>,
) -> Vec<std::result::Result<Result<T>, tokio::task::JoinError>> {
    let (go, holding) = held(writer).await;
    let mut asking = Vec::new();
    for mut change in changes {
        let before = writer.begun();
        let asked = writer.clone();
        asking.push(tokio::spawn(async move { asked.change(move |connection| change(connection)).await }));
        while writer.begun() == before || writer.queue.capacity() == QUEUE - (asking.len() - 1) {
            tokio::task::yield_now().await;
        }
    }
    go.send(()).unwrap();
    holding.await.unwrap().unwrap();
    let mut answers = Vec::new();
    for asked in asking {
        answers.push(asked.await);
    }
    answers
}

type Boxed<T> = Box<dyn FnMut(&mut Connection) -> Result<T> + Send>;

fn boxed<T>(change: impl FnMut(&mut Connection) -> Result<T> + Send + 'static) -> Boxed<T> {
    Box::new(change)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_changes_need_few_commits_and_are_all_there() {
    let (_folder, database) = database().await;
    let writer = &database.grouped().writer;
    for answer in together(writer, (0..1000).map(|x| boxed(put(x))).collect()).await {
        answer.unwrap().unwrap();
    }
    assert_eq!(all(&database).await, Vec::from_iter(0..1000));
    assert!(writer.commits() <= 8, "{} commits", writer.commits());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_is_undone_alone_and_says_why() {
    let (_folder, database) = database().await;
    let writer = &database.grouped().writer;
    let half = |connection: &mut Connection| {
        put(20)(connection)?;
        put(1)(connection)
    };
    let answers = together(writer, vec![boxed(put(1)), boxed(half), boxed(put(2))]).await;
    let [first, failed, last] = answers.try_into().map_err(drop).unwrap();
    first.unwrap().unwrap();
    last.unwrap().unwrap();
    let failed = failed.unwrap();
    assert!(matches!(failed, Err(StoreError::Conflict(_))), "{failed:?}");
    assert_eq!(all(&database).await, [1, 2]);
    assert_eq!(writer.commits(), 1);
}

/// How often a change was made.
type Calls = Arc<AtomicUsize>;

/// A change that counts how often it is made.
fn counted(calls: &Calls, mut change: impl FnMut(&mut Connection) -> Result<()> + Send + 'static) -> Boxed<()> {
    let calls = Arc::clone(calls);
    boxed(move |connection| {
        calls.fetch_add(1, Ordering::Relaxed);
        change(connection)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_before_it_writes_has_nobody_made_again() {
    let (_folder, database) = database().await;
    let calls: [Calls; 3] = Default::default();
    let refuse = |connection: &mut Connection| {
        assert_eq!(connection.query_row("SELECT count(*) FROM a", (), |row| row.get::<_, i64>(0))?, 1);
        Err(StoreError::failed("no"))
    };
    let changes = vec![counted(&calls[0], put(1)), counted(&calls[1], refuse), counted(&calls[2], put(2))];
    let answers = together(&database.grouped().writer, changes).await;
    assert!(matches!(answers.as_slice(), [Ok(Ok(())), Ok(Err(_)), Ok(Ok(()))]), "{answers:?}");
    assert_eq!(all(&database).await, [1, 2]);
    assert_eq!(calls.map(|calls| calls.load(Ordering::Relaxed)), [1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_that_fail_after_they_wrote_are_undone_and_their_group_is_made_again_once() {
    let (_folder, database) = database().await;
    let calls: [Calls; 5] = Default::default();
    let spoil = |x: i64| {
        let mut put = put(x);
        move |connection: &mut Connection| {
            put(connection)?;
            Err(StoreError::failed(format!("no {x}")))
        }
    };
    let changes = vec![
        counted(&calls[0], put(1)),
        counted(&calls[1], spoil(2)),
        counted(&calls[2], put(2)),
        counted(&calls[3], spoil(3)),
        counted(&calls[4], put(3)),
    ];
    let commits = database.grouped().writer.commits();
    let answers = together(&database.grouped().writer, changes).await;
    let [Ok(Ok(())), Ok(Err(first)), Ok(Ok(())), Ok(Err(second)), Ok(Ok(()))] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    let (first, second) = (format!("{first:?}"), format!("{second:?}"));
    assert!(first.contains("no 2") && second.contains("no 3"), "{first} {second}");
    assert_eq!(all(&database).await, [1, 2, 3]);
    assert_eq!(calls.map(|calls| calls.load(Ordering::Relaxed)), [2, 2, 1, 1, 1]);
    assert_eq!(database.grouped().writer.commits() - commits, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_made_in_the_order_in_which_they_were_asked_for() {
    let (_folder, database) = database().await;
    let seen = |connection: &mut Connection| {
        let count: i64 = connection.query_row("SELECT count(*) FROM a", (), |row| row.get(0))?;
        put(count)(connection)?;
        Ok(count)
    };
    let answers = together(&database.grouped().writer, (0..100).map(|_| boxed(seen)).collect()).await;
    assert_eq!(answers.into_iter().map(|answer| answer.unwrap().unwrap()).collect::<Vec<_>>(), Vec::from_iter(0..100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_takes_the_whole_transaction_with_it_fails_alone() {
    let (_folder, database) = database().await;
    let writer = &database.grouped().writer;
    put_and_fill(writer).await;
    // As on a full disk: the statement fails, and takes along what the others did before it.
    let fatal = |connection: &mut Connection| {
        connection.execute("INSERT OR ROLLBACK INTO a (x) VALUES (100)", ())?;
        Ok(())
    };
    let swallowed = |connection: &mut Connection| {
        let _unseen = connection.execute("INSERT OR ROLLBACK INTO a (x) VALUES (100)", ());
        Ok(())
    };
    for (fatal, number) in [(boxed(fatal), 0), (boxed(swallowed), 10)] {
        let changes = vec![boxed(put(number + 1)), boxed(put(100)), fatal, boxed(put(number + 2))];
        let answers = together(writer, changes).await;
        let [first, conflict, fatal, last] = answers.try_into().map_err(drop).unwrap();
        first.unwrap().unwrap();
        assert!(matches!(conflict.unwrap(), Err(StoreError::Conflict(_))));
        fatal.unwrap().unwrap_err();
        last.unwrap().unwrap();
    }
    assert_eq!(all(&database).await, [1, 2, 11, 12, 100]);
}

async fn put_and_fill(writer: &Writer) {
    writer.change(put(100)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_those_that_fit_are_kept_and_the_others_say_that_it_is_full() {
    let (_folder, database) = database().await;
    let writer = &database.grouped().writer;
    let limit = |pages: u32| {
        move |connection: &mut Option<Connection>| {
            let connection = connection.as_ref().unwrap();
            connection.execute_batch(&format!("PRAGMA max_page_count = {pages}")).unwrap();
        }
    };
    writer.outside(limit(8)).await;
    let large = |connection: &mut Connection| {
        connection.execute("INSERT INTO a (y) VALUES (randomblob(1000000))", ())?;
        Ok(())
    };
    let answers = together(writer, vec![boxed(put(1)), boxed(large), boxed(put(2))]).await;
    let [first, full, last] = answers.try_into().map_err(drop).unwrap();
    first.unwrap().unwrap();
    last.unwrap().unwrap();
    let full = full.unwrap();
    assert!(matches!(full, Err(StoreError::Full(_))), "{full:?}");
    writer.outside(limit(1_000_000)).await;
    writer.change(large).await.unwrap();
    assert_eq!(all(&database).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_fails_is_made_again_for_each_alone() {
    let (_folder, database) = database().await;
    let writer = &database.grouped().writer;
    let commits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&commits);
    writer
        .outside(move |connection| {
            let refuse_first = move || counted.fetch_add(1, Ordering::SeqCst) == 0;
            connection.as_ref().unwrap().commit_hook(Some(refuse_first)).unwrap();
        })
        .await;
    for answer in together(writer, vec![boxed(put(1)), boxed(put(2)), boxed(put(3))]).await {
        answer.unwrap().unwrap();
    }
    assert_eq!(commits.load(Ordering::SeqCst), 5, "one for all, and then one for each, and for the one that was held");
    assert_eq!(all(&database).await, [1, 2, 3]);
    // Who comes alone is not tried again: it is told.
    commits.store(0, Ordering::SeqCst);
    writer.change(put(4)).await.unwrap_err();
    assert_eq!(all(&database).await, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_its_own_askers_alone() {
    let (_folder, database) = database().await;
    let panics = |connection: &mut Connection| {
        put(7)(connection)?;
        panic!("a bug");
    };
    let answers = together(&database.grouped().writer, vec![boxed(put(1)), boxed(panics), boxed(put(2))]).await;
    let [first, panicked, last] = answers.try_into().map_err(drop).unwrap();
    first.unwrap().unwrap();
    assert!(panicked.unwrap_err().is_panic());
    last.unwrap().unwrap();
    assert_eq!(all(&database).await, [1, 2]);
}

#[test]
fn a_panic_is_told_as_a_failure_with_what_it_said() {
    for panic in [&"a bug" as &(dyn Any + Send), &"a bug".to_owned()] {
        let StoreError::Failed(told) = panicked(panic) else { panic!("it failed") };
        assert_eq!(told.to_string(), "a change panicked: a bug");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_goes_away_disturbs_nobody() {
    let (_folder, database) = database().await;
    let writer = &database.grouped().writer;
    let (go, holding) = held(writer).await;
    let gone = tokio::spawn({
        let writer = writer.clone();
        async move { writer.change(put(1)).await }
    });
    while writer.queue.capacity() == QUEUE {
        tokio::task::yield_now().await;
    }
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    go.send(()).unwrap();
    holding.await.unwrap().unwrap();
    writer.change(put(2)).await.unwrap();
    assert_eq!(all(&database).await, [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_done_before_the_end_and_nothing_after_it() {
    let (folder, database) = database().await;
    let writer = &database.grouped().writer;
    let (go, holding) = held(writer).await;
    let mut asking = Vec::new();
    for x in 0..600 {
        let writer = writer.clone();
        asking.push(tokio::spawn(async move { writer.change(put(x)).await }));
    }
    while writer.queue.capacity() > QUEUE - 600 {
        tokio::task::yield_now().await;
    }
    let closing = tokio::spawn({
        let database = database.clone();
        async move { database.close().await }
    });
    while writer.queue.capacity() > QUEUE - 601 {
        tokio::task::yield_now().await;
    }
    go.send(()).unwrap();
    holding.await.unwrap().unwrap();
    for asked in asking {
        asked.await.unwrap().unwrap();
    }
    closing.await.unwrap();
    assert!(matches!(writer.change(put(600)).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(database.grouped().readers.get().await, Err(StoreError::Unavailable(_))));
    assert!(!folder.path().join("a.db-wal").exists(), "the file is whole by itself");
    let again = open(&folder.path().join("a.db"), &[TABLE]).await.unwrap();
    assert_eq!(all(&again).await.len(), 600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_another_process_holds_is_busy_for_all_who_wait_and_written_afterwards() {
    let (folder, database) = database().await;
    let writer = &database.grouped().writer;
    writer.outside(|connection| connection.as_ref().unwrap().busy_timeout(std::time::Duration::ZERO).unwrap()).await;
    let other = open(&folder.path().join("a.db"), &[TABLE]).await.unwrap();
    let holds = other.begin_write().await.unwrap();
    assert!(matches!(writer.change(put(1)).await, Err(StoreError::Retry(_))));
    holds.rollback().await.unwrap();
    writer.change(put(1)).await.unwrap();
    assert_eq!(all(&database).await, [1]);
}

#[tokio::test]
async fn a_look_that_writes_nothing_needs_no_commit() {
    let (_folder, database) = database().await;
    let writer = &database.grouped().writer;
    let look = |connection: &mut Connection| {
        Ok::<i64, StoreError>(connection.query_row("SELECT count(*) FROM a", (), |row| row.get(0))?)
    };
    assert_eq!(writer.change(look).await.unwrap(), 0);
    assert_eq!(writer.commits(), 0);
}

#[tokio::test]
async fn its_connections_are_as_those_of_the_pools_are() {
    let (folder, database) = database().await;
    let pragmas = |connection: &Connection| {
        ["synchronous", "foreign_keys", "secure_delete", "trusted_schema", "busy_timeout", "query_only"]
            .map(|name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap())
    };
    let changes = database.grouped().writer.change(move |connection| Ok::<_, StoreError>(pragmas(connection)));
    // It waits for others in a way of its own, which SQLite does not show.
    assert_eq!(changes.await.unwrap(), [2, 1, 1, 0, 0, 0]);
    let reader = database.grouped().readers.get().await.unwrap();
    assert_eq!(pragmas(&reader), [2, 1, 1, 0, 5000, 1]);
    reader.execute("INSERT INTO a (x) VALUES (1)", ()).unwrap_err();
    drop(reader);
    database.grouped().writer.change(put(5)).await.unwrap();
    let beside = open_read_only(&folder.path().join("a.db")).await.unwrap();
    assert_eq!(all(&beside).await, [5]);
    let refused = beside.grouped().writer.change(put(6)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(folder.path().join("a.db-wal")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn who_leaves_a_transaction_open_leaves_it_to_nobody() {
    let (_folder, database) = database().await;
    let reader = database.grouped().readers.get().await.unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM a").unwrap();
    drop(reader);
    database.grouped().writer.change(put(1)).await.unwrap();
    assert_eq!(all(&database).await, [1], "the next reader sees what is");
}
