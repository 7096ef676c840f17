//! What the parts of a running sandbox share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::faults::{Faults, millis};
use crate::notify::{self, Answers};
use crate::options::Options;
use crate::requests::Requests;
use crate::state::State;
use crate::state::store::Store;

/// What runs the jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Ansible(PathBuf),
    Simulated,
}

impl Engine {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ansible(_) => "ansible",
            Self::Simulated => "simulated",
        }
    }

    /// How many jobs are under way at once, where nothing else is asked for.
    fn room(&self) -> usize {
        match self {
            Self::Ansible(_) => 4,
            Self::Simulated => 200,
        }
    }

    /// Jobs say in `execution_node` what ran them.
    pub(crate) fn node(&self) -> String {
        format!("sandbox-{}", self.name())
    }
}

/// How long a launched job stays pending before the dispatcher looks at it.
const PENDING: Duration = Duration::from_millis(300);

/// The sandbox while it runs.
pub(crate) struct App {
    state: Mutex<State>,
    pub(crate) engine: Engine,
    /// 1.0 is the pace people can watch; 10.0 is ten times that.
    pub(crate) speed: f64,
    /// How many jobs may be under way at once.
    pub(crate) room: usize,
    /// How long after it came a request is answered, if nothing takes longer.
    pub(crate) latency: Duration,
    /// `/api` first, then AAP's prefix if it is configured.
    pub(crate) bases: Vec<String>,
    pub(crate) store: Option<Store>,
    changed: watch::Sender<u64>,
    saved: watch::Sender<u64>,
    pub(crate) wake: Notify,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) requests: Mutex<Requests>,
    pub(crate) answers: Answers,
}

impl App {
    pub(crate) fn new(
        mut state: State,
        engine: Engine,
        options: &Options,
        bases: Vec<String>,
        store: Option<Store>,
    ) -> Arc<Self> {
        state.schedule.pending = PENDING.div_f64(options.speed);
        Arc::new(Self {
            state: Mutex::new(state),
            room: options.room.unwrap_or(engine.room()),
            engine,
            speed: options.speed,
            latency: millis(options.latency_ms),
            bases,
            store,
            changed: watch::Sender::new(1),
            saved: watch::Sender::new(0),
            wake: Notify::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            faults: Mutex::new(Faults::default()),
            requests: Mutex::new(Requests::default()),
            answers: Answers::default(),
        })
    }

    /// The state, to read. Never held across an await.
    pub(crate) fn read(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Changes the state, has it saved soon, and wakes the dispatcher.
    pub(crate) fn change<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        let result = self.work(work);
        self.was_changed();
        result
    }

    fn work<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.read();
        let result = work(&mut state);
        for (target, body) in state.notices.take() {
            self.tasks.spawn(notify::send(self.answers.clone(), target, body));
        }
        result
    }

    /// The same where it is only known when looking whether there is anything to change: `None` changed nothing.
    pub(crate) fn change_if<R>(&self, work: impl FnOnce(&mut State) -> Option<R>) -> Option<R> {
        let result = self.work(work);
        if result.is_some() {
            self.was_changed();
        }
        result
    }

    fn was_changed(&self) {
        if self.store.is_some() {
            self.changed.send_modify(|n| *n += 1);
        }
        self.wake.notify_one();
    }

    /// Waits until everything changed so far is on disk.
    pub(crate) async fn durable(&self) {
        if self.store.is_none() {
            return;
        }
        let target = *self.changed.borrow();
        let mut saved = self.saved.subscribe();
        // The sender lives in self, so waiting can only end well.
        let _ = saved.wait_for(|n| *n >= target).await;
    }

    /// A pause that shrinks with the sandbox's speed.
    pub(crate) fn pace(&self, pause: Duration) -> Duration {
        pause.div_f64(self.speed)
    }

    /// Writes the state after each batch of changes until the sandbox stops. Where nothing is kept it has nothing to do.
    pub(crate) async fn keep_saving(self: Arc<Self>) {
        if self.store.is_none() {
            return;
        }
        let mut changed = self.changed.subscribe();
        changed.mark_changed();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                _ = changed.changed() => {}
            }
            // Changes come in bursts; one write serves them all.
            tokio::time::sleep(Duration::from_millis(10)).await;
            let upto = *changed.borrow_and_update();
            self.save(upto).await;
        }
    }

    /// Saves now.
    pub(crate) async fn save(&self, upto: u64) {
        let Some(store) = self.store.clone() else { return };
        let json = serde_json::to_vec(&*self.read());
        let written = tokio::task::spawn_blocking(move || store.save(&json?)).await;
        match written {
            Ok(Ok(())) => {
                self.saved.send_replace(upto);
            }
            Ok(Err(error)) => tracing::error!(%error, "the sandbox cannot save its state"),
            Err(error) => tracing::error!(%error, "saving the sandbox's state broke off"),
        }
    }
}

/// A poisoned lock only means that some request died; the data are as whole as a crash would leave them.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
