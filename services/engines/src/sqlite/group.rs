//! The thread that writes: it takes what waits, makes it in one transaction, commits, and answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use metrics::Histogram;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;

use super::connect::Opener;
use super::error::copy;
use super::writer::{Change, Message, Shared, Stage};
use crate::StoreError;

/// How many changes go into one commit at most.
const MOST: usize = 256;
/// A group that was worked on for so long takes no more: its first member waits for its last. Tests of groups are not to
/// depend on how busy the machine is.
const LONGEST: Duration = if cfg!(test) { Duration::MAX } else { Duration::from_millis(2) };

/// The thread's own.
pub(super) struct Worker {
    opener: Opener,
    queue: Receiver<Message>,
    shared: Arc<Shared>,
    /// None before the first change, and after one that left it in a state that nobody knows.
    connection: Option<Connection>,
    closing: Vec<oneshot::Sender<()>>,
    measured: Option<Measured>,
    /// How many rows the connection had written when the transaction began.
    before: u64,
}

/// What became of a change inside a group.
enum Made {
    /// It is part of the transaction.
    Kept,
    /// Nothing of it is in the transaction; it knows why.
    Undone,
    /// It failed after it had written, and what it wrote cannot be told from what the others wrote; it knows why.
    Spoiled,
    /// The whole transaction is gone with it; it knows why.
    Lost,
}

/// Whether what a change writes can be undone without the rest of its group.
///
/// Being able to costs a copy of each page that a change touches, and hardly any change fails after it wrote something. So
/// a group is made without, and made again with savepoints if one does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    None,
    Savepoint,
}

type Group = Vec<Box<dyn Change>>;

impl Worker {
    pub(super) fn new(opener: Opener, queue: Receiver<Message>, shared: Arc<Shared>) -> Self {
        Self { opener, queue, shared, connection: None, closing: Vec::new(), measured: None, before: 0 }
    }

    /// Works until nobody can ask for anything any more.
    pub(super) fn run(mut self) {
        let mut next = None;
        while let Some(message) = next.take().or_else(|| self.queue.blocking_recv()) {
            match message {
                Message::Change(first) => next = self.group(first),
                #[cfg(any(test, feature = "conformance"))]
                Message::Outside(work) => {
                    if self.open().is_ok() {
                        work(&mut self.connection);
                    }
                }
                Message::Close(done) => {
                    self.queue.close();
                    self.closing.push(done);
                }
            }
        }
        drop(self.connection.take());
        for done in self.closing {
            let _is_awaited = done.send(());
        }
    }

    /// Commits a change together with those that wait behind it. Answers what came that is none.
    fn group(&mut self, first: Box<dyn Change>) -> Option<Message> {
        let mut group: Group = Vec::new();
        let mut other = None;
        let mut next = Some(first);
        if let Err(error) = self.begin() {
            // Whatever it is, such as another process that holds the file, it would only be waited for again.
            while let Some(change) = next.take() {
                group.push(change);
                (next, other) = self.next(&group);
            }
            fail_all(group, &error);
            return other;
        }
        let begun = Instant::now();
        let mut kept = 0_u32;
        let mut guard = Guard::None;
        while let Some(mut change) = next.take() {
            if !change.is_abandoned() {
                let made = self.make(&mut *change, guard);
                group.push(change);
                match made {
                    Made::Kept => kept += 1,
                    Made::Undone => {}
                    Made::Spoiled => {
                        self.abandon();
                        guard = Guard::Savepoint;
                        let Some(made) = self.again(group, kept) else { return other };
                        (group, kept) = made;
                    }
                    Made::Lost => {
                        self.lost(group);
                        return other;
                    }
                }
                self.pass(Stage::Filling);
            }
            if begun.elapsed() < LONGEST {
                (next, other) = self.next(&group);
            }
        }
        self.commit(group, kept);
        other
    }

    /// Makes a group again in a new transaction, in which one that fails can be undone alone. `were_kept` is how many of it
    /// the old transaction had. Answers the group and how many of it are kept now; none if everybody has an answer already.
    fn again(&mut self, mut group: Group, were_kept: u32) -> Option<(Group, u32)> {
        if let Err(error) = self.begin() {
            fail_all(group, &error);
            return None;
        }
        if were_kept == 0 {
            return Some((group, 0));
        }
        let mut kept = 0;
        for at in 0..group.len() {
            let Some(change) = group.get_mut(at) else { break };
            match self.make(&mut **change, Guard::Savepoint) {
                Made::Kept => kept += 1,
                Made::Undone => {}
                Made::Spoiled | Made::Lost => {
                    let rest = group.split_off(at + 1);
                    self.lost(group);
                    self.each_alone(rest);
                    return None;
                }
            }
        }
        Some((group, kept))
    }

    /// The last change of a group ended the transaction, and knows why. The others had no part in that.
    fn lost(&mut self, mut group: Group) {
        self.abandon();
        if let Some(last) = group.pop() {
            last.answer();
        }
        self.each_alone(group);
    }

    /// The next change of a group, if one waits; or what waits instead.
    fn next(&mut self, group: &Group) -> (Option<Box<dyn Change>>, Option<Message>) {
        if group.len() >= MOST {
            return (None, None);
        }
        match self.queue.try_recv() {
            Ok(Message::Change(change)) => (Some(change), None),
            Ok(message) => (None, Some(message)),
            Err(_) => (None, None),
        }
    }

