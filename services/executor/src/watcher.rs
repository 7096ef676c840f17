//! Following runs: all of a controller's at once, as often as something happens there. What is learned is durable
//! before anybody is told.

mod follow;
mod output;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runwarden_kit::audit::Bell;
use runwarden_kit::clock::Clock;
use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::{Result, id};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::awx::{AwxError, Client, RunSummary};
use crate::controllers::Controllers;
use crate::job::Job;
use crate::live::Live;
use crate::ports::Templates;
use crate::store::JobStore;
use crate::work::WorkBell;

/// How soon to look again when something happens.
const BUSY: Duration = Duration::from_millis(700);
/// How late to look again when nothing does.
const QUIET: Duration = Duration::from_secs(5);
/// How late to look again at a controller that does not answer.
const AWAY: Duration = Duration::from_secs(60);
/// How many runs' output is read in one sweep while they go on.
const OUTPUTS: usize = 50;
/// How many requests for output a controller gets at once.
const OUTPUTS_AT_ONCE: usize = 4;

/// Why a run is lost whose controller was removed.
const REMOVED: &str = "Its controller was removed from Runwarden while it ran. What it did is not known.";
/// Why a run is lost whose controller is elsewhere now: there, its id would be the id of somebody else's run.
const MOVED: &str = "The address of its controller was changed while it ran. What it did is not known.";

/// Follows runs to their end.
pub struct Watcher {
    /// Where jobs live.
    pub store: Arc<dyn JobStore>,
    /// Where controllers are.
    pub templates: Arc<dyn Templates>,
    /// Clients for them.
    pub controllers: Arc<Controllers>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Who waits for jobs.
    pub live: Live,
    /// Rings when a job was bound or is to be stopped.
    pub watch: WorkBell,
    /// Rings when a job ended, so that another may begin.
    pub work: WorkBell,
    /// Rings when audit entries wait.
    pub bell: Bell,
    /// How many bytes of a run's output are kept.
    pub output_limit: u64,
}

type Key = (String, String);

/// When to look at a controller next.
struct Pace {
    pause: Duration,
    next: Instant,
}

impl Default for Pace {
    fn default() -> Self {
        Self { pause: BUSY, next: Instant::now() }
    }
}

/// What a sweep of one controller found.
struct Swept {
    key: Key,
    /// Whether anything changed; an error if the controller did not answer.
    changed: std::result::Result<bool, AwxError>,
}

