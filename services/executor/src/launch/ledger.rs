//! Records the result of a step: what was learned of an attempt, or why nothing was launched. Each is one change of the
//! job.

use runwarden_kit::Result;
use runwarden_kit::clock::Moment;

use crate::failpoint::At;
use crate::job::{AT_ONCE, Attempt, Job, JobState, Run, Stray};
use crate::launch::authority::Denial;
use crate::launch::protocol::{self, Stop, Written};
use crate::records;
use crate::shared::Shared;
use crate::store::{Effects, News};

/// What becomes of a job and an attempt at it; none if a later one was begun. It is told whether another job has the
/// run that was found, and the time.
pub(super) type Transition<'a> =
    dyn Fn(&mut Job, Option<&mut Attempt>, bool, Moment) -> Result<Written> + Send + Sync + 'a;

/// Records what was learned about an attempt, with its audit entry, and releases the job. `run` is the run, if that is
/// what was learned: if no job expects it any more, it is recorded and stored until it has stopped.
pub(super) async fn learn(
    shared: &Shared,
    job: &str,
    number: u32,
    fence: i64,
    run: Option<&Run>,
    transition: &Transition<'_>,
) -> Result<()> {
    let now = shared.clock.now();
    let change = |job: &mut Job, last: Option<Attempt>, held: bool| {
        let mut attempt = last.filter(|attempt| attempt.number == number);
        let was_condemned = job.condemned.is_some();
        let written = transition(job, attempt.as_mut(), held, now)?;
        let released = job.lease.release(fence);
        Ok(match written {
            Written::Nothing => released.then(Effects::default),
            Written::Quietly if job.condemned.is_some() && !was_condemned => {
                Some(Effects::default().with_news(News::ToStop))
            }
            Written::Quietly => Some(Effects::default()),
            Written::Stray => Some(run.map_or_else(Effects::default, |run| stray(job, number, run, now))),
            Written::Aloud => Some(aloud(job, attempt, now)),
        })
    };
    shared.change_between((At::LearnBefore, At::LearnAfter), job, now, run, &change).await?;
    Ok(())
}

/// Writes down why a step ended, and the denial that ended it if one did.
pub(super) async fn stop(shared: &Shared, id: &str, fence: i64, stop: Stop, denial: Option<Box<Denial>>) -> Result<()> {
    let now = shared.clock.now();
    let change = |job: &mut Job, last: Option<Attempt>, _| {
        // That it still waits for the same reason is not a change, however often it is found.
        let quiet = !matches!(stop, Stop::End(..)) && job.progress == stop.why();
        let written = protocol::stopped(job, last.as_ref(), fence, stop.clone(), now)?;
        let released = job.lease.release(fence);
        if written == Written::Nothing || quiet {
            return Ok(released.then(Effects::default));
        }
        let mut effects = Effects::announced();
        if let Some(denial) = &denial {
            effects = effects.with_entry(records::denied(now, job, denial));
        }
        Ok(Some(if job.state.is_end() { effects.finished(records::finish(now, job)) } else { effects }))
    };
    shared.change(id, now, None, &change).await?;
    Ok(())
}

/// The job and its attempt changed.
fn aloud(job: &Job, attempt: Option<Attempt>, now: Moment) -> Effects {
    let mut effects = Effects::announced();
    if let Some(attempt) = attempt {
        let entry = records::attempt(now, job, &attempt);
        effects = effects.learned(attempt, entry);
    }
    let is_over = job.state.is_end() || job.state == JobState::Unknown;
    if is_over { effects.finished(records::finish(now, job)) } else { effects }
}

/// A stray run was found. It is recorded and stored, whatever happens to the worker that found it.
fn stray(job: &Job, attempt: u32, run: &Run, now: Moment) -> Effects {
    let stray = Stray {
        tenant: job.tenant.clone(),
        job: job.id.clone(),
        attempt,
        controller: job.controller.clone(),
        run: run.clone(),
        found_at: now,
        due_at: AT_ONCE,
        looks: 0,
    };
    Effects::strayed(stray, records::stray(now, job, attempt, run))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::job::reason;
    use crate::job::tests::example;
    use crate::store::Acceptance;
    use crate::store::sqlite::conformance::bench;
    use crate::test_doubles::{NoTemplates, Rung, shared};

    #[tokio::test]
    async fn what_only_waits_wakes_no_launcher_and_what_waits_on_wakes_nobody() {
        let (_folder, bench) = bench().await.unwrap();
        let here = shared(bench.stores[0].clone(), Arc::new(NoTemplates));
        let job = example();
        here.store.accept(Acceptance::of(job.clone())).await.unwrap();
        let mut waiter = here.live.wait_for(&job.id);
        let nobody = Rung::default();
        let ended = Rung { live: true, work: true, ended: true, bell: true, ..nobody };
        let over = Stop::End(JobState::Error, reason::EXPIRED, "late".into());
        for (how, rung) in [
            (Stop::Yield("the template is full".into()), Rung { live: true, ..nobody }),
            (Stop::Yield("the template is full".into()), nobody),
            (Stop::Later("the controller is down".into()), Rung { live: true, ..nobody }),
            (Stop::Later("the controller is down".into()), nobody),
            (over.clone(), ended),
            (over, nobody),
        ] {
            stop(&here, &job.id, 0, how.clone(), None).await.unwrap();
            assert_eq!(Rung::since(&here, &mut waiter), rung, "{how:?}");
        }
    }
}
