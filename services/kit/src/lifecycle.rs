//! Starting and stopping: one shutdown signal for all, named tasks, and none left behind.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The shutdown signal. Every task has a clone; all receive it at once.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
    failure: Arc<OnceLock<String>>,
}

/// It is time to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shutting down")]
pub struct Stopping;

impl Shutdown {
    /// A signal that has not been given yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the signal.
    pub fn begin(&self) {
        self.token.cancel();
    }

    /// Gives the signal because something failed: the process shuts down in order, with a failing exit code.
    pub fn fail(&self, why: impl Into<String>) {
        let _the_first_is_the_cause = self.failure.set(why.into());
        self.begin();
    }

    /// What broke, if that is why it was made.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Whether it has been made.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until it is made.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    /// Sleeps, unless it is time to stop.
    ///
    /// # Errors
    /// [`Stopping`] when it is.
    pub async fn sleep(&self, pause: Duration) -> Result<(), Stopping> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.begun() => Err(Stopping),
        }
    }

    /// Gives the signal when the process gets SIGINT or SIGTERM; a second one ends the process at once. From the
    /// return of this function on no signal is missed.
    pub fn on_signals(&self) {
        let mut signals = match Signals::listen() {
            Ok(signals) => signals,
            Err(error) => {
                tracing::error!(%error, "cannot listen for signals");
                return;
            }
        };
        let shutdown = self.clone();
        tokio::spawn(async move {
            signals.next().await;
            tracing::info!("stopping; a second signal stops at once");
            shutdown.begin();
            signals.next().await;
            tracing::warn!("second signal: stopping at once");
            std::process::exit(130);
        });
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

struct Named {
    name: String,
    handle: JoinHandle<()>,
}

/// The background tasks of a process, by name.
#[derive(Clone, Default)]
pub struct Tasks {
    shutdown: Shutdown,
    running: Arc<Mutex<Vec<Named>>>,
}

impl Tasks {
    /// No tasks yet; they end with `shutdown`.
    #[must_use]
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, running: Arc::default() }
    }

    /// The signal that ends them.
    #[must_use]
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Starts a task. It must end by itself after shutdown begins. A task that panics takes the process down in
    /// order: half a service is worse than none.
    pub fn spawn<F>(&self, name: impl Into<String>, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let name = name.into();
        let shutdown = self.shutdown.clone();
        let task = name.clone();
        let handle = tokio::spawn(async move {
            if let Err(error) = tokio::spawn(future).await
                && error.is_panic()
            {
                tracing::error!(task, "a background task panicked; stopping");
                shutdown.fail(format!("the task {task:?} panicked"));
            }
        });
        let mut running = self.running();
        running.retain(|t| !t.handle.is_finished());
        running.push(Named { name, handle });
    }

    /// Waits for all tasks to end, logging which are still pending, and gives up after `limit`. True if all ended.
    pub async fn join(&self, limit: Duration) -> bool {
        let end = tokio::time::Instant::now() + limit;
        let mut report = tokio::time::Instant::now() + Duration::from_secs(2);
        loop {
            let pending: Vec<String> =
                self.running().iter().filter(|t| !t.handle.is_finished()).map(|t| t.name.clone()).collect();
            if pending.is_empty() {
                return true;
            }
            let now = tokio::time::Instant::now();
            if now >= end {
                tracing::warn!(pending = pending.join(", "), "tasks did not end in time");
                return false;
            }
            if now >= report {
                tracing::info!(pending = pending.join(", "), "waiting for tasks to end");
                report = now + Duration::from_secs(2);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn running(&self) -> MutexGuard<'_, Vec<Named>> {
        // A list of handles cannot be left half changed.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_end_with_shutdown_and_a_panic_begins_it() {
        let tasks = Tasks::new(Shutdown::new());
        let heard = tasks.shutdown().clone();
        tasks.spawn("listener", async move { heard.begun().await });
        tasks.spawn("broken", async { panic!("on purpose") });
        assert!(tasks.join(Duration::from_secs(5)).await);
        assert!(tasks.shutdown().has_begun());
        assert_eq!(tasks.shutdown().failure(), Some("the task \"broken\" panicked"));
    }

    #[tokio::test]
    async fn a_shutdown_signal_is_not_a_failure_and_the_first_failure_is_reported() {
        let shutdown = Shutdown::new();
        shutdown.begin();
        assert_eq!(shutdown.failure(), None);
        shutdown.fail("one");
        shutdown.fail("two");
        assert_eq!(shutdown.failure(), Some("one"));
        assert_eq!(shutdown.sleep(Duration::from_secs(60)).await, Err(Stopping));
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_is_given_up() {
        let tasks = Tasks::new(Shutdown::new());
        tasks.spawn("stuck", std::future::pending());
        assert!(!tasks.join(Duration::from_millis(20)).await);
    }
}
