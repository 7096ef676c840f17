//! What [`Queues`](crate::store::Queues) promises.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use runwarden_engines::conformance::{at_every_call, failing_commits};
use runwarden_kit::clock::Moment;
use runwarden_kit::contract::Rate;
use runwarden_kit::tenant::TenantId;

use super::{Bench, all, at, due, entry, example, intent};
use crate::job::{Job, JobState};
use crate::store::{Begin, Begun, Claim, Claimed, Effects, JobStore};
use crate::wait::limits::{Limit, LimitScope, Limits};
use crate::wait::scheduler::Turn;

fn turn_of(job: &Job) -> Turn {
    Turn { queue: job.queue(), from_rank: 0, without: Vec::new() }
}

async fn claim(store: &dyn JobStore, like: &Job, holder: &str, limits: Limits) -> Result<Claimed> {
    Ok(store.claim(Claim { turn: &turn_of(like), holder, limits, now: at(10) }).await?)
}

/// Claims the next of a job's queue, which must be there.
async fn claimed(store: &dyn JobStore, like: &Job, holder: &str) -> Result<Job> {
    match claim(store, like, holder, Limits::default()).await? {
        Claimed::Job(job) => Ok(*job),
        other => bail!("{other:?}"),
    }
}

fn begin(job: &Job, placement: &str, limits: Limits) -> Begin {
    let attempt = intent(job, 1, placement);
    Begin { attempt, fence: job.lease.fence, limits, now: at(20), entries: vec![entry()] }
}

/// Every limit that can be broken by who begins at once.
fn at_once(at_once: u32) -> [(LimitScope, Limits); 3] {
    let limit = Limit { at_once, rate: None };
    [
        (LimitScope::Template, Limits { template: limit, ..Limits::default() }),
        (LimitScope::Controller, Limits { controller: limit, ..Limits::default() }),
        (LimitScope::Principal, Limits { principal: limit, ..Limits::default() }),
    ]
}

/// Each under a fence of its own, and what is claimed is no head of its queue.
pub(crate) async fn each_job_is_claimed_once_however_many_race(bench: Bench) -> Result<()> {
    let mut jobs = BTreeSet::new();
    for _ in 0..6 {
        jobs.insert(bench.put(due()).await?.id);
    }
    let racers = (0..16).map(|number| {
        let store = bench.of(number);
        async move { claim(&*store, &example(), &format!("exe_{}", number % 2), Limits::default()).await }
    });
    let mut got = Vec::new();
    for answer in all(racers).await {
        match answer? {
            Claimed::Job(job) => {
                ensure!(job.lease.fence == 1 && job.lease.holder.is_some());
                got.push(job.id);
            }
            Claimed::Nothing => {}
            other => bail!("{other:?}"),
        }
    }
    ensure!(got.len() == 6 && got.into_iter().collect::<BTreeSet<_>>() == jobs);
    ensure!(bench.store().heads(at(10)).await?.is_empty());
    Ok(())
}

/// What is held counts already.
pub(crate) async fn no_more_are_claimed_than_may_be_under_way_however_many_race(bench: Bench) -> Result<()> {
    for (scope, limits) in at_once(2) {
        let like = Job { tenant: TenantId::trusted(&format!("{scope:?}")), ..due() };
        for _ in 0..6 {
            bench.put(Job { tenant: like.tenant.clone(), ..due() }).await?;
        }
        let racers = (0..12).map(|number| {
            let (store, like) = (bench.of(number), like.clone());
            async move { claim(&*store, &like, "exe_1", limits).await }
        });
        let mut got = 0;
        for answer in all(racers).await {
            match answer? {
                Claimed::Job(_) => got += 1,
                Claimed::Full { scope: full, .. } => ensure!(full == scope),
                other => bail!("{other:?}"),
            }
        }
        ensure!(got == 2, "{got} were claimed where 2 may be under way of the {scope:?}");
    }
    Ok(())
}

