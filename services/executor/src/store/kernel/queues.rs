//! Jobs that wait: what may be claimed, and whether a launch may begin.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;

use super::{Kernel, Written};
use crate::job::{BEGUN, Job, JobState, Queue};
use crate::launch::protocol::{self, Around, Beginning};
use crate::store::engine::{Counted, Engine, FoundBy, Revision, Rows, Serialise};
use crate::store::{Begin, Begun, Claim, Claimed, Effects, Queues};
use crate::wait::limits::{LimitScope, Limits, Usage};
use crate::wait::place::{self, Place, RECENT};
use crate::wait::scheduler::{Goal, Head, Turn};

/// How many jobs are told of at once that are to end unbegun.
pub(in crate::store) const SOME: usize = 100;

#[async_trait]
impl<E: Engine> Queues for Kernel<E> {
    async fn heads(&self, now: Moment) -> Result<Vec<Head>> {
        self.engine.read().await?.heads(now).await
    }

    async fn next_due(&self, now: Moment) -> Result<Option<Moment>> {
        self.engine.read().await?.next_due(now).await
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Claimed> {
        let Claim { turn, holder, limits, now } = claim;
        // By reading alone first: what is empty, full or blocked costs nobody the write lock.
        let mut reading = self.engine.read().await?;
        let seen = match claimable(&mut *reading, turn, &limits, now, None).await? {
            Claimable::Yes(seen) => seen,
            Claimable::No(why) => return Ok(why),
        };
        drop(reading);
        let with = (turn.clone(), holder.to_owned(), limits, now, seen);
        let take = self.engine.transaction(with, |(turn, holder, limits, now, seen), rows| {
            Box::pin(async move {
                rows.serialise(Serialise::Queue(turn.queue.clone())).await?;
                let mut job = match claimable(rows, turn, limits, *now, Some(seen)).await? {
                    Claimable::Yes(first) => Box::new(first.1),
                    Claimable::No(why) => return Ok(why),
                };
                job.lease.fence += 1;
                job.lease.holder = Some(holder.clone());
                rows.save_lease(&job).await?;
                Ok(Claimed::Job(job))
            })
        });
        take.await
    }

    async fn release(&self, job: &str, fence: i64) -> Result<()> {
        self.engine.transaction((job.to_owned(), fence), |(job, fence), rows| rows.release(job, *fence)).await
    }

    async fn begin_attempt(&self, begin: Begin) -> Result<Begun> {
        self.engine.transaction(begin, |begin, rows| Box::pin(begun(begin, rows))).await
    }

    async fn is_in_the_way(&self, goal: &Goal) -> Result<bool> {
        is_blocked(&mut *self.engine.read().await?, goal, "").await
    }

    async fn place(&self, job: &Job, limits: &Limits, now: Moment) -> Result<Place> {
        let mut rows = self.engine.read().await?;
        let position = self.places.ahead_of(&mut *rows, job).await?.saturating_add(1);
        let pace = place::pace(&rows.begun(&Counted::with(job, LimitScope::Template), 0, RECENT).await?, now);
        let held_by = full(&mut *rows, job, limits, now, Counting::Held).await?.map(|(scope, _)| scope);
        let blocked = is_unmarked_out(&mut *rows, job).await?;
        let expected_start_at = place::expected(position, pace, job.start_at, now);
        Ok(Place { position, expected_start_at, held_by, blocked })
    }

    async fn outdated(&self, queue: &Queue, launch_digest: Option<&str>) -> Result<Vec<String>> {
        self.engine.read().await?.outdated(queue, launch_digest, SOME).await
    }

    async fn expiring(&self, now: Moment) -> Result<Vec<String>> {
        self.engine.read().await?.overdue(now, SOME).await
    }
}

/// Whether the first due job of a queue may be taken.
enum Claimable {
    Yes(Box<(Revision, Job)>),
    No(Claimed),
}

/// `seen` is the job that was first a moment ago: if it still is, and as it was, it need not be read again.
async fn claimable(
    rows: &mut dyn Rows,
    turn: &Turn,
    limits: &Limits,
    now: Moment,
    seen: Option<&(Revision, Job)>,
) -> Result<Claimable> {
    let Some(id) = rows.first_due(turn, BEGUN, now).await? else {
        return Ok(Claimable::No(Claimed::Nothing));
    };
    let seen = match seen.filter(|(_, job)| job.id == id) {
        Some(seen) => rows.revision(&id).await?.filter(|revision| *revision == seen.0).map(|_| seen.clone()),
        None => None,
    };
    let first = match seen {
        Some(seen) => Some(seen),
        None => rows.job_at(&id).await?,
    };
    let Some(first) = first else { return Ok(Claimable::No(Claimed::Nothing)) };
    let job = &first.1;
    if job.state == JobState::New
        && let Some((scope, until)) = full(rows, job, limits, now, Counting::Held).await?
    {
        let name = scope.name_for(job).to_owned();
        return Ok(Claimable::No(Claimed::Full { scope, name, until }));
    }
    if !job.attempt_open && is_unmarked_out(rows, job).await? {
        return Ok(Claimable::No(Claimed::Blocked));
    }
    Ok(Claimable::Yes(Box::new(first)))
}

/// Begins an attempt, if nothing stands in the way.
async fn begun(begin: &Begin, rows: &mut dyn Rows) -> Result<Begun> {
    let Begin { attempt, fence, limits, now, entries } = begin;
    rows.serialise(Serialise::Job(attempt.job_id.clone())).await?;
    let Some(mut job) = rows.job(&attempt.job_id).await? else { return Ok(Begun::Lost) };
    let before = FoundBy::of(&job);
    let last = rows.last_attempt(&job.id).await?;
    let full = full(rows, &job, limits, *now, Counting::Begun).await?;
    rows.serialise(Serialise::ControllerTemplate(attempt.controller_template)).await?;
    let goal = Goal {
        installation: attempt.installation.clone(),
        controller_template: attempt.controller_template,
        marked: attempt.is_marked(),
    };
    let around = Around { blocked: is_blocked(rows, &goal, &job.id).await?, full };
    match protocol::begin(&mut job, last.as_ref(), attempt, *fence, &around, *now)? {
        Beginning::Begun => {}
        Beginning::Blocked => return Ok(Begun::Blocked),
        Beginning::Full(scope, until) => return Ok(Begun::Full(scope, until)),
        Beginning::Lost => return Ok(Begun::Lost),
    }
    let effects = Effects { attempt: Some(attempt.clone()), entries: entries.clone(), ..Effects::announced() };
    let written = Written::of(Some(before), job, *now, effects)?;
    written.save(rows).await?;
    let Written { job, effects, .. } = written;
    Ok(Begun::Yes(Box::new(job), Box::new(effects)))
}

/// Whether an unmarked launch is open of another job that was accepted for the same: then no other launch of theirs
/// could be told from it, marked or not. What else may be in the way is known only when the template was read, and what
/// begins meanwhile is found when the attempt is begun.
async fn is_unmarked_out(rows: &mut dyn Rows, job: &Job) -> Result<bool> {
    Ok(rows.unmarked_of(&job.queue(), &job.id).await?.contains(&job.launch_digest))
}

/// Whether an open attempt of another job could not be told from one to this goal: with a marker only those without
/// stand in the way, without a marker any does.
async fn is_blocked(rows: &mut dyn Rows, goal: &Goal, other_than: &str) -> Result<bool> {
    let open = rows.open_at(goal.controller_template, goal.marked, other_than).await?;
    Ok(open.iter().any(|installation| installation.is_same(&goal.installation)))
}

/// What counts as under way. The job that is judged does not: it is new, and not held when its claim is judged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counting {
    /// What was begun.
    Begun,
    /// And what somebody is about to begin.
    Held,
}

/// Which limit a job would exceed, and until when: the one that holds it back longest.
async fn full(
    rows: &mut dyn Rows,
    job: &Job,
    limits: &Limits,
    now: Moment,
    counting: Counting,
) -> Result<Option<(LimitScope, Moment)>> {
    let mut found: Option<(LimitScope, Moment)> = None;
    for scope in LimitScope::ALL {
        let limit = limits.of(scope);
        let counted = Counted::with(job, scope);
        if limit.at_once > 0 || limit.rate.is_some() {
            let Counted { tenant, name, .. } = counted.clone();
            rows.serialise(Serialise::UnderWay(tenant, scope, name)).await?;
        }
        let mut usage = Usage::default();
        if limit.at_once > 0 {
            usage.active = match counting {
                Counting::Begun => rows.under_way(&counted).await?,
                Counting::Held => rows.under_way_or_held(&counted).await?,
            };
        }
        if let Some(rate) = limit.rate {
            usage.nth_last_begun = rows.begun(&counted, rate.jobs.saturating_sub(1), 1).await?.first().copied();
        }
        if let Some(until) = limit.full_until(&usage, now)
            && found.is_none_or(|(_, latest)| until > latest)
        {
            found = Some((scope, until));
        }
    }
    Ok(found)
}