    fn commit(&mut self, mut group: Group, kept: u32) {
        if kept == 0 {
            self.abandon();
            return answer_all(group);
        }
        let begun = Instant::now();
        match self.run_sql("COMMIT") {
            Ok(()) => {
                self.committed(kept, begun.elapsed());
                answer_all(group);
            }
            Err(error) => {
                self.abandon();
                // What a failing device kept of it, nobody knows; and it is not asked to sync once more, which might
                // succeed without what it lost.
                let is_open = error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
                match group.as_mut_slice() {
                    [only] => {
                        only.fail(error.into());
                        answer_all(group);
                    }
                    _ if is_open => fail_all(group, &error),
                    _ => self.each_alone(group),
                }
            }
        }
    }

    /// Makes one change in the transaction that is open.
    fn make(&mut self, change: &mut dyn Change, guard: Guard) -> Made {
        if guard == Guard::Savepoint
            && let Err(error) = self.run_sql("SAVEPOINT change")
        {
            change.fail(error.into());
            return if self.is_in_transaction() { Made::Undone } else { Made::Lost };
        }
        let before = self.written();
        let Some(connection) = &mut self.connection else { return Made::Lost };
        let is_kept = change.make(connection);
        if !self.is_in_transaction() {
            if is_kept {
                change.fail(lost());
            }
            return Made::Lost;
        }
        if guard == Guard::None {
            return match is_kept {
                true => Made::Kept,
                false if self.written() == before => Made::Undone,
                false => Made::Spoiled,
            };
        }
        if is_kept {
            match self.run_sql("RELEASE change") {
                Ok(()) => return Made::Kept,
                Err(error) => change.fail(error.into()),
            }
        }
        let undone = self.run_sql("ROLLBACK TO change").and_then(|()| self.run_sql("RELEASE change"));
        if undone.is_ok() { Made::Undone } else { Made::Lost }
    }

    /// Makes changes once more that lost their transaction without a fault of their own. Nothing of it is left.
    fn each_alone(&mut self, group: Group) {
        let mut group = group.into_iter();
        while let Some(mut change) = group.next() {
            if let Err(error) = self.begin() {
                return fail_all(std::iter::once(change).chain(group), &error);
            }
            let Some(connection) = &mut self.connection else { return };
            let is_kept = change.make(connection);
            if is_kept {
                let begun = Instant::now();
                let committed = if self.is_in_transaction() {
                    self.run_sql("COMMIT").map_err(StoreError::from)
                } else {
                    Err(lost())
                };
                match committed {
                    Ok(()) => self.committed(1, begun.elapsed()),
                    Err(error) => change.fail(error),
                }
            }
            self.abandon();
            change.answer();
        }
    }

    fn open(&mut self) -> rusqlite::Result<()> {
        if self.connection.is_none() {
            self.connection = Some(self.opener.writer()?);
        }
        Ok(())
    }

    /// Begins a transaction that holds the file's one write lock.
    fn begin(&mut self) -> rusqlite::Result<()> {
        self.open()?;
        self.before = self.written();
        let begun = self.run_sql("BEGIN IMMEDIATE");
        if begun.is_err() {
            self.abandon();
        }
        begun
    }

    /// Ends the transaction if one is open, without keeping anything of it.
    fn abandon(&mut self) {
        if self.is_in_transaction() && (self.run_sql("ROLLBACK").is_err() || self.is_in_transaction()) {
            // A connection that cannot even do that is not used again; to close it rolls back.
            self.connection = None;
        }
    }

    fn is_in_transaction(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| !connection.is_autocommit())
    }

    fn run_sql(&self, sql: &str) -> rusqlite::Result<()> {
        let Some(connection) = &self.connection else { return Err(rusqlite::Error::InvalidQuery) };
        connection.prepare_cached(sql)?.execute(()).map(drop)
    }

    fn written(&self) -> u64 {
        self.connection.as_ref().map_or(0, Connection::total_changes)
    }

    /// A transaction that wrote nothing is none to count: SQLite syncs nothing for it.
    fn committed(&mut self, changes: u32, took: Duration) {
        if self.written() == self.before {
            return;
        }
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        let measured = self.measured.get_or_insert_with(|| Measured::of(&self.opener));
        measured.group.record(changes);
        measured.commit.record(took);
        self.pass(Stage::Committed);
    }

    fn pass(&self, stage: Stage) {
        if let Some(call) = self.shared.on_stage.get() {
            call(stage);
        }
    }
}

/// What is measured of each commit.
struct Measured {
    group: Histogram,
    commit: Histogram,
}

impl Measured {
    fn of(opener: &Opener) -> Self {
        let store = opener.path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Self {
            group: metrics::histogram!("runwarden_store_group_records", "store" => store.clone()),
            commit: metrics::histogram!("runwarden_store_commit_seconds", "store" => store),
        }
    }
}

fn lost() -> StoreError {
    StoreError::failed("the transaction was ended by something inside it that reported nothing")
}

fn answer_all(group: Group) {
    for change in group {
        change.answer();
    }
}

/// None of these was kept, for a reason that they share.
fn fail_all(group: impl IntoIterator<Item = Box<dyn Change>>, why: &rusqlite::Error) {
    for mut change in group {
        change.fail(copy(why).into());
        change.answer();
    }
}