/// Begins all of these jobs at once and says how many were.
async fn begin_all(bench: &Bench, jobs: &[Job], placement: &'static str, limits: Limits) -> Result<Vec<Begun>> {
    let racers = jobs.iter().enumerate().map(|(number, job)| {
        let (store, begin) = (bench.of(number), begin(job, placement, limits));
        async move { store.begin_attempt(begin).await }
    });
    Ok(all(racers).await.into_iter().collect::<runwarden_kit::Result<_>>()?)
}

/// Whoever claimed before a limit was known is judged again when it begins.
pub(crate) async fn no_more_are_begun_than_may_be_under_way_however_many_race(bench: Bench) -> Result<()> {
    for (scope, limits) in at_once(2) {
        let mut jobs = Vec::new();
        for _ in 0..8 {
            let job = bench.put(Job { tenant: TenantId::trusted(&format!("{scope:?}")), ..due() }).await?;
            jobs.push(claimed(bench.store(), &job, "exe_1").await?);
        }
        let before = bench.entries().await?;
        let begun = begin_all(&bench, &jobs, "extra_var", limits).await?;
        let yes = begun.iter().filter(|begun| matches!(begun, Begun::Yes(..))).count();
        let full = begun.iter().filter(|begun| matches!(begun, Begun::Full(full, _) if *full == scope)).count();
        ensure!((yes, full) == (2, 6), "of the {scope:?}: {yes} begun, {full} refused");
        ensure!(bench.entries().await? == before + 2, "what was refused left an entry");
    }
    Ok(())
}

/// Two launches that could not be told apart are never out at once.
pub(crate) async fn of_unmarked_launches_that_race_one_is_begun(bench: Bench) -> Result<()> {
    let mut jobs = Vec::new();
    for _ in 0..8 {
        let job = bench.put(due()).await?;
        jobs.push(claimed(bench.store(), &job, "exe_1").await?);
    }
    let begun = begin_all(&bench, &jobs, "none", Limits::default()).await?;
    let yes = begun.iter().filter(|begun| matches!(begun, Begun::Yes(..))).count();
    let blocked = begun.iter().filter(|begun| matches!(begun, Begun::Blocked)).count();
    ensure!((yes, blocked) == (1, 7), "{yes} begun, {blocked} blocked");
    let waits = bench.put(due()).await?;
    ensure!(matches!(claim(bench.store(), &waits, "exe_1", Limits::default()).await?, Claimed::Blocked));
    Ok(())
}

/// Nobody holds it, and its fence is as it was.
pub(crate) async fn a_claim_that_fails_leaves_the_job_free(bench: Bench) -> Result<()> {
    let job = bench.put(due()).await?;
    failing_commits(&*bench.faults, claim(bench.store(), &job, "exe_1", Limits::default())).await?;
    ensure!(bench.job(&job.id).await?.lease.holder.is_none() && bench.store().heads(at(10)).await?.len() == 1);
    ensure!(claimed(&*bench.of(1), &job, "exe_2").await?.lease.fence == 1);
    failing_commits(&*bench.faults, bench.store().release(&job.id, 1)).await?;
    ensure!(bench.job(&job.id).await?.lease.holder.as_deref() == Some("exe_2"));
    Ok(())
}

/// Wherever the connection is lost; and what was held unknowingly is free again when its holder starts again.
pub(crate) async fn a_claim_that_is_cut_off_leaves_the_job_free_or_held(bench: Bench) -> Result<()> {
    at_every_call(&*bench.faults, async |cut| {
        let job = bench.put(Job { template: runwarden_kit::id::new("t"), ..due() }).await?;
        let answer = cut.during(claim(bench.store(), &job, "exe_1", Limits::default())).await;
        let lease = bench.job(&job.id).await?.lease;
        ensure!(matches!((lease.fence, lease.holder.as_deref()), (0, None) | (1, Some("exe_1"))), "{lease:?}");
        ensure!(lease.holder.is_some() || answer.is_err());
        ensure!(bench.store().resume("exe_1").await? == u64::from(lease.holder.is_some()));
        let next = claimed(bench.store(), &job, "exe_2").await?;
        ensure!(next.id == job.id && next.lease.fence > lease.fence);
        Ok(())
    })
    .await
}

