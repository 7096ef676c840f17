//! What [`StrayRuns`](crate::store::StrayRuns) promises.

use anyhow::{Result, ensure};
use runwarden_engines::conformance::{at_every_call, failing_commits};

use super::{Bench, all, at, changing, entry, example, run};
use crate::job::Stray;
use crate::store::Effects;

/// A run that should not be, of a job that is there.
async fn stray(bench: &Bench) -> Result<Stray> {
    let job = bench.put(example()).await?;
    Ok(Stray {
        tenant: job.tenant,
        job: job.id,
        attempt: 1,
        controller: "ä%'".into(),
        run: run(7),
        found_at: at(1),
        due_at: at(5),
        looks: 0,
    })
}

async fn kept(bench: &Bench) -> Result<Stray> {
    let stray = stray(bench).await?;
    bring(bench, &stray).await?;
    Ok(stray)
}

async fn bring(bench: &Bench, stray: &Stray) -> runwarden_kit::Result<()> {
    let effects = Effects { stray: Some(stray.clone()), ..Effects::announced() };
    bench.store().change(&stray.job, at(2), None, &changing(|_| effects.clone())).await.map(drop)
}

/// And is found when it is due, as it was, whichever way a clock jumps.
pub(crate) async fn a_stray_comes_with_its_change_or_not_at_all(bench: Bench) -> Result<()> {
    let one = stray(&bench).await?;
    failing_commits(&*bench.faults, bring(&bench, &one)).await?;
    ensure!(bench.store().count_strays().await? == 0 && bench.events(&one.job).await?.len() == 1);
    bring(&bench, &one).await?;
    for (now, is_due) in [(at(4), false), (at(900), true), (at(0), false), (at(5), true)] {
        let found = bench.store().strays(now, 9).await?;
        ensure!(if is_due { found == std::slice::from_ref(&one) } else { found.is_empty() }, "{now:?}: {found:?}");
    }
    let two = kept(&bench).await?;
    bench.store().keep_stray(&Stray { due_at: at(3), looks: 1, ..two.clone() }).await?;
    let found = bench.store().strays(at(9), 9).await?;
    ensure!(found == [Stray { due_at: at(3), looks: 1, ..two }, one], "the longest due goes first: {found:?}");
    ensure!(bench.store().strays(at(9), 1).await?.len() == 1);
    Ok(())
}

/// However many want it at once.
pub(crate) async fn of_many_who_take_a_stray_one_gets_it(bench: Bench) -> Result<()> {
    let stray = kept(&bench).await?;
    failing_commits(&*bench.faults, bench.store().take_stray(&stray, at(60))).await?;
    ensure!(bench.store().strays(at(5), 9).await? == std::slice::from_ref(&stray));
    let racers = (0..8).map(|number| {
        let (store, stray) = (bench.of(number), stray.clone());
        async move { store.take_stray(&stray, at(60)).await }
    });
    let mut taken = 0;
    for answer in all(racers).await {
        taken += usize::from(answer?);
    }
    ensure!(taken == 1, "{taken} have it");
    ensure!(bench.store().strays(at(59), 9).await?.is_empty() && bench.store().strays(at(60), 9).await?.len() == 1);
    Ok(())
}

/// Of many who say how it ended one puts it on record.
pub(crate) async fn a_stray_is_settled_once_with_its_entry(bench: Bench) -> Result<()> {
    let (stray, other) = (kept(&bench).await?, kept(&bench).await?);
    let racers = (0..8).map(|number| {
        let (store, stray) = (bench.of(number), stray.clone());
        async move { store.settle_stray(&stray, entry()).await }
    });
    for answer in all(racers).await {
        answer?;
    }
    ensure!(bench.entries().await? == 1 && bench.store().strays(at(9), 9).await? == [other]);
    Ok(())
}

/// Wherever the connection is lost, and when the commit fails: it is forgotten with its entry, or neither.
pub(crate) async fn settling_a_stray_is_whole_or_not_done(bench: Bench) -> Result<()> {
    let one = kept(&bench).await?;
    failing_commits(&*bench.faults, bench.store().settle_stray(&one, entry())).await?;
    ensure!(bench.store().count_strays().await? == 1 && bench.entries().await? == 0);
    at_every_call(&*bench.faults, async |cut| {
        let (stray, before) = (kept(&bench).await?, bench.entries().await?);
        let done = cut.during(bench.store().settle_stray(&stray, entry())).await;
        let is_there = bench.store().count_strays().await? == 2;
        ensure!(bench.entries().await? == before + usize::from(!is_there) && (!is_there || done.is_err()));
        bench.store().settle_stray(&stray, entry()).await?;
        ensure!(bench.store().count_strays().await? == 1 && bench.entries().await? == before + 1);
        Ok(())
    })
    .await
}
