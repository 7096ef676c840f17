//! What [`Watches`](crate::store::Watches) promises.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use runwarden_engines::conformance::{at_every_call, failing_commits};
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;

use super::{Bench, all, at, changing, example};
use crate::job::{Job, JobState};
use crate::store::{Acceptance, Effects, Silence};

/// A change has its number when it can be seen, and none with a lower one appears later: whoever reads on from the last
/// number ends up with what the store holds, however many write.
pub(crate) async fn whoever_reads_on_misses_no_change_while_jobs_change(bench: Bench) -> Result<()> {
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(bench.put_running().await?.id);
    }
    let writers: Vec<_> = (0..4)
        .map(|writer: usize| {
            let (store, jobs) = (bench.of(writer), jobs.clone());
            tokio::spawn(async move {
                for number in 0..12 {
                    let change = changing(|job| {
                        job.setbacks += 1;
                        Effects::announced()
                    });
                    store.change(&jobs[(writer + number) % 4], at(2), None, &change).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    let (mut mirror, mut last) = (BTreeMap::new(), 0);
    loop {
        let is_over = writers.iter().all(tokio::task::JoinHandle::is_finished);
        let page = bench.store().changed(last, 3).await?;
        ensure!(page.len() <= 3 && page.is_sorted_by(|one, two| one.version < two.version));
        if page.is_empty() && is_over {
            break;
        }
        for changed in page {
            ensure!(changed.version > last);
            last = changed.version;
            mirror.insert(changed.id, changed.running.map(|job| job.setbacks));
        }
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await??;
    }
    ensure!(mirror == jobs.iter().map(|id| (id.clone(), Some(12))).collect(), "{mirror:?}");
    ensure!(bench.store().version().await? == last && bench.store().changed(i64::MAX, 9).await?.is_empty());
    // What runs no longer is told of without its job.
    bench
        .update(&jobs[0], |job| {
            job.state = JobState::Succeeded;
            Effects::announced()
        })
        .await?;
    let page = bench.store().changed(last, 9).await?;
    ensure!(page.len() == 1 && page[0].id == jobs[0] && page[0].running.is_none());
    Ok(())
}

/// Whoever follows all jobs from one page to the next hears of the end of each, however many are accepted and end
/// meanwhile, and in groups at that.
pub(crate) async fn whoever_follows_all_jobs_hears_of_every_end(bench: Bench) -> Result<()> {
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = bench.of(writer);
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for number in 0..12 {
                    let job = Job { template: format!("t{number}"), ..example() };
                    ids.push(job.id.clone());
                    store.accept(Acceptance::of(job.clone())).await?;
                    let change = changing(|job| {
                        job.state = JobState::Canceled;
                        Effects::announced()
                    });
                    store.change(&job.id, at(2), None, &change).await?;
                }
                anyhow::Ok(ids)
            })
        })
        .collect();
    let (mut ended, mut last) = (BTreeSet::new(), 0);
    loop {
        let is_over = writers.iter().all(tokio::task::JoinHandle::is_finished);
        let page = bench.store().changed_jobs(last, 3).await?;
        ensure!(page.len() <= 3 && page.is_sorted_by(|one, two| one.0 < two.0));
        if page.is_empty() && is_over {
            break;
        }
        for (number, job) in page {
            ensure!(number > last, "{number} after {last}");
            last = number;
            if job.state == JobState::Canceled {
                ensure!(ended.insert(job.id), "an end is told once");
            }
        }
        tokio::task::yield_now().await;
    }
    let mut all = BTreeSet::new();
    for writer in writers {
        all.extend(writer.await??);
    }
    ensure!(ended == all, "{} of {} ends", ended.len(), all.len());
    ensure!(bench.store().version().await? == last);
    Ok(())
}

/// Nothing is told of what did not happen.
pub(crate) async fn a_change_that_fails_has_no_number(bench: Bench) -> Result<()> {
    let job = bench.put_running().await?;
    let version = bench.store().version().await?;
    let change = || changing(|_| Effects::announced());
    failing_commits(&*bench.faults, bench.store().change(&job.id, at(2), None, &change())).await?;
    ensure!(bench.store().version().await? == version && bench.store().changed(version, 9).await?.is_empty());
    at_every_call(&*bench.faults, async |cut| {
        let version = bench.store().version().await?;
        let done = cut.during(bench.store().change(&job.id, at(2), None, &change())).await;
        let told = bench.store().changed(version, 9).await?.len();
        ensure!((bench.store().version().await? > version) == (told == 1) && (told == 1 || done.is_err()));
        Ok(())
    })
    .await
}

/// Each that runs from the first page to the last is seen once, while others begin to run and end.
pub(crate) async fn running_jobs_page_by_id_without_gaps(bench: Bench) -> Result<()> {
    let mut stay = Vec::new();
    for _ in 0..10 {
        stay.push(bench.put_running().await?.id);
        bench.put(example()).await?;
    }
    let mut passing = bench.put_running().await?;
    let mut seen: Vec<String> = Vec::new();
    loop {
        let page = bench.store().running(seen.last().map_or("", String::as_str), 3).await?;
        ensure!(page.len() <= 3);
        // An end to the writing beside it, so that there is one to the reading.
        if seen.len() < 12 {
            bench
                .update(&passing.id, |job| {
                    job.state = JobState::Succeeded;
                    Effects::announced()
                })
                .await?;
            passing = bench.put_running().await?;
        }
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|job| job.id));
    }
    ensure!(seen.is_sorted_by(|one, two| one < two), "{seen:?}");
    stay.sort_unstable();
    ensure!(seen.iter().filter(|id| stay.contains(id)).eq(&stay), "{seen:?} lacks some of {stay:?}");
    Ok(())
}