/// No attempt, no entry, the job as new as before; and it can be begun afterwards.
pub(crate) async fn a_beginning_that_fails_leaves_nothing(bench: Bench) -> Result<()> {
    let job = bench.put(due()).await?;
    let job = claimed(bench.store(), &job, "exe_1").await?;
    let version = bench.store().version().await?;
    let begin = begin(&job, "extra_var", Limits::default());
    failing_commits(&*bench.faults, bench.store().begin_attempt(begin.clone())).await?;
    let kept = bench.job(&job.id).await?;
    ensure!(kept.state == JobState::New && kept.attempts == 0 && kept.lease == job.lease);
    ensure!(bench.store().attempts(&job.id).await?.is_empty() && bench.entries().await? == 0);
    ensure!(bench.events(&job.id).await?.len() == 1 && bench.store().version().await? == version);
    ensure!(matches!(bench.store().begin_attempt(begin).await?, Begun::Yes(..)));
    Ok(())
}

/// Wherever the connection is lost: the intent is durable with all that belongs to it, or nothing is; and asking again
/// begins no second attempt.
pub(crate) async fn a_beginning_that_is_cut_off_is_whole_and_happens_once(bench: Bench) -> Result<()> {
    at_every_call(&*bench.faults, async |cut| {
        let job = bench.put(Job { template: runwarden_kit::id::new("t"), ..due() }).await?;
        let job = claimed(bench.store(), &job, "exe_1").await?;
        let before = bench.entries().await?;
        let mut begin = begin(&job, "extra_var", Limits::default());
        let answer = cut.during(bench.store().begin_attempt(begin.clone())).await;
        let is_begun = bench.job(&job.id).await?.state == JobState::Launching;
        ensure!(is_begun || answer.is_err());
        let left = (
            bench.store().attempts(&job.id).await?.len(),
            bench.entries().await? - before,
            bench.events(&job.id).await?.len(),
        );
        ensure!(left == if is_begun { (1, 1, 2) } else { (0, 0, 1) }, "begun: {is_begun}, left: {left:?}");
        begin.entries = vec![entry()];
        let again = bench.store().begin_attempt(begin).await?;
        ensure!(matches!(again, Begun::Lost) == is_begun, "begun: {is_begun}, then {again:?}");
        ensure!(bench.store().attempts(&job.id).await?.len() == 1 && bench.entries().await? == before + 1);
        Ok(())
    })
    .await
}

/// A late holder lets go of nothing that another holds by now.
pub(crate) async fn only_its_fence_lets_go_of_a_job(bench: Bench) -> Result<()> {
    let job = bench.put(due()).await?;
    for fence in 1..=3 {
        let held = claimed(bench.store(), &job, "exe_1").await?;
        ensure!(held.lease.fence == fence);
        for wrong in [fence - 1, fence + 1, -1, i64::MAX] {
            bench.of(1).release(&job.id, wrong).await?;
            ensure!(bench.job(&job.id).await?.lease.holder.is_some(), "{wrong} let go of what {fence} holds");
        }
        for _ in 0..2 {
            bench.of(1).release(&job.id, fence).await?;
        }
        ensure!(bench.job(&job.id).await?.lease.holder.is_none());
    }
    Ok(())
}

/// Whatever stands in a name: a queue is found by it and by nothing like it.
pub(crate) async fn names_of_queues_are_taken_literally(bench: Bench) -> Result<()> {
    let names = ["a%", "a_", "ab", "A%", "ä€𝄞", "'; --", "a%b"];
    let mut jobs = Vec::new();
    for name in names {
        let job = Job { tenant: TenantId::trusted(name), controller: name.into(), template: name.into(), ..due() };
        jobs.push(bench.put(job).await?);
    }
    let queues = bench.store().heads(at(10)).await?.into_iter().map(|head| (head.queue.template, head.job));
    let wanted = jobs.iter().map(|job| (job.template.clone(), job.id.clone()));
    ensure!(queues.collect::<BTreeSet<_>>() == wanted.collect());
    for job in &jobs {
        ensure!(bench.store().outdated(&job.queue(), None).await? == std::slice::from_ref(&job.id));
        ensure!(bench.store().place(job, &Limits::default(), at(10)).await?.position == 1);
        ensure!(claimed(bench.store(), job, "exe_1").await?.id == job.id);
        ensure!(matches!(claim(bench.store(), job, "exe_1", Limits::default()).await?, Claimed::Nothing));
    }
    Ok(())
}

