//! What [`Executors`](crate::store::Executors) promises. No clock is asked: an executor is gone when its beat stands
//! still.

use anyhow::{Context as _, Result, ensure};
use runwarden_engines::conformance::{at_every_call, failing_commits};

use super::{Bench, all, at, due};
use crate::job::Job;
use crate::store::{Beat, Claim, Claimed};
use crate::wait::limits::Limits;
use crate::wait::scheduler::Turn;
use runwarden_kit::tenant::TenantId;

/// Gives an executor some jobs and a controller to follow, and shows what it shows.
async fn holding(bench: &Bench, holder: &str, jobs: usize) -> Result<(Beat, Vec<Job>)> {
    bench.store().beat(holder).await?;
    bench.store().watch(&TenantId::trusted("acme"), holder, holder).await?;
    let mut held = Vec::new();
    for _ in 0..jobs {
        let job = bench.put(Job { template: holder.into(), ..due() }).await?;
        let turn = Turn { queue: job.queue(), from_rank: 0, without: Vec::new() };
        let claim = Claim { turn: &turn, holder, limits: Limits::default(), now: at(10) };
        ensure!(matches!(bench.store().claim(claim).await?, Claimed::Job(got) if got.id == job.id));
        held.push(job);
    }
    Ok((shown(bench, holder).await?.context("it beats")?, held))
}

async fn shown(bench: &Bench, holder: &str) -> Result<Option<Beat>> {
    Ok(bench.store().beats("nobody").await?.into_iter().find(|beat| beat.holder == holder))
}

async fn holds(bench: &Bench, holder: &str, jobs: &[Job]) -> Result<usize> {
    let mut count = 0;
    for job in jobs {
        count += usize::from(bench.job(&job.id).await?.lease.holder.as_deref() == Some(holder));
    }
    Ok(count)
}

/// Also those that are counted at once; an executor is not shown its own.
pub(crate) async fn every_beat_counts_and_shows_to_the_others(bench: Bench) -> Result<()> {
    let racers = (0..20).map(|number| {
        let store = bench.of(number);
        async move { store.beat("exe_ä%").await }
    });
    for answer in all(racers).await {
        answer?;
    }
    ensure!(bench.store().beats("exe_2").await? == [Beat { holder: "exe_ä%".into(), beat: 20 }]);
    ensure!(bench.store().beats("exe_ä%").await?.is_empty());
    failing_commits(&*bench.faults, bench.store().beat("exe_ä%")).await?;
    ensure!(shown(&bench, "exe_ä%").await?.is_some_and(|beat| beat.beat == 20));
    Ok(())
}

/// The jobs get new fences once, not by each of them.
pub(crate) async fn of_many_who_free_the_gone_one_does(bench: Bench) -> Result<()> {
    let (gone, jobs) = holding(&bench, "exe_1", 3).await?;
    let racers = (0..8).map(|number| {
        let (store, gone) = (bench.of(number), gone.clone());
        async move { store.free(&gone).await }
    });
    let freed: Vec<_> = all(racers).await.into_iter().collect::<runwarden_kit::Result<_>>()?;
    ensure!(freed.iter().flatten().collect::<Vec<_>>() == [&3], "{freed:?}");
    for job in &jobs {
        let lease = bench.job(&job.id).await?.lease;
        ensure!(lease.holder.is_none() && lease.fence == 2, "{lease:?}");
    }
    ensure!(bench.store().watch(&TenantId::trusted("acme"), "exe_1", "exe_2").await?, "what it followed is free, too");
    Ok(())
}

/// It lives: what it holds stays its own.
pub(crate) async fn one_that_moved_is_not_freed(bench: Bench) -> Result<()> {
    let (seen, jobs) = holding(&bench, "exe_1", 2).await?;
    bench.of(1).beat("exe_1").await?;
    ensure!(bench.store().free(&seen).await?.is_none());
    ensure!(
        holds(&bench, "exe_1", &jobs).await? == 2
            && !bench.store().watch(&TenantId::trusted("acme"), "exe_1", "exe_2").await?
    );
    ensure!(shown(&bench, "exe_1").await?.is_some());
    Ok(())
}

/// A commit that fails leaves it all it held, and it is freed by whoever asks again.
pub(crate) async fn freeing_that_fails_frees_nothing(bench: Bench) -> Result<()> {
    let (gone, jobs) = holding(&bench, "exe_1", 2).await?;
    failing_commits(&*bench.faults, bench.store().free(&gone)).await?;
    ensure!(
        holds(&bench, "exe_1", &jobs).await? == 2
            && !bench.store().watch(&TenantId::trusted("acme"), "exe_1", "exe_2").await?
    );
    failing_commits(&*bench.faults, bench.store().resume("exe_1")).await?;
    ensure!(holds(&bench, "exe_1", &jobs).await? == 2);
    ensure!(bench.store().free(&gone).await? == Some(2));
    Ok(())
}

/// Wherever the connection is lost: either it holds all it held and still shows, or it holds nothing and is gone.
pub(crate) async fn freeing_that_is_cut_off_is_whole_or_not_done(bench: Bench) -> Result<()> {
    at_every_call(&*bench.faults, async |cut| {
        let holder = runwarden_kit::id::new("exe");
        let (gone, jobs) = holding(&bench, &holder, 2).await?;
        let answer = cut.during(bench.store().free(&gone)).await;
        let (held, shows) = (holds(&bench, &holder, &jobs).await?, shown(&bench, &holder).await?.is_some());
        ensure!(matches!((held, shows), (2, true) | (0, false)), "it holds {held} of 2 and shows: {shows}");
        ensure!(!shows || answer.is_err());
        ensure!(bench.store().free(&gone).await? == shows.then_some(2));
        ensure!(bench.store().watch(&TenantId::trusted("acme"), &holder, "exe_2").await?);
        Ok(())
    })
    .await
}

/// Under new fences, so that nothing counts of what its earlier life may still do.
pub(crate) async fn one_that_starts_again_gets_back_what_it_held_and_nothing_else(bench: Bench) -> Result<()> {
    let (_, mine) = holding(&bench, "exe_1", 2).await?;
    let (_, others) = holding(&bench, "exe_2", 1).await?;
    ensure!(bench.store().resume("exe_1").await? == 2 && bench.store().resume("exe_1").await? == 0);
    ensure!(holds(&bench, "exe_1", &mine).await? == 0 && holds(&bench, "exe_2", &others).await? == 1);
    for job in &mine {
        ensure!(bench.job(&job.id).await?.lease.fence == 2);
    }
    ensure!(bench.store().heads(at(10)).await?.len() == 1);
    Ok(())
}
