//! Following runs: all of a controller's at once, as often as something happens there. What is learned is durable
//! before anybody is told.
//!
//! Any number of executors may run: one of them sweeps a controller, and each looks more often at the few runs that a
//! caller waits for or wants cancelled. What two of them learn at once, the store records once.
//!
//! May use `job`, `store`, the ports and the clients for controllers. It never launches.

mod cost;
mod followed;
mod follower;
mod hinted;
mod output;
mod pace;
mod round;
mod silence;
mod steps;
mod sweep;
mod unlisted;

use std::sync::Arc;
use std::time::Duration;

use runwarden_kit::Result;
use runwarden_kit::lifecycle::Shutdown;

use crate::hints::Hints;
use crate::instance::Instance;
use crate::shared::Shared;
use round::{Round, until_next};
use silence::Silences;
use unlisted::Asked;

/// How often to see what other executors changed.
const LOOK: Duration = Duration::from_secs(1);
/// How many jobs are read from the store at once.
const PAGE: usize = 500;

/// How late to look at runs of which nothing is heard.
#[derive(Clone, Copy, Debug)]
pub struct Poll {
    /// While nothing changes.
    pub quiet: Duration,
    /// While a controller's hints prove reliable.
    pub hinted: Duration,
}

impl Default for Poll {
    fn default() -> Self {
        Self { quiet: Duration::from_secs(5), hinted: Duration::from_secs(30) }
    }
}

/// Follows runs to their end.
pub struct Watcher {
    /// What everybody works with.
    pub shared: Shared,
    /// Which executor this is.
    pub instance: Arc<Instance>,
    /// How many bytes of a run's output are kept.
    pub output_limit: u64,
    /// How long a run may be missing on its controller before it is lost.
    pub missing_limit: Duration,
    /// How late to look at runs of which nothing is heard.
    pub poll: Poll,
    /// What controllers say by themselves.
    pub hints: Hints,
    /// What it keeps in mind from one look to the next.
    pub memory: Memory,
}

/// What looks at the same runs keep in mind.
#[derive(Default)]
pub struct Memory {
    asked: Asked,
    /// When the steps of workflows were last looked at.
    steps: Asked,
    silences: Silences,
}

impl Watcher {
    /// Looks until shutdown. Controllers are swept concurrently: one that hangs holds up no other's jobs.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let mut round = Round::default();
        let mut loaded = false;
        loop {
            let read = if loaded { self.catch_up(&mut round).await } else { self.load(&mut round).await };
            let store_failed = read.is_err();
            match read {
                Ok(()) => loaded = true,
                Err(error) => error.log(),
            }
            self.begin_looks(&mut round).await;
            let wait = if store_failed { LOOK } else { until_next(&round) };
            tokio::select! {
                Some(done) = round.looks.join_next(), if !round.looks.is_empty() => match done {
                    Ok(seen) => round.saw(seen, self.poll, self.shared.clock.now()),
                    // One that broke down says so in the log; its runs are looked at again.
                    Err(_) => round.broke_down(),
                },
                () = self.shared.watch.heard_within(wait) => {}
                () = shutdown.begun() => break,
            }
        }
        if let Err(error) = self.shared.store.unwatch(self.instance.id()).await {
            error.log();
        }
    }

    /// Reads all that runs.
    async fn load(&self, round: &mut Round) -> Result<()> {
        let version = self.shared.store.version().await?;
        let mut after = String::new();
        loop {
            let page = self.shared.store.running(&after, PAGE).await?;
            for job in &page {
                round.following.put(job);
            }
            match page.last() {
                Some(last) if page.len() == PAGE => last.id.clone_into(&mut after),
                _ => break,
            }
        }
        round.version = version;
        if round.following.len() > 0 {
            tracing::info!(runs = round.following.len(), "going on to follow runs");
        }
        Ok(())
    }

    /// Reads what changed since the last time.
    async fn catch_up(&self, round: &mut Round) -> Result<()> {
        loop {
            let changed = self.shared.store.changed(round.version, PAGE).await?;
            for job in &changed {
                round.note(job, self.poll, self.shared.clock.now());
                round.version = job.version;
                self.shared.live.ring_waiting(&job.id);
            }
            if changed.len() < PAGE {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
