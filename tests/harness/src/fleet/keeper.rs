//! Keeps one process running through all its lives.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Restart;
use crate::log::Log;
use crate::process::{Allowed, Process, STOP, Signal};
use crate::recipe::Recipe;
use crate::wait::until_within;

/// How often to look at a process.
const LOOK: Duration = Duration::from_millis(10);
/// How long one that ended by itself stays away, so that one that cannot start does not spin.
const AFTER_A_FALL: Duration = Duration::from_millis(200);

/// How a life ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was killed from outside.
    Killed,
    /// It was asked to stop.
    Asked(ExitStatus),
    /// It killed itself with settings that were meant for that life only: at a failpoint.
    Failpoint,
    /// It ended, and nobody wanted that.
    Itself(ExitStatus),
    /// It was told to end and did not, until it was killed.
    Hung,
}

/// One life of a process.
#[derive(Clone)]
pub struct Life {
    /// The name of the process.
    pub name: String,
    /// Which life it is, from 1.
    pub number: usize,
    /// The settings of this life only.
    pub settings: Vec<(String, String)>,
    /// What it wrote.
    pub log: Log,
    /// How it ended; none while it goes on.
    pub end: Option<End>,
}

impl Life {
    /// For people.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} in life {}", self.name, self.number)
    }

    /// What was wrong with its end, if anything was.
    pub(super) fn bad_end(&self) -> Option<String> {
        match &self.end {
            Some(End::Asked(status)) if !status.success() => Some(format!("was asked to stop and ended with {status}")),
            Some(End::Itself(status)) => Some(format!("ended by itself with {status}\n{}", self.log.end())),
            Some(End::Hung) => Some(format!("was told to end and went on\n{}", self.log.end())),
            Some(End::Asked(_) | End::Killed | End::Failpoint) | None => None,
        }
    }
}

pub(super) enum Order {
    Restart(Restart),
    Stop,
}

#[derive(Default)]
struct Kept {
    lives: Vec<Life>,
    /// How many orders were given and not carried out yet.
    pending: usize,
    /// Whether the present life is ready.
    ready: bool,
}

/// Who keeps a process running.
pub(super) struct Keeper {
    name: String,
    orders: mpsc::UnboundedSender<Order>,
    kept: Arc<Mutex<Kept>>,
    task: Mutex<Option<JoinHandle<()>>>,
    failed: Mutex<Option<String>>,
}

fn locked<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    pub(super) fn start(name: String, recipe: Recipe, allowed: Allowed) -> Self {
        let (orders, taken) = mpsc::unbounded_channel();
        let kept = Arc::new(Mutex::new(Kept::default()));
        let keeping = Keeping { name: name.clone(), recipe, allowed, orders: taken, kept: kept.clone() };
        let task = Mutex::new(Some(tokio::spawn(keeping.run())));
        Self { name, orders, kept, task, failed: Mutex::default() }
    }

    pub(super) fn order(&self, order: Order) {
        locked(&self.kept).pending += 1;
        // Nobody takes it only when the keeper has failed, which is told at the end.
        let _gone = self.orders.send(order);
    }

    /// Waits until no order is left and the process is ready.
    pub(super) async fn up(&self, limit: Duration) {
        until_within(limit, &format!("{} to be ready", self.name), async || {
            let kept_running = locked(&self.task).as_ref().is_some_and(|task| !task.is_finished());
            assert!(kept_running, "nobody keeps {} running", self.name);
            let kept = locked(&self.kept);
            (kept.pending == 0 && kept.ready).then_some(())
        })
        .await;
    }

    pub(super) async fn stop(&self) {
        self.order(Order::Stop);
        let task = locked(&self.task).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            *locked(&self.failed) = Some(format!("{} could not be kept running: {error}", self.name));
        }
    }

    pub(super) fn lives(&self) -> Vec<Life> {
        locked(&self.kept).lives.clone()
    }

    pub(super) fn is_armed(&self) -> bool {
        locked(&self.kept).lives.last().is_some_and(|life| !life.settings.is_empty())
    }

    pub(super) fn complaints(&self) -> Option<String> {
        locked(&self.failed).clone()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(task) = locked(&self.task).as_ref() {
            task.abort();
        }
    }
}