/// What is due is judged by the time that is given, wherever it jumps; nothing is lost by it.
pub(crate) async fn a_clock_that_jumps_shows_and_hides_what_is_due(bench: Bench) -> Result<()> {
    let job = bench.put(Job { due_at: Some(at(100)), start_by: Some(at(200)), ..example() }).await?;
    let (first, last) = (Moment::from_micros(i64::MIN), Moment::from_micros(i64::MAX));
    for (now, is_due, is_late) in [
        (at(99), false, false),
        (last, true, true),
        (at(0), false, false),
        (first, false, false),
        (at(100), true, false),
    ] {
        ensure!((bench.store().heads(now).await?.len() == 1) == is_due, "{now:?}");
        ensure!(bench.store().next_due(now).await? == (!is_due).then_some(at(100)), "{now:?}");
        ensure!((bench.store().expiring(now).await?.len() == 1) == is_late, "{now:?}");
        if !is_due {
            let turn = turn_of(&job);
            let claim = Claim { turn: &turn, holder: "exe_1", limits: Limits::default(), now };
            ensure!(matches!(bench.store().claim(claim).await?, Claimed::Nothing));
        }
        bench.store().place(&job, &Limits::default(), now).await?;
    }
    Ok(())
}

/// What was begun in a future that a clock jumped back from counts: more may only be begun too late, not too early.
pub(crate) async fn a_clock_that_jumps_back_begins_no_more_than_a_period_may_have(bench: Bench) -> Result<()> {
    let rate = Some(Rate { jobs: 1, period_seconds: 60 });
    let limits = Limits { template: Limit { at_once: 0, rate }, ..Limits::default() };
    let first = bench.put(due()).await?;
    let first = claimed(bench.store(), &first, "exe_1").await?;
    let ahead = Begin { now: at(5000), ..begin(&first, "extra_var", limits) };
    ensure!(matches!(bench.store().begin_attempt(ahead).await?, Begun::Yes(..)));
    let second = bench.put(due()).await?;
    let full = claim(bench.store(), &second, "exe_1", limits).await?;
    ensure!(matches!(full, Claimed::Full { until, .. } if until == at(5060)), "{full:?}");
    let second = claimed(bench.store(), &second, "exe_1").await?;
    let begun = bench.store().begin_attempt(begin(&second, "extra_var", limits)).await?;
    ensure!(matches!(begun, Begun::Full(LimitScope::Template, until) if until == at(5060)), "{begun:?}");
    Ok(())
}

/// However many there are: whoever ends what it is shown, and asks again, comes to an end of them and misses none, also
/// while more come in.
pub(crate) async fn outdated_and_expired_jobs_are_found_to_the_last(bench: Bench) -> Result<()> {
    let like = Job { start_by: Some(at(5)), launch_digest: "old".into(), ..due() };
    for _ in 0..130 {
        bench.put(Job { id: example().id, ..like.clone() }).await?;
    }
    bench.put(Job { launch_digest: "new".into(), ..due() }).await?;
    let mut ended = 0;
    for round in 0.. {
        let shown = if round % 2 == 0 {
            bench.store().outdated(&like.queue(), Some("new")).await?
        } else {
            bench.store().expiring(at(10)).await?
        };
        if shown.is_empty() {
            break;
        }
        ensure!(shown.iter().collect::<BTreeSet<_>>().len() == shown.len(), "one is shown twice");
        for id in shown.iter().take(40) {
            let job = bench.job(id).await?;
            ensure!(job.launch_digest == "old" && job.state == JobState::New);
            bench
                .store()
                .change(id, at(10), None, &|job, _, _| {
                    job.end(JobState::Error, at(10), None).map(|()| Some(Effects::announced()))
                })
                .await?
                .context("the job is gone")?;
            ended += 1;
        }
        if round < 3 {
            bench.put(Job { id: example().id, ..like.clone() }).await?;
        }
    }
    ensure!(ended == 133, "{ended} of 133 were found");
    Ok(())
}