/// Until it lets go, whoever asks and however often; names are taken literally and apart by tenant.
pub(crate) async fn of_executors_that_race_for_a_controller_one_follows_it(bench: Bench) -> Result<()> {
    for (tenant, controller) in [("acme", "awx"), ("zed", "awx"), ("acme", "ä%'_"), ("acme", "a_x")] {
        let racers = (0..8).map(|number| {
            let store = bench.of(number);
            async move {
                let holder = format!("exe_{number}");
                Ok::<_, runwarden_kit::Error>((
                    store.watch(&TenantId::trusted(tenant), controller, &holder).await?,
                    holder,
                ))
            }
        });
        let mut following = Vec::new();
        for answer in all(racers).await {
            let (follows, holder) = answer?;
            following.extend(follows.then_some(holder));
        }
        let [one] = &following[..] else { anyhow::bail!("{following:?} follow {controller}") };
        ensure!(bench.store().watch(&TenantId::trusted(tenant), controller, one).await?);
        ensure!(!bench.store().watch(&TenantId::trusted(tenant), controller, "exe_9").await?);
        bench.of(1).unwatch("exe_9").await?;
        ensure!(bench.store().watch(&TenantId::trusted(tenant), controller, one).await?);
        bench.of(1).unwatch(one).await?;
        ensure!(bench.store().watch(&TenantId::trusted(tenant), controller, "exe_9").await?);
    }
    Ok(())
}

/// Whatever became of the first time: asking again tells, and nobody else follows meanwhile.
pub(crate) async fn following_that_fails_or_is_cut_off_may_be_asked_for_again(bench: Bench) -> Result<()> {
    failing_commits(&*bench.faults, bench.store().watch(&TenantId::trusted("acme"), "awx", "exe_1")).await?;
    ensure!(bench.store().watch(&TenantId::trusted("acme"), "awx", "exe_2").await?, "who failed follows nothing");
    failing_commits(&*bench.faults, bench.store().unwatch("exe_2")).await?;
    ensure!(!bench.store().watch(&TenantId::trusted("acme"), "awx", "exe_1").await?);
    at_every_call(&*bench.faults, async |cut| {
        let controller = runwarden_kit::id::new("awx");
        let first = cut.during(bench.store().watch(&TenantId::trusted("acme"), &controller, "exe_1")).await;
        let other = bench.store().watch(&TenantId::trusted("acme"), &controller, "exe_2").await?;
        ensure!(!other || first.is_err(), "two follow it");
        ensure!(bench.store().watch(&TenantId::trusted("acme"), &controller, "exe_1").await? != other);
        Ok(())
    })
    .await
}

/// One for a controller, the latest; in every language, and long; whatever time it names.
pub(crate) async fn a_silence_is_kept_as_it_was_said_until_its_controller_is_heard(bench: Bench) -> Result<()> {
    let why = "ä€𝄞\r\n'\"%_\\".repeat(5000);
    let silence =
        |controller: &str, since, why: &str| Silence { controller: controller.into(), since, why: why.into() };
    let (first, last) = (Moment::from_micros(i64::MIN), Moment::from_micros(i64::MAX));
    for (since, why) in [(at(9), "first"), (last, ""), (first, "earlier"), (at(5), why.as_str())] {
        bench.store().silent(&TenantId::trusted("acme"), &silence("awx", since, why)).await?;
        ensure!(bench.of(1).silences(&TenantId::trusted("acme")).await? == [silence("awx", since, why)]);
    }
    bench.store().silent(&TenantId::trusted("acme"), &silence("ä%", at(1), "x")).await?;
    bench.store().silent(&TenantId::trusted("zed"), &silence("awx", at(1), "x")).await?;
    ensure!(
        bench.store().silences(&TenantId::trusted("acme")).await?.len() == 2
            && bench.store().silences(&TenantId::trusted("%")).await?.is_empty()
    );
    for _ in 0..2 {
        bench.store().heard(&TenantId::trusted("acme"), "awx").await?;
        ensure!(bench.store().silences(&TenantId::trusted("acme")).await? == [silence("ä%", at(1), "x")]);
        ensure!(bench.store().silences(&TenantId::trusted("zed")).await?.len() == 1);
    }
    Ok(())
}

/// Also one that ends it.
pub(crate) async fn a_silence_that_fails_leaves_the_one_before(bench: Bench) -> Result<()> {
    let silence = |why: &str| Silence { controller: "awx".into(), since: at(1), why: why.into() };
    bench.store().silent(&TenantId::trusted("acme"), &silence("one")).await?;
    failing_commits(&*bench.faults, bench.store().silent(&TenantId::trusted("acme"), &silence("two"))).await?;
    failing_commits(&*bench.faults, bench.store().heard(&TenantId::trusted("acme"), "awx")).await?;
    ensure!(bench.store().silences(&TenantId::trusted("acme")).await? == [silence("one")]);
    let mut number = 0;
    at_every_call(&*bench.faults, async |cut| {
        let before = bench.store().silences(&TenantId::trusted("acme")).await?;
        number += 1;
        let next = silence(&number.to_string());
        let said = cut.during(bench.store().silent(&TenantId::trusted("acme"), &next)).await;
        let now = bench.store().silences(&TenantId::trusted("acme")).await?;
        ensure!(now == [next] || (now == before && said.is_err()), "{now:?} after {said:?}");
        Ok(())
    })
    .await
}
