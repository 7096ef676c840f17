//! Launching: claims jobs that are due and takes each one step further. Whatever a step learns is durable before the
//! next; a process that dies anywhere leaves a job that another picks up where it stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use runwarden_kit::audit::Bell;
use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::{Error, ErrorReason, Result, telemetry};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use crate::breaker::Breaker;
use crate::controllers::Controllers;
use crate::failpoint::{At, Failpoint};
use crate::instance::Instance;
use crate::job::Attempt;
use crate::job::{AT_ONCE, Job, JobState, Run};
use crate::launch::authority::{Authority, Denial};
use crate::launch::first_seen::FirstSeen;
use crate::launch::holding::Holding;
use crate::launch::patience::Patience;
use crate::launch::protocol::{self, Stop, Written};
use crate::launch::strays::Stray;
use crate::live::Live;
use crate::ports::{Seals, Templates};
use crate::records;
use crate::store::{Claim, Claimed, Effects, JobStore};
use crate::wait::limits::{Known, Scope};
use crate::wait::place::BLOCKED;
use crate::wait::scheduler::{Goal, Head, Place, Scheduler};
use crate::work::WorkBell;

/// How often to look for work that nobody rang for.
const LOOK: Duration = Duration::from_millis(500);
/// How long a job is kept for which it could not be written down when it is due again.
const UNWRITTEN: Duration = Duration::from_secs(1);

/// Takes jobs from accepted to bound.
pub struct Launcher {
    /// Where jobs live.
    pub store: Arc<dyn JobStore>,
    /// What may be run.
    pub templates: Arc<dyn Templates>,
    /// Sealing.
    pub seals: Arc<dyn Seals>,
    /// Whether who asked may still ask.
    pub authority: Arc<Authority>,
    /// Clients for controllers.
    pub controllers: Arc<Controllers>,
    /// Which executor this is.
    pub instance: Arc<Instance>,
    /// What limits templates.
    pub known: Arc<Known>,
    /// Which controllers are left alone.
    pub breaker: Breaker,
    /// Where a test has the process die.
    pub failpoint: Failpoint,
    /// How long absence proves nothing.
    pub patience: Patience,
    /// Since when this process knows of attempts.
    pub seen: FirstSeen,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Who waits for jobs.
    pub live: Live,
    /// Rings when a job is due.
    pub work: WorkBell,
    /// Rings when a job was bound.
    pub watch: WorkBell,
    /// Rings when audit entries wait.
    pub bell: Bell,
}