impl Watcher {
    /// Sweeps until shutdown. Controllers are swept side by side: one that hangs holds up nobody else's jobs.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let mut paces: HashMap<Key, Pace> = HashMap::new();
        let mut sweeps: JoinSet<Swept> = JoinSet::new();
        let mut sweeping: Vec<Key> = Vec::new();
        loop {
            match self.store.running().await {
                Ok(groups) => {
                    paces.retain(|key, _| groups.contains_key(key));
                    for (key, jobs) in groups {
                        let urgent = jobs.iter().any(wants_cancel);
                        let pace = paces.entry(key.clone()).or_default();
                        if sweeping.contains(&key) || (!urgent && pace.next > Instant::now()) {
                            continue;
                        }
                        sweeping.push(key.clone());
                        let watcher = self.clone();
                        sweeps.spawn(async move { watcher.sweep(key, jobs).await });
                    }
                }
                Err(error) => error.log(),
            }
            let wait = paces
                .iter()
                .filter(|(key, _)| !sweeping.contains(key))
                .map(|(_, pace)| pace.next.saturating_duration_since(Instant::now()))
                .min()
                .unwrap_or(QUIET)
                .clamp(Duration::from_millis(20), QUIET);
            tokio::select! {
                Some(done) = sweeps.join_next(), if !sweeps.is_empty() => {
                    let Ok(swept) = done else {
                        // A sweep that broke says so in the log; its controller is swept again.
                        sweeping.clear();
                        continue;
                    };
                    sweeping.retain(|key| *key != swept.key);
                    pace_after(paces.entry(swept.key.clone()).or_default(), &swept);
                }
                () = self.watch.heard_within(wait) => {}
                () = shutdown.begun() => return,
            }
        }
    }

    /// One look at all runs of one controller.
    async fn sweep(&self, key: Key, jobs: Vec<Job>) -> Swept {
        let context = RequestContext { request_id: id::new("req"), ..RequestContext::default() };
        let span = tracing::debug_span!("sweep", tenant = key.0, controller = key.1, runs = jobs.len());
        let changed = context::scope(context, async {
            let (client, installation) = match self.client(&key).await {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(self.let_go(jobs, REMOVED).await),
                Err(error) => {
                    error.log();
                    return Err(AwxError::Unreachable { detail: "its credential cannot be read right now".into() });
                }
            };
            let is_here = |job: &Job| job.run.as_ref().is_none_or(|run| run.installation == installation);
            let (here, elsewhere): (Vec<_>, Vec<_>) = jobs.into_iter().partition(is_here);
            let changed = self.let_go(elsewhere, MOVED).await;
            if here.is_empty() {
                return Ok(changed);
            }
            Ok(self.look(&client, here).await? | changed)
        })
        .instrument(span)
        .await;
        if changed == Err(AwxError::Unauthorized) {
            self.controllers.forget(&key.0, &key.1);
        }
        Swept { key, changed }
    }

    /// A client for the controller, and the installation it leads to.
    async fn client(&self, key: &Key) -> Result<Option<(Arc<Client>, String)>> {
        let Some(controller) = self.templates.controller(&key.0, &key.1).await? else { return Ok(None) };
        let client = self.controllers.client(&controller, "follow runs").await?;
        Ok(Some((client, controller.installation())))
    }

    /// Gives up, after a while, on runs that nobody can be asked about.
    async fn let_go(&self, jobs: Vec<Job>, why: &'static str) -> bool {
        let this = self.handle();
        let mut changed = false;
        for job in jobs {
            let context = RequestContext {
                request_id: job.request_id.clone(),
                trace_id: job.trace_id.clone(),
                ..RequestContext::default()
            };
            match context::scope(context, this.missing(&job, why)).await {
                Ok(ended) => changed |= ended,
                Err(error) => error.log(),
            }
        }
        changed
    }

    async fn look(&self, client: &Arc<Client>, jobs: Vec<Job>) -> std::result::Result<bool, AwxError> {
        let runs: Vec<_> = jobs.iter().filter_map(|j| j.run.as_ref().map(follow::run_ref)).collect();
        let started = Instant::now();
        let found = client.runs(&runs).await?;
        metrics::histogram!("runwarden_sweep_seconds").record(started.elapsed().as_secs_f64());
        let rows: HashMap<i64, RunSummary> = found.rows.into_iter().map(|row| (row.run.id, row)).collect();
        let mut changed = false;
        let mut outputs = 0;
        let mut work: JoinSet<bool> = JoinSet::new();
        let room = Arc::new(tokio::sync::Semaphore::new(OUTPUTS_AT_ONCE));
        for job in jobs {
            let Some(run) = job.run.clone() else { continue };
            if found.unreadable.contains(&run.id) {
                tracing::warn!(job = job.id, run = run.id, "the controller cannot tell of the run");
                continue;
            }
            let row = rows.get(&run.id).cloned();
            // What a run that is over printed is always read; that of one that goes on if somebody watches it.
            let ended = row.as_ref().is_some_and(|r| r.status.is_end());
            let watched = !ended && self.live.is_awaited(&job.id) && outputs < OUTPUTS;
            if watched {
                outputs += 1;
            }
            let read_output = ended || watched;
            let this = self.handle();
            let (client, room) = (client.clone(), room.clone());
            let context = RequestContext {
                request_id: job.request_id.clone(),
                trace_id: job.trace_id.clone(),
                ..RequestContext::default()
            };
            let follow = async move {
                let _permit = if read_output { room.acquire_owned().await.ok() } else { None };
                match this.follow(&client, job, row, read_output).await {
                    Ok(changed) => changed,
                    Err(error) => {
                        error.log();
                        false
                    }
                }
            };
            work.spawn(context::scope(context, follow));
        }
        while let Some(done) = work.join_next().await {
            changed |= done.unwrap_or(false);
        }
        Ok(changed)
    }

    fn handle(&self) -> follow::Follower {
        follow::Follower {
            store: self.store.clone(),
            clock: self.clock.clone(),
            live: self.live.clone(),
            work: self.work.clone(),
            bell: self.bell.clone(),
            output_limit: self.output_limit,
        }
    }
}

/// Whether a job's run should be asked to stop at once.
fn wants_cancel(job: &Job) -> bool {
    (job.cancel_requested || job.condemned.is_some()) && job.cancel_sent_at.is_none()
}

