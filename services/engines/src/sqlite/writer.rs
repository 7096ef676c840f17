//! Many changes, one commit. One thread owns the one connection that writes; what is asked of it meanwhile waits in its
//! queue, and goes into its next transaction together.
//!
//! A commit costs a sync of the disk, however much it brings. Nobody is made to wait for company: those who asked while
//! the last commit was under way are the next group, and who comes alone is committed alone.
//!
//! - One that fails is undone, and it alone gets its error. If it wrote something before that, its group is made again, each
//!   in a savepoint of its own.
//! - An answer leaves after the commit. It is never taken back: whoever was answered `Ok` is on the disk.
//! - What ends the whole transaction (a full disk, a failing device) is the failure of the change that met it. The others
//!   are made again, each in a transaction of its own, if it is certain that nothing of them was kept.
//! - A change that panics is undone. In debug builds its panic goes on where the change was asked for, so that the test
//!   fails; otherwise it is an error there.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::connect::Opener;
use super::group::Worker;
use crate::StoreError;

/// How many changes wait at most before those who ask for more wait in turn.
const QUEUE: usize = 4096;

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A change of it was made; others may follow, and the commit.
    Filling,
    /// It is committed; nobody was answered.
    Committed,
}

/// Is called on the writing thread at each stage of each group: for tests that end the process there.
pub type OnStage = Box<dyn Fn(Stage) + Send + Sync>;

/// The way to the one thread that changes a database. Clones lead to the same. The thread ends, and closes its
/// connection, when the last of them is dropped and all that was asked for is done.
#[derive(Clone, Debug)]
pub struct Writer {
    queue: mpsc::Sender<Message>,
    shared: Arc<Shared>,
}

/// What the thread and those who ask both see.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) begun: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) on_stage: OnceLock<OnStage>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("begun", &self.begun).field("commits", &self.commits).finish_non_exhaustive()
    }
}

/// What is asked of the thread.
pub(super) enum Message {
    /// To make a change.
    Change(Box<dyn Change>),
    /// To do something with its connection outside of a transaction; none has it opened anew.
    #[cfg(any(test, feature = "conformance"))]
    Outside(Outside),
    /// To end, when all that was asked for before is done.
    Close(oneshot::Sender<()>),
}

/// What is done with the thread's connection outside of a transaction.
#[cfg(any(test, feature = "conformance"))]
pub(super) type Outside = Box<dyn FnOnce(&mut Option<Connection>) + Send>;

impl Writer {
    /// Starts the thread. It opens its connection when the first change is asked for.
    pub(super) fn start(opener: Opener) -> Self {
        let (queue, asked) = mpsc::channel(QUEUE);
        let shared = Arc::<Shared>::default();
        let worker = Worker::new(opener, asked, Arc::clone(&shared));
        // Linux keeps the first fifteen bytes of a name.
        let started = std::thread::Builder::new().name("sqlite writer".to_owned()).spawn(move || worker.run());
        if let Err(error) = started {
            // Whoever asks finds the queue closed.
            tracing::error!(%error, "no thread could be started to write a database");
        }
        Self { queue, shared }
    }

    /// Makes a change, in one transaction with others that are asked for at the same time. What it does is kept if it
    /// answers `Ok`, and is on the disk before this answers; else it is undone.
    ///
    /// It may be called more than once, and what an earlier call did is then undone. If what this returns is dropped
    /// before it answers, the change may be made or not, but whole.
    ///
    /// # Errors
    /// Those of the change; and when it could not be committed.
    pub async fn change<T, E, W>(&self, work: W) -> Result<T, E>
    where
        W: FnMut(&mut Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let asked = Asked { work, outcome: None, answer };
        self.shared.begun.fetch_add(1, Ordering::Relaxed);
        self.queue.send(Message::Change(Box::new(asked))).await.map_err(|_| closed())?;
        match answered.await.map_err(|_| closed())? {
            Outcome::Answered(answer) => answer,
            Outcome::Panicked(panic) if cfg!(debug_assertions) => resume_unwind(panic),
            Outcome::Panicked(panic) => Err(panicked(&*panic).into()),
        }
    }

    /// How many changes were asked for.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.shared.begun.load(Ordering::Relaxed)
    }

    /// How many commits wrote something.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    /// Has this called at each stage of each group. Only the first that is given is.
    pub fn on_stage(&self, call: OnStage) {
        let _is_first = self.shared.on_stage.set(call);
    }

    /// Closes the connection and ends the thread, when all that was asked for is done. What is asked for later fails.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Message::Close(done)).await.is_ok() {
            let _ended = closed.await;
        }
    }

    /// Does something with the connection outside of a transaction.
    #[cfg(any(test, feature = "conformance"))]
    pub(super) async fn outside(&self, work: impl FnOnce(&mut Option<Connection>) + Send + 'static) {
        let (done, is_done) = oneshot::channel();
        let work = Box::new(move |connection: &mut Option<Connection>| {
            work(connection);
            let _awaited = done.send(());
        });
        if self.queue.send(Message::Outside(work)).await.is_ok() {
            let _ended = is_done.await;
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the database is closed".into())
}

fn panicked(panic: &(dyn Any + Send)) -> StoreError {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    StoreError::failed(format!("a change panicked: {}", said.unwrap_or("it said nothing")))
}

/// A change as the thread knows it.
pub(super) trait Change: Send {
    /// Makes it inside the open transaction. Answers whether it is to be kept.
    fn make(&mut self, connection: &mut Connection) -> bool;

    /// Whatever it answered, it was not kept, for this reason.
    fn fail(&mut self, why: StoreError);

    /// Whether nobody waits for it any more.
    fn is_abandoned(&self) -> bool;

    /// Tells whoever asked.
    fn answer(self: Box<Self>);
}

enum Outcome<T, E> {
    Answered(Result<T, E>),
    Panicked(Box<dyn Any + Send>),
}

struct Asked<W, T, E> {
    work: W,
    outcome: Option<Outcome<T, E>>,
    answer: oneshot::Sender<Outcome<T, E>>,
}

impl<W, T, E> Change for Asked<W, T, E>
where
    W: FnMut(&mut Connection) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn make(&mut self, connection: &mut Connection) -> bool {
        // What it leaves behind in the database is undone; what it leaves in itself is only seen by itself.
        let outcome = match catch_unwind(AssertUnwindSafe(|| (self.work)(connection))) {
            Ok(answer) => Outcome::Answered(answer),
            Err(panic) => Outcome::Panicked(panic),
        };
        let is_kept = matches!(outcome, Outcome::Answered(Ok(_)));
        self.outcome = Some(outcome);
        is_kept
    }

    fn fail(&mut self, why: StoreError) {
        self.outcome = Some(Outcome::Answered(Err(why.into())));
    }

    fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    fn answer(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            let _is_awaited = self.answer.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests;