/// Why a step ended without a launch being out.
pub enum Halt {
    /// For a reason that is written down.
    Stopped(Stop),
    /// Who asked for it could not ask for it any more.
    Denied(Box<Denial>),
    /// Nothing more may be begun there for now.
    Held {
        /// Of what.
        scope: Scope,
        /// Its name.
        name: String,
        /// When a period has passed; none if something has to end.
        free_in: Option<Duration>,
    },
    /// Nothing more may be launched of its template before what is out is settled.
    Blocked(Goal),
    /// Somebody else has the job now.
    Lost,
    /// Something in Runwarden broke.
    Broken(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

impl Launcher {
    /// Works until shutdown, on at most `at_once` jobs at a time. A launch that was sent is waited for.
    pub async fn run(self: Arc<Self>, at_once: usize, shutdown: Shutdown) {
        let room = Arc::new(Semaphore::new(at_once));
        let scheduler = Scheduler::new(at_once, self.known.clone(), self.breaker.clone(), self.work.clone());
        let mut heads = Heads::default();
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            if shutdown.has_begun() {
                break;
            }
            if self.work.has_ended() {
                scheduler.freed();
            }
            match self.claim(&scheduler, &mut heads).await {
                Ok(Some((job, place))) => {
                    let launcher = self.clone();
                    let scheduler = scheduler.clone();
                    tokio::spawn(async move {
                        let (_permit, _place) = (permit, place);
                        let holding = Holding::of(&job, launcher.store.clone());
                        Box::pin(launcher.take_further(job, &scheduler)).await;
                        holding.let_go().await;
                    });
                    continue;
                }
                Ok(None) => {}
                Err(error) => error.log(),
            }
            drop(permit);
            let pause = self.until_next(&scheduler).await;
            tokio::select! {
                () = self.work.heard_within(pause) => {}
                () = shutdown.begun() => break,
            }
        }
        // A launch that is out must be heard out: its answer is the only proof there is.
        let all = u32::try_from(at_once).unwrap_or(u32::MAX);
        let _done = tokio::time::timeout(Duration::from_secs(15), room.acquire_many(all)).await;
    }

    /// Takes the job whose turn it is, if any may be taken.
    async fn claim(&self, scheduler: &Scheduler, heads: &mut Heads) -> Result<Option<(Job, Place)>> {
        let now = self.clock.now();
        heads.refresh(&*self.store, now).await?;
        for turn in scheduler.turns(heads.found.clone(), Instant::now()) {
            if let Some(goal) = scheduler.goal(&turn) {
                if self.store.is_in_the_way(&goal).await? {
                    scheduler.blocked(&turn.queue, Instant::now());
                    continue;
                }
                scheduler.goes_on(&turn.queue);
            }
            let limits = self.known.of(&turn.queue.tenant, &turn.queue.template);
            let claim = Claim { turn: &turn, holder: self.instance.id(), limits, now };
            match self.store.claim(claim).await? {
                Claimed::Job(job) => {
                    self.failpoint.pass(At::ClaimAfter);
                    let place = scheduler.take(&turn.queue, Instant::now());
                    return Ok(Some((*job, place)));
                }
                Claimed::Full { scope, name, until } => {
                    let free_in = Some(until.since(now)).filter(|free_in| !free_in.is_zero());
                    scheduler.full(scope, &turn.queue.tenant, &name, free_in, Instant::now());
                    // Others of this queue may still be taken: the next look knows what is full.
                    if scope == Scope::Principal {
                        self.work.ring();
                    }
                }
                Claimed::Blocked => {
                    scheduler.blocked(&turn.queue, Instant::now());
                }
                Claimed::Nothing => heads.found.retain(|head| head.queue != turn.queue),
            }
        }
        Ok(None)
    }

    /// How long nothing is due that may be taken.
    async fn until_next(&self, scheduler: &Scheduler) -> Duration {
        let now = self.clock.now();
        let due = match self.store.next_due(now).await {
            Ok(Some(due)) => due.since(now),
            Ok(None) | Err(_) => LOOK,
        };
        let held_back = scheduler.next(Instant::now()).map(|at| at.saturating_duration_since(Instant::now()));
        due.min(held_back.unwrap_or(LOOK)).clamp(Duration::from_millis(5), LOOK)
    }

    /// One claimed job, one step, within its own trace.
    async fn take_further(&self, job: Job, scheduler: &Scheduler) {
        let span = tracing::info_span!(
            "launch",
            otel.name = "executor/launch",
            service = "executor",
            job = %job.id,
            tenant = %job.tenant,
            principal = %job.requested_by,
            request_id = %job.request_id,
            trace_id = %job.trace_id,
        );
        match &job.trace_parent {
            Some(submitted) => telemetry::continue_traceparent(&span, submitted),
            None => telemetry::continue_trace_id(&span, &job.trace_id),
        }
        let context = RequestContext {
            request_id: job.request_id.clone(),
            trace_id: job.trace_id.clone(),
            ..RequestContext::default()
        };
        let step = context::scope(context, async {
            let id = job.id.clone();
            let fence = job.lease.fence;
            let queue = job.queue();
            let mut denial = None;
            let stop = match self.step(job).await {
                Ok(()) => {
                    // Asked only if somebody waits for the answer.
                    if scheduler.is_awaited(&queue) && !self.is_out(&id).await {
                        scheduler.settled(&queue);
                    }
                    return;
                }
                Err(Halt::Lost) => return,
                Err(Halt::Denied(denied)) => {
                    let stop = denied.stop();
                    denial = Some(denied);
                    stop
                }
                Err(Halt::Held { scope, name, free_in }) => {
                    scheduler.full(scope, &queue.tenant, &name, free_in, Instant::now());
                    Stop::Yield(scope.waits_for().into())
                }
                Err(Halt::Blocked(goal)) => {
                    scheduler.blocked_at(&queue, goal, Instant::now());
                    Stop::Yield(BLOCKED.into())
                }
                Err(Halt::Stopped(stop)) => stop,
                Err(Halt::Broken(error)) => {
                    error.log();
                    Stop::Later(waiting_for(&error))
                }
            };
            if let Err(error) = self.stop(&id, fence, stop, denial).await {
                // It is let go all the same, and taken up again: not at once, for nothing says when it is due.
                error.log();
                tokio::time::sleep(UNWRITTEN).await;
            }
        });
        Box::pin(step.instrument(span)).await;
    }

    /// Whether it is not known yet what the last attempt at a job came to.
    async fn is_out(&self, job: &str) -> bool {
        match self.store.last_attempt(job).await {
            Ok(last) => last.is_some_and(|attempt| attempt.is_open()),
            Err(error) => {
                error.log();
                true
            }
        }
    }

    /// Writes down what was learned about an attempt, with its audit entry, lets go of the job, and tells who waits.
    /// `run` is the run, if that is what was learned: the transition is told whether another job has it, and should
    /// nothing count on it any more, it goes on record and is kept until it has stopped.
    pub(crate) async fn learn<F>(
        &self,
        job: &str,
        number: u32,
        fence: i64,
        run: Option<Run>,
        transition: F,
    ) -> Result<()>
    where
        F: FnOnce(&mut Job, Option<&mut Attempt>, bool, Moment) -> Result<Written> + Send + 'static,
    {
        let now = self.clock.now();
        let clock = self.clock.clone();
        let (told, found) = (Arc::new(AtomicBool::new(false)), run.clone());
        let tell = told.clone();
        let change = move |job: &mut Job, last: Option<Attempt>, held: bool| {
            let mut attempt = last.filter(|attempt| attempt.number == number);
            let written = transition(job, attempt.as_mut(), held, now)?;
            tell.store(written == Written::Aloud, Ordering::Release);
            let released = job.lease.release(fence);
            let effects = match written {
                Written::Nothing => return Ok(released.then(Effects::default)),
                Written::Quietly => Effects::default(),
                Written::Stray => match found {
                    Some(run) => stray(&*clock, job, number, run, now),
                    None => Effects::default(),
                },
                Written::Aloud => {
                    let mut effects = Effects::told();
                    if let Some(attempt) = &attempt {
                        effects = effects.with_entry(records::attempt(&*clock, job, attempt));
                    }
                    if job.state.is_end() || job.state == JobState::Unknown {
                        effects = effects.with_entry(records::finish(&*clock, job));
                    }
                    Effects { attempt, ..effects }
                }
            };
            Ok(Some(effects))
        };
        self.failpoint.pass(At::LearnBefore);
        let job_now = match &run {
            Some(run) => self.store.bind(job, now, run, Box::new(change)).await?,
            None => self.store.update(job, now, Box::new(move |job: &mut Job, last| change(job, last, false))).await?,
        };
        self.failpoint.pass(At::LearnAfter);
        if let Some(run) = job_now.as_ref().and_then(|job| job.run.as_ref()) {
            tracing::info!(job, run = run.id, "bound");
        }
        self.live.ring(job);
        self.watch.ring();
        self.bell.ring();
        if told.load(Ordering::Acquire) {
            // It may not count among those under way any more.
            self.work.ring_ended();
        }
        Ok(())
    }

    /// Writes down why a step ended, and the denial that ended it if one did.
    async fn stop(&self, id: &str, fence: i64, stop: Stop, denial: Option<Box<Denial>>) -> Result<()> {
        let now = self.clock.now();
        let clock = self.clock.clone();
        let change = move |job: &mut Job, last: Option<Attempt>| {
            // That it still waits for the same is no news, however often it is found out.
            let quiet = !matches!(stop, Stop::End(..)) && job.progress == stop.why();
            let written = protocol::stopped(job, last.as_ref(), fence, stop, now)?;
            let released = job.lease.release(fence);
            if written == Written::Nothing || quiet {
                return Ok(released.then(Effects::default));
            }
            let mut effects = Effects::told();
            if let Some(denial) = &denial {
                effects = effects.with_entry(records::denied(&*clock, job, denial));
            }
            Ok(Some(if job.state.is_end() { effects.with_entry(records::finish(&*clock, job)) } else { effects }))
        };
        let after = self.store.update(id, now, Box::new(change)).await?;
        self.live.ring(id);
        self.bell.ring();
        if after.is_some_and(|job| job.state.is_end()) {
            // What ended may have made room for another. What only waits has not: were that taken for it, the wait
            // itself would have everything tried again at once.
            self.work.ring_ended();
        }
        Ok(())
    }
}

/// What a job waits for when something in Runwarden failed.
pub(crate) fn waiting_for(error: &Error) -> String {
    match error.reason() {
        ErrorReason::Unavailable | ErrorReason::AuditUnavailable | ErrorReason::DeadlineExceeded => {
            format!("trying again later: {}", error.detail())
        }
        _ => "something in Runwarden failed; trying again".to_owned(),
    }
}

/// A run came to light that should not be. It is on record and kept, whatever becomes of who learned of it.
fn stray(clock: &dyn Clock, job: &Job, attempt: u32, run: Run, now: Moment) -> Effects {
    tracing::error!(job = job.id, run = run.id, "a run came to light that nobody counts on any more; stopping it");
    metrics::counter!("runwarden_stray_runs_total").increment(1);
    let entry = records::stray(clock, job, attempt, &run);
    let stray = Stray {
        tenant: job.tenant.clone(),
        job: job.id.clone(),
        attempt,
        controller: job.controller.clone(),
        run,
        found_at: now,
        due_at: AT_ONCE,
        looks: 0,
    };
    Effects { stray: Some(stray), ..Effects::default() }.with_entry(entry)
}

/// What the store said is waiting, for a moment: the more there is, the longer asking takes, and the less often it is
/// asked.
#[derive(Default)]
struct Heads {
    found: Vec<Head>,
    asked: Option<(Instant, Duration)>,
}

impl Heads {
    async fn refresh(&mut self, store: &dyn JobStore, now: Moment) -> Result<()> {
        let fresh = self.asked.is_some_and(|(at, took)| at.elapsed() < took * 10);
        if fresh && !self.found.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        self.found = store.heads(now).await?;
        self.asked = Some((Instant::now(), begun.elapsed().min(LOOK / 10)));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
