//! Writing down what became of a step: what was learned of an attempt, or why nothing was launched. Each is one
//! transaction with its audit entries; only then are those told who wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use runwarden_kit::Result;
use runwarden_kit::clock::{Clock, Moment};

use crate::failpoint::At;
use crate::job::Stray;
use crate::job::{AT_ONCE, Attempt, Job, JobState, Run};
use crate::launch::authority::Denial;
use crate::launch::protocol::{self, Stop, Written};
use crate::records;
use crate::shared::Shared;
use crate::store::Effects;

/// Writes down what was learned about an attempt, with its audit entry, lets go of the job, and tells who waits.
/// `run` is the run, if that is what was learned: the transition is told whether another job has it, and should
/// nothing count on it any more, it goes on record and is kept until it has stopped.
pub(super) async fn learn<F>(
    shared: &Shared,
    job: &str,
    number: u32,
    fence: i64,
    run: Option<Run>,
    transition: F,
) -> Result<()>
where
    F: FnOnce(&mut Job, Option<&mut Attempt>, bool, Moment) -> Result<Written> + Send + 'static,
{
    let now = shared.clock.now();
    let clock = shared.clock.clone();
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
    shared.failpoint.pass(At::LearnBefore);
    let job_now = match &run {
        Some(run) => shared.store.bind(job, now, run, Box::new(change)).await?,
        None => shared.store.update(job, now, Box::new(move |job: &mut Job, last| change(job, last, false))).await?,
    };
    shared.failpoint.pass(At::LearnAfter);
    if let Some(run) = job_now.as_ref().and_then(|job| job.run.as_ref()) {
        tracing::info!(job, run = run.id, "bound");
    }
    shared.live.ring(job);
    shared.watch.ring();
    shared.bell.ring();
    if told.load(Ordering::Acquire) {
        // It may not count among those under way any more.
        shared.work.ring_ended();
    }
    Ok(())
}

/// Writes down why a step ended, and the denial that ended it if one did.
pub(super) async fn stop(shared: &Shared, id: &str, fence: i64, stop: Stop, denial: Option<Box<Denial>>) -> Result<()> {
    let now = shared.clock.now();
    let clock = shared.clock.clone();
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
    let after = shared.store.update(id, now, Box::new(change)).await?;
    shared.live.ring(id);
    shared.bell.ring();
    if after.is_some_and(|job| job.state.is_end()) {
        // What ended may have made room for another. What only waits has not: were that taken for it, the wait
        // itself would have everything tried again at once.
        shared.work.ring_ended();
    }
    Ok(())
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