/// The keeper's own side.
struct Keeping {
    name: String,
    recipe: Recipe,
    allowed: Allowed,
    orders: mpsc::UnboundedReceiver<Order>,
    kept: Arc<Mutex<Kept>>,
}

/// What comes after a life.
enum Next {
    Nothing,
    Life { after: Duration, settings: Vec<(String, String)> },
}

impl Next {
    /// After a fall, as a supervisor does it.
    fn soon() -> Self {
        Self::Life { after: AFTER_A_FALL, settings: Vec::new() }
    }
}

impl Keeping {
    async fn run(mut self) {
        let mut settings = Vec::new();
        loop {
            let mut process = self.begin(std::mem::take(&mut settings));
            let (end, next) = self.live(&mut process).await;
            // The port and the data are free when it is gone for certain.
            drop(process);
            self.ended(end);
            match next {
                Next::Nothing => return,
                Next::Life { after, settings: next } => {
                    tokio::time::sleep(after).await;
                    settings = next;
                }
            }
        }
    }

    fn begin(&self, settings: Vec<(String, String)>) -> Process {
        let mut process = self.recipe.start_with(&settings, &self.allowed);
        process.leave_judgement();
        let mut kept = locked(&self.kept);
        let number = kept.lives.len() + 1;
        kept.lives.push(Life { name: self.name.clone(), number, settings, log: process.log().clone(), end: None });
        process
    }

    fn ended(&self, end: End) {
        let mut kept = locked(&self.kept);
        kept.ready = false;
        if let Some(life) = kept.lives.last_mut() {
            life.end = Some(end);
        }
    }

    /// Watches over one life, and says how it ended and what comes next.
    async fn live(&mut self, process: &mut Process) -> (End, Next) {
        loop {
            tokio::select! {
                order = self.orders.recv() => {
                    let (signal, next) = match order {
                        Some(Order::Restart(Restart { signal, down, next })) => {
                            (signal, Next::Life { after: down, settings: next })
                        }
                        Some(Order::Stop) | None => (Signal::Term, Next::Nothing),
                    };
                    self.taken();
                    return (self.end(process, signal).await, next);
                }
                () = tokio::time::sleep(LOOK) => {
                    if let Some(status) = process.exit() {
                        return (self.by_itself(status), Next::soon());
                    }
                    locked(&self.kept).ready = process.is_ready().is_some();
                }
            }
        }
    }

    async fn end(&self, process: &mut Process, signal: Signal) -> End {
        if let Some(status) = process.exit() {
            return self.by_itself(status);
        }
        process.signal(signal);
        let since = Instant::now();
        let status = loop {
            tokio::time::sleep(LOOK).await;
            if let Some(status) = process.exit() {
                break status;
            }
            if since.elapsed() > STOP {
                return End::Hung;
            }
        };
        match signal {
            Signal::Kill => End::Killed,
            Signal::Term | Signal::Interrupt if self.is_armed() && status.signal() == Some(9) => End::Failpoint,
            Signal::Term | Signal::Interrupt => End::Asked(status),
        }
    }

    /// An order is being carried out.
    fn taken(&self) {
        let mut kept = locked(&self.kept);
        kept.pending = kept.pending.saturating_sub(1);
        kept.ready = false;
    }

    fn is_armed(&self) -> bool {
        locked(&self.kept).lives.last().is_some_and(|life| !life.settings.is_empty())
    }

    fn by_itself(&self, status: ExitStatus) -> End {
        if self.is_armed() && status.signal() == Some(9) { End::Failpoint } else { End::Itself(status) }
    }
}
