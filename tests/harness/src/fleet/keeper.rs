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
    /// It was asked to end and did not, until it was killed.
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
    /// How it ended; none while it runs.
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
            // Before it has begun to listen for signals they end it, as any process.
            Some(End::Asked(status)) if status.signal() == Some(15) && self.log.text().is_empty() => None,
            Some(End::Asked(status)) if !status.success() => Some(format!("was asked to stop and ended with {status}")),
            Some(End::Itself(status)) => Some(format!("ended by itself with {status}\n{}", self.log.end())),
            Some(End::Hung) => Some(format!("was told to end and went on\n{}", self.log.end())),
            Some(End::Asked(_) | End::Killed | End::Failpoint) | None => None,
        }
    }
}

enum Order {
    /// Given before calm was asked for this many times.
    Restart(Restart, usize),
    /// To be well again: ended and started again if its present life has settings of its own.
    Calm,
    Stop,
}

#[derive(Default)]
struct Kept {
    lives: Vec<Life>,
    /// How many orders were given and not carried out yet.
    pending: usize,
    /// Since when the present life is ready.
    ready: Option<Instant>,
    /// How often calm was asked for: what was ordered before and not begun is not done any more.
    calms: usize,
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

    fn order(&self, order: Order) {
        locked(&self.kept).pending += 1;
        // Nobody takes it only when the keeper has failed, which is told at the end.
        let _gone = self.orders.send(order);
    }

    pub(super) fn restart(&self, restart: Restart) {
        let calms = locked(&self.kept).calms;
        self.order(Order::Restart(restart, calms));
    }

    pub(super) fn calm(&self) {
        locked(&self.kept).calms += 1;
        self.order(Order::Calm);
    }

    /// Waits until no order is left and the process is ready.
    pub(super) async fn up(&self, limit: Duration) {
        until_within(limit, &format!("{} to be ready", self.name), async || {
            let kept_running = locked(&self.task).as_ref().is_some_and(|task| !task.is_finished());
            assert!(kept_running, "nobody keeps {} running", self.name);
            let kept = locked(&self.kept);
            (kept.pending == 0 && kept.ready.is_some()).then_some(())
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
    fn again(after: Duration, settings: Vec<(String, String)>) -> Self {
        Self::Life { after, settings }
    }

    /// After a fall, as a supervisor does it.
    fn soon() -> Self {
        Self::again(AFTER_A_FALL, Vec::new())
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
        kept.ready = None;
        if let Some(life) = kept.lives.last_mut() {
            life.end = Some(end);
        }
    }

    /// Watches over one life, and says how it ended and what comes next.
    async fn live(&mut self, process: &mut Process) -> (End, Next) {
        loop {
            let Some(order) = self.next_order(process).await else {
                return (self.end_of(process), Next::soon());
            };
            let (signal, next) = match order {
                Order::Stop => (Signal::Term, Next::Nothing),
                Order::Calm if self.is_armed() => (Signal::Kill, Next::again(Duration::ZERO, Vec::new())),
                Order::Restart(restart, calms) if self.is_ripe(process, restart.ripe, calms).await => {
                    (restart.signal, Next::again(restart.down, restart.next))
                }
                Order::Restart(..) | Order::Calm => {
                    self.carried_out(false);
                    continue;
                }
            };
            self.carried_out(true);
            return (self.end(process, signal).await, next);
        }
    }

    /// The next order; none if the process ends by itself before.
    async fn next_order(&mut self, process: &mut Process) -> Option<Order> {
        loop {
            tokio::select! {
                order = self.orders.recv() => return Some(order.unwrap_or(Order::Stop)),
                () = tokio::time::sleep(LOOK) => {
                    if !self.look(process) {
                        return None;
                    }
                }
            }
        }
    }

    /// Waits until the process has been ready for so long, or has ended; false if there is to be calm before.
    async fn is_ripe(&self, process: &mut Process, ripe: Option<Duration>, calms: usize) -> bool {
        while self.calms() == calms {
            let Some(ripe) = ripe else { return true };
            let ready = locked(&self.kept).ready;
            if !self.look(process) || ready.is_some_and(|since| since.elapsed() >= ripe) {
                return true;
            }
            tokio::time::sleep(LOOK).await;
        }
        false
    }

    /// Looks after the process; false if it has ended.
    fn look(&self, process: &mut Process) -> bool {
        let ready = process.is_ready().is_some();
        let mut kept = locked(&self.kept);
        if ready {
            kept.ready.get_or_insert_with(Instant::now);
        }
        drop(kept);
        process.exit().is_none()
    }

    fn calms(&self) -> usize {
        locked(&self.kept).calms
    }

    /// How a process ended that has.
    fn end_of(&self, process: &mut Process) -> End {
        process.exit().map_or(End::Hung, |status| self.by_itself(status))
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

    /// An order is carried out now, or there was nothing to do.
    fn carried_out(&self, ends: bool) {
        let mut kept = locked(&self.kept);
        kept.pending = kept.pending.saturating_sub(1);
        if ends {
            kept.ready = None;
        }
    }

    fn is_armed(&self) -> bool {
        locked(&self.kept).lives.last().is_some_and(|life| !life.settings.is_empty())
    }

    fn by_itself(&self, status: ExitStatus) -> End {
        if self.is_armed() && status.signal() == Some(9) { End::Failpoint } else { End::Itself(status) }
    }
}