/// Quicker when something happens, slower when nothing does, much slower when nobody answers.
fn pace_after(pace: &mut Pace, swept: &Swept) {
    match &swept.changed {
        Ok(true) => pace.pause = BUSY,
        Ok(false) => pace.pause = (pace.pause.mul_f32(1.3)).min(QUIET),
        Err(error) => {
            if pace.pause <= QUIET {
                tracing::warn!(tenant = swept.key.0, controller = swept.key.1, %error, "the controller does not tell of its runs");
            }
            pace.pause = (pace.pause * 2).max(QUIET).min(AWAY);
        }
    }
    pace.next = Instant::now() + pace.pause;
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use runwarden_kit::clock::{HeldClock, Moment};

    use super::*;
    use crate::awx::{Credential, Limits};
    use crate::credential::CredentialSource;
    use crate::job::tests::example;
    use crate::job::{JobState, Run, reason};
    use crate::ports::{Controller, Template};
    use crate::store::Acceptance;
    use crate::store::sqlite::SqliteJobs;
    use crate::test_doubles::template;

    /// Knows one controller, or none any more.
    struct Mapped(Option<Controller>);

    #[async_trait]
    impl Templates for Mapped {
        async fn template(&self, _: &str, _: &str) -> Result<Option<Template>> {
            Ok(None)
        }

        async fn controller(&self, _: &str, _: &str) -> Result<Option<Controller>> {
            Ok(self.0.clone())
        }

        async fn report_drift(&self, _: &Template, _: &[String]) -> Result<()> {
            Ok(())
        }
    }

    struct AnyCredential;

    #[async_trait]
    impl CredentialSource for AnyCredential {
        async fn read(&self, _: &str, _: &str, _: &str) -> Result<Credential> {
            Ok(Credential::bearer("t".to_owned()))
        }
    }

    /// What becomes of a running job when its controller is this.
    async fn after_two_looks(mapped: Option<Controller>, apart: Duration) -> Job {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap());
        let run = Run { installation: "http://127.0.0.1:1/api/v2".into(), kind: "job".into(), id: 7 };
        let job = Job { state: JobState::Running, run: Some(run), due_at: None, ..example() };
        store.accept(Acceptance { job: job.clone(), idempotency: None, entries: Vec::new() }).await.unwrap();
        let clock = HeldClock::at(Moment::from_micros(1_000_000));
        let watcher = Watcher {
            store: store.clone(),
            templates: Arc::new(Mapped(mapped)),
            controllers: Arc::new(Controllers::new(Arc::new(AnyCredential), Limits::default())),
            clock: Arc::new(clock.clone()),
            live: Live::default(),
            watch: WorkBell::default(),
            work: WorkBell::default(),
            bell: Bell::default(),
            output_limit: 1000,
        };
        for _ in 0..2 {
            for (key, jobs) in store.running().await.unwrap() {
                watcher.sweep(key, jobs).await.changed.unwrap();
            }
            clock.advance(apart);
        }
        store.get("acme", &job.id).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_run_nobody_can_be_asked_about_any_more_does_not_run_forever() {
        let moved = Controller {
            target: crate::awx::Target { url: "http://127.0.0.1:2".into(), ..template().controller.target },
            ..template().controller
        };
        for (mapped, why) in [(None, REMOVED), (Some(moved), MOVED)] {
            let lost = after_two_looks(mapped.clone(), Duration::from_secs(31)).await;
            assert_eq!((lost.state, lost.reason.as_deref()), (JobState::Failed, Some(reason::LOST)));
            assert_eq!(lost.reason_detail.as_deref(), Some(why));
            // Mapped again soon enough, it is followed again.
            assert_eq!(after_two_looks(mapped, Duration::from_secs(5)).await.state, JobState::Running);
        }
    }

    #[test]
    fn the_pace_follows_what_happens() {
        let key = ("acme".to_owned(), "awx".to_owned());
        let swept = |changed| Swept { key: key.clone(), changed };
        let mut pace = Pace::default();
        for _ in 0..20 {
            pace_after(&mut pace, &swept(Ok(false)));
        }
        assert_eq!(pace.pause, QUIET);
        pace_after(&mut pace, &swept(Ok(true)));
        assert_eq!(pace.pause, BUSY);
        for _ in 0..10 {
            pace_after(&mut pace, &swept(Err(AwxError::Timeout)));
        }
        assert_eq!(pace.pause, AWAY);
    }
}
