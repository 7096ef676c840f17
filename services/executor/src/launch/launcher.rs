//! Launching: claims jobs that are due and takes each one step further. Whatever a step learns is durable before the
//! next; a process that dies anywhere leaves a job that another picks up where it stands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runwarden_kit::clock::Moment;
use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::{Result, telemetry};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use crate::failpoint::At;
use crate::instance::Instance;
use crate::job::{Job, JobState, reason};
use crate::launch::authority::Authority;
use crate::launch::first_seen::FirstSeen;
use crate::launch::halt::{Halt, waiting_for};
use crate::launch::holding::Holding;
use crate::launch::ledger;
use crate::launch::looks::Looks;
use crate::launch::patience::Patience;
use crate::launch::protocol::{self, Step, Stop};
use crate::launch::reconciler::Reconciler;
use crate::launch::sender::Sender;
use crate::ports::Seals;
use crate::shared::Shared;
use crate::store::{Claim, Claimed, JobStore};
use crate::wait::limits::LimitScope;
use crate::wait::place::BLOCKED;
use crate::wait::scheduler::{Head, Scheduler, Slot};

/// How often to look for work without a ring.
const LOOK: Duration = Duration::from_millis(500);
/// How long a job is kept for which it could not be written down when it is due again.
const UNWRITTEN: Duration = Duration::from_secs(1);

/// Takes jobs from accepted to bound.
pub struct Launcher {
    /// What everybody works with.
    pub shared: Shared,
    /// Sealing.
    pub seals: Arc<dyn Seals>,
    /// Whether who asked may still ask.
    pub authority: Arc<Authority>,
    /// Which executor this is.
    pub instance: Arc<Instance>,
    /// How long absence proves nothing.
    pub patience: Patience,
    /// Since when this process knows of attempts.
    pub seen: FirstSeen,
    /// What controllers' templates are.
    pub looks: Looks,
}

impl Launcher {
    /// Works until shutdown, on at most `at_once` jobs at a time. A launch that was sent is waited for.
    pub async fn run(self: Arc<Self>, at_once: usize, shutdown: Shutdown) {
        let room = Arc::new(Semaphore::new(at_once));
        let scheduler =
            Scheduler::new(at_once, self.shared.known.clone(), self.shared.breaker.clone(), self.shared.work.clone());
        let mut heads = Heads::default();
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            if shutdown.has_begun() {
                break;
            }
            if self.shared.work.has_ended() {
                scheduler.freed();
            }
            match self.claim(&scheduler, &mut heads).await {
                Ok(Some((job, place))) => {
                    let launcher = self.clone();
                    let scheduler = scheduler.clone();
                    tokio::spawn(async move {
                        let (_permit, _place) = (permit, place);
                        let holding = Holding::of(&job, launcher.shared.store.clone());
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
                () = self.shared.work.heard_within(pause) => {}
                () = shutdown.begun() => break,
            }
        }
        // A launch in flight must be awaited: its answer is the only proof there is.
        let all = u32::try_from(at_once).unwrap_or(u32::MAX);
        let _done = tokio::time::timeout(Duration::from_secs(15), room.acquire_many(all)).await;
    }

    /// Takes the next job, if any may be taken.
    async fn claim(&self, scheduler: &Scheduler, heads: &mut Heads) -> Result<Option<(Job, Slot)>> {
        let now = self.shared.clock.now();
        heads.refresh(&*self.shared.store, now).await?;
        for turn in scheduler.turns(heads.found.clone(), Instant::now()) {
            if let Some(goal) = scheduler.goal(&turn) {
                if self.shared.store.is_in_the_way(&goal).await? {
                    scheduler.blocked(&turn.queue, Instant::now());
                    continue;
                }
                scheduler.goes_on(&turn.queue);
            }
            let limits = self.shared.known.of(&turn.queue.tenant, &turn.queue.template);
            let claim = Claim { turn: &turn, holder: self.instance.id(), limits, now };
            match self.shared.store.claim(claim).await? {
                Claimed::Job(job) => {
                    self.shared.failpoint.pass(At::ClaimAfter);
                    let place = scheduler.take(&turn.queue, Instant::now());
                    return Ok(Some((*job, place)));
                }
                Claimed::Full { scope, name, until } => {
                    let free_in = Some(until.since(now)).filter(|free_in| !free_in.is_zero());
                    scheduler.full(scope, &turn.queue.tenant, &name, free_in, Instant::now());
                    // Others of this queue may still be taken: the next look knows what is full.
                    if scope == LimitScope::Principal {
                        self.shared.work.ring();
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
        let now = self.shared.clock.now();
        let due = match self.shared.store.next_due(now).await {
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
                    // Read only if the result is needed.
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
            if let Err(error) = ledger::stop(&self.shared, &id, fence, stop, denial).await {
                // It is let go all the same, and taken up again: not at once, for nothing says when it is due.
                error.log();
                tokio::time::sleep(UNWRITTEN).await;
            }
        });
        Box::pin(step.instrument(span)).await;
    }

    /// What is next for a claimed job.
    pub(crate) async fn step(&self, job: Job) -> Result<(), Halt> {
        let last = self.shared.store.last_attempt(&job.id).await?;
        match (protocol::next_step(&job, last.as_ref(), self.shared.clock.now()), last) {
            (Step::Reconcile, Some(attempt)) => self.reconciler().reconcile(job, attempt).await,
            (Step::Launch, _) => self.sender().launch(job).await,
            (Step::Cancel, _) => Err(Stop::End(
                JobState::Canceled,
                reason::CANCELED_BY_CALLER,
                "It was cancelled before it was launched.".into(),
            )
            .into()),
            (Step::Expire, _) => {
                let (reason, detail) = protocol::too_late(&job);
                Err(Stop::End(JobState::Error, reason, detail).into())
            }
            (Step::Reconcile | Step::Nothing, _) => Err(Halt::Lost),
        }
    }

    fn sender(&self) -> Sender<'_> {
        Sender {
            shared: &self.shared,
            seals: &*self.seals,
            authority: &self.authority,
            seen: &self.seen,
            looks: &self.looks,
        }
    }

    fn reconciler(&self) -> Reconciler<'_> {
        Reconciler { shared: &self.shared, seals: &*self.seals, patience: &self.patience, seen: &self.seen }
    }

    /// Whether it is not known yet what the last attempt at a job came to.
    async fn is_out(&self, job: &str) -> bool {
        match self.shared.store.last_attempt(job).await {
            Ok(last) => last.is_some_and(|attempt| attempt.is_open()),
            Err(error) => {
                error.log();
                true
            }
        }
    }
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
