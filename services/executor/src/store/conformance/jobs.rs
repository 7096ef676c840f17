//! What [`JobStore`](crate::store::JobStore) promises.

use std::collections::BTreeSet;
use std::sync::Mutex;

use anyhow::{Context as _, Result, ensure};
use runwarden_engines::conformance::{at_every_call, failing_commits};
use runwarden_kit::caller::Visible;
use runwarden_kit::tenant::TenantId;
use serde_json::json;

use super::{Bench, all, at, changing, entry, example, intent, run};
use crate::job::{Attempt, AttemptState, Job, JobState};
use crate::store::{Acceptance, Accepted, Effects, Happening, JobFilter, News, Room};

/// Leaves nothing out.
fn any() -> JobFilter {
    JobFilter { limit: usize::MAX, ..JobFilter::default() }
}

/// Lists a tenant's jobs in all projects.
async fn all_of(bench: &Bench, tenant: &str, filter: JobFilter) -> Result<Vec<Job>> {
    Ok(bench.store().list(&TenantId::trusted(tenant), &Visible::All, filter).await?)
}

/// Whatever was asked, in every language, and long.
pub(crate) async fn a_job_is_read_as_it_was_accepted(bench: Bench) -> Result<()> {
    let text = "ä€𝄞\u{0}\r\n'\"%_\\{}".repeat(50_000);
    let parameters = json!({"ä/€": text, "": [1.5, null, {"deep": [[[["x"]]]]}]});
    let parameters = parameters.as_object().context("an object")?.clone();
    let job = Job {
        parameters,
        sealed_parameters: Some("c2VhbGVk".repeat(10_000)),
        requested_by_name: "Ω 'quoted'".into(),
        ..example()
    };
    bench.put(job.clone()).await?;
    let kept = bench.job(&job.id).await?;
    ensure!(serde_json::to_value(&kept)? == serde_json::to_value(Job { last_event: 1, ..job.clone() })?);
    ensure!(kept.due_at == job.due_at && kept.lease == job.lease);
    let events = bench.events(&job.id).await?;
    ensure!(events.len() == 1 && events[0].number == 1 && events[0].at == job.created_at);
    ensure!(matches!(&events[0].what, Happening::State(told) if told.parameters == job.parameters));
    Ok(())
}

/// A commit that fails leaves no job, no event and no audit entry, and does not stand in the way of doing it again.
pub(crate) async fn an_acceptance_that_fails_leaves_nothing(bench: Bench) -> Result<()> {
    let job = example();
    let acceptance = Acceptance { entries: vec![entry(), entry()], ..Acceptance::of(job.clone()) };
    let version = bench.store().version().await?;
    failing_commits(&*bench.faults, bench.store().accept(acceptance.clone())).await?;
    ensure!(bench.store().get(&TenantId::trusted("acme"), &job.id).await?.is_none() && bench.entries().await? == 0);
    ensure!(bench.events(&job.id).await?.is_empty() && bench.store().version().await? == version);
    ensure!(matches!(bench.store().accept(acceptance).await?, Accepted::New(_)));
    ensure!(bench.entries().await? == 2 && bench.events(&job.id).await?.len() == 1);
    Ok(())
}

/// Wherever the connection is lost: the job with all that belongs to it, or nothing; all if it was said to be accepted.
pub(crate) async fn an_acceptance_that_is_cut_off_is_whole_or_not_done(bench: Bench) -> Result<()> {
    at_every_call(&*bench.faults, async |cut| {
        let (job, before) = (example(), bench.entries().await?);
        let acceptance = Acceptance { entries: vec![entry(), entry()], ..Acceptance::of(job.clone()) };
        let accepted = cut.during(bench.store().accept(acceptance)).await;
        let is_there = bench.store().get(&TenantId::trusted("acme"), &job.id).await?.is_some();
        ensure!(is_there || accepted.is_err());
        ensure!(bench.entries().await? - before == if is_there { 2 } else { 0 });
        ensure!(bench.events(&job.id).await?.len() == usize::from(is_there));
        Ok(())
    })
    .await
}

/// A full queue refuses; the refusal says whose queue it is and leaves nothing.
pub(crate) async fn no_more_wait_than_there_is_room_for_however_many_race(bench: Bench) -> Result<()> {
    for (of, room, most) in
        [("template", Room { of_template: 3, of_tenant: 9 }, 3), ("tenant", Room { of_template: 9, of_tenant: 5 }, 2)]
    {
        let racers = (0..12).map(|number| {
            let store = bench.of(number);
            let job = Job { template: of.into(), ..example() };
            async move { store.accept(Acceptance { room, entries: vec![entry()], ..Acceptance::of(job) }).await }
        });
        let mut accepted = 0;
        for answer in all(racers).await {
            match answer? {
                Accepted::New(_) => accepted += 1,
                Accepted::QueueFull { of: full, .. } => ensure!(full == of),
                other => anyhow::bail!("{other:?}"),
            }
        }
        ensure!(accepted == most, "{accepted} have room for {most}");
    }
    ensure!(all_of(&bench, "acme", any()).await?.len() == 5 && bench.entries().await? == 5);
    Ok(())
}

/// None is lost, none sees what another has not committed, and their events are numbered without gaps.
pub(crate) async fn changes_that_race_are_all_made_one_after_the_other(bench: Bench) -> Result<()> {
    let job = bench.put(example()).await?;
    let racers = (0..24).map(|number| {
        let (store, id) = (bench.of(number), job.id.clone());
        let change = changing(|job| {
            job.setbacks += 1;
            Effects { output: Some("é".into()), ..Effects::announced() }.with_entry(entry())
        });
        async move { store.change(&id, at(2), None, &change).await }
    });
    let mut seen = BTreeSet::new();
    for answer in all(racers).await {
        seen.insert(answer?.context("the job is gone")?.job.setbacks);
    }
    ensure!(seen == (1..=24).collect(), "two began from the same: {seen:?}");
    ensure!(bench.job(&job.id).await?.setbacks == 24 && bench.entries().await? == 24);
    let numbers: Vec<i64> = bench.events(&job.id).await?.iter().map(|event| event.number).collect();
    ensure!(numbers == (1..=49).collect::<Vec<_>>(), "{numbers:?}");
    ensure!(bench.store().output(&job.id, 0, 1000).await? == "é".repeat(24));
    Ok(())
}

/// Whether the change itself fails or its commit: row, events, output, attempt and entries are as before, and doing it
/// again does it once.
pub(crate) async fn a_change_that_fails_leaves_nothing(bench: Bench) -> Result<()> {
    let job = bench.put(example()).await?;
    let before = bench.job(&job.id).await?;
    let change = async |fails: bool| {
        let change = |job: &mut Job, _, _| {
            job.setbacks += 1;
            if fails {
                return Err(runwarden_kit::Error::not_found("job"));
            }
            let effects = Effects { output: Some("printed".into()), ..Effects::announced() };
            Ok(Some(effects.with_attempt(intent(&before, 1, "none")).with_entry(entry())))
        };
        bench.store().change(&job.id, at(2), None, &change).await
    };
    ensure!(change(true).await.is_err());
    failing_commits(&*bench.faults, change(false)).await?;
    ensure!(serde_json::to_value(bench.job(&job.id).await?)? == serde_json::to_value(&before)?);
    ensure!(bench.events(&job.id).await?.len() == 1 && bench.entries().await? == 0);
    ensure!(bench.store().output(&job.id, 0, 100).await?.is_empty());
    ensure!(bench.store().attempts(&job.id).await?.is_empty());
    change(false).await?;
    ensure!(bench.job(&job.id).await?.setbacks == 1 && bench.entries().await? == 1);
    ensure!(bench.events(&job.id).await?.len() == 3 && bench.store().attempts(&job.id).await?.len() == 1);
    ensure!(bench.store().output(&job.id, 0, 100).await? == "printed");
    Ok(())
}

/// Wherever the connection is lost: all of the change, or nothing; all if it was said to be made.
pub(crate) async fn a_change_that_is_cut_off_is_whole_or_not_done(bench: Bench) -> Result<()> {
    at_every_call(&*bench.faults, async |cut| {
        let (job, before) = (bench.put(example()).await?, bench.entries().await?);
        let attempt = intent(&job, 1, "extra_var");
        let change = changing(move |job| {
            job.setbacks += 1;
            let effects = Effects { output: Some("printed".into()), ..Effects::announced() };
            effects.with_attempt(attempt.clone()).with_entry(entry())
        });
        let done = cut.during(bench.store().change(&job.id, at(2), None, &change)).await;
        let is_done = bench.job(&job.id).await?.setbacks == 1;
        ensure!(is_done || done.is_err());
        let left = (
            bench.events(&job.id).await?.len(),
            bench.store().attempts(&job.id).await?.len(),
            bench.store().output(&job.id, 0, 100).await?.len(),
            bench.entries().await? - before,
        );
        ensure!(left == if is_done { (3, 1, 7, 1) } else { (1, 0, 0, 0) }, "done: {is_done}, left: {left:?}");
        Ok(())
    })
    .await
}

/// A change that answers `None` leaves everything as it is, whatever it did to its copy; so does one to no job.
pub(crate) async fn a_change_that_wants_nothing_changes_nothing(bench: Bench) -> Result<()> {
    let job = bench.put(example()).await?;
    let version = bench.store().version().await?;
    let nothing = |job: &mut Job, _, _| {
        job.setbacks = 99;
        Ok(None)
    };
    let answer = bench.store().change(&job.id, at(2), None, &nothing).await?.context("the job is gone")?;
    ensure!(answer.effects.is_none());
    ensure!(answer.job.setbacks == 0 && bench.job(&job.id).await?.setbacks == 0);
    ensure!(bench.store().change("job_none", at(2), None, &nothing).await?.is_none());
    ensure!(bench.store().version().await? == version && bench.events(&job.id).await?.len() == 1);
    Ok(())
}

/// A change may be called more than once: each call sees the job as it is kept, and the effects of one are written. In
/// debug builds every store calls each change twice.
pub(crate) async fn a_change_that_is_made_more_than_once_has_its_effects_once(bench: Bench) -> Result<()> {
    let job = bench.put(example()).await?;
    bench.update(&job.id, |_| Effects::default().with_attempt(intent(&job, 1, "none"))).await?;
    let seen = Mutex::new(Vec::new());
    let change = |job: &mut Job, last: Option<Attempt>, _| {
        let mut seen = seen.lock().map_err(|error| runwarden_kit::Error::internal(anyhow::anyhow!("{error}")))?;
        seen.push((job.setbacks, last.map(|last| last.number)));
        job.setbacks += 1;
        let effects = Effects { output: Some("printed".into()), ..Effects::announced() };
        Ok(Some(effects.with_attempt(intent(job, 2, "none")).with_entry(entry())))
    };
    let after = bench.store().change(&job.id, at(2), None, &change).await?.context("the job is gone")?;
    let seen = seen.into_inner()?;
    ensure!(seen.len() > 1 || !cfg!(debug_assertions));
    ensure!(seen.iter().all(|seen| *seen == (0, Some(1))), "{seen:?}");
    ensure!(after.job.setbacks == 1 && bench.job(&job.id).await?.setbacks == 1);
    ensure!(bench.events(&job.id).await?.len() == 3 && bench.store().attempts(&job.id).await?.len() == 2);
    ensure!(bench.store().output(&job.id, 0, 100).await? == "printed");
    let kept: Vec<_> = bench.outbox.pending("acme", 9).await?;
    ensure!(Some(kept) == after.effects.map(|effects| effects.entries), "another call's entries were written");
    Ok(())
}

/// A change answers what was committed: the job as it is read from then on, and the effects, entry by entry.
pub(crate) async fn what_is_committed_is_told_as_it_was_written(bench: Bench) -> Result<()> {
    let job = example();
    let acceptance = Acceptance { entries: vec![entry()], ..Acceptance::of(job.clone()) };
    let Accepted::New(effects) = bench.store().accept(acceptance).await? else { anyhow::bail!("it is new") };
    ensure!(effects.announced && effects.news == [News::Accepted]);
    ensure!(effects.entries == bench.outbox.pending("acme", 9).await?);
    let finished = |job: &mut Job, _, _| {
        job.end(JobState::Canceled, at(2), None)?;
        Ok(Some(Effects::announced().finished(entry())))
    };
    let after = bench.store().change(&job.id, at(2), None, &finished).await?.context("the job is gone")?;
    ensure!(serde_json::to_value(&after.job)? == serde_json::to_value(bench.job(&job.id).await?)?);
    let effects = after.effects.context("it changed")?;
    ensure!(effects.news == [News::Finished] && effects.entries == bench.outbox.pending("acme", 9).await?[1..]);
    Ok(())
}

/// Whether another job has the run is read in the transaction that binds it; and who does not ask is refused.
pub(crate) async fn of_jobs_that_race_for_a_run_one_gets_it(bench: Bench) -> Result<()> {
    let bind = |is_asking: bool| {
        move |job: &mut Job, _, is_held| {
            if is_asking && is_held {
                return Ok(None);
            }
            job.state = JobState::Running;
            job.run = Some(run(7));
            Ok(Some(Effects::announced()))
        }
    };
    let mut jobs = Vec::new();
    for _ in 0..8 {
        jobs.push(bench.put(example()).await?);
    }
    let racers = jobs.iter().enumerate().map(|(number, job)| {
        let (store, id, change) = (bench.of(number), job.id.clone(), bind(true));
        async move { store.change(&id, at(2), Some(&run(7)), &change).await }
    });
    let mut bound = Vec::new();
    for answer in all(racers).await {
        bound.extend(answer?.map(|after| after.job).filter(|job| job.run.is_some()).map(|job| job.id));
    }
    ensure!(bound.len() == 1, "{bound:?} have the run");
    ensure!(bench.store().bound(&[6, 7, 8]).await?.len() == 1);
    let other = jobs.iter().find(|job| !bound.contains(&job.id)).context("seven others")?;
    ensure!(bench.store().change(&other.id, at(2), Some(&run(7)), &bind(false)).await.is_err());
    ensure!(bench.job(&other.id).await?.run.is_none() && bench.store().bound(&[7]).await?.len() == 1);
    Ok(())
}

/// No tenant's job is read or listed under another's name, nor a project's under one that the caller may not see.
pub(crate) async fn a_tenant_is_a_wall(bench: Bench) -> Result<()> {
    let mut jobs = Vec::new();
    for (tenant, project) in [("acme", "web"), ("acme", "db"), ("acm", "web"), ("acme2", "web"), ("", "web")] {
        jobs.push(bench.put(Job { tenant: TenantId::trusted(tenant), project: project.into(), ..example() }).await?);
    }
    for job in &jobs {
        for tenant in ["acme", "acm", "acme2", "", "%", "ACME"] {
            ensure!(
                bench.store().get(&TenantId::trusted(tenant), &job.id).await?.is_some() == (*tenant == *job.tenant)
            );
        }
    }
    let listed = async |tenant: &str| anyhow::Ok(all_of(&bench, tenant, any()).await?.len());
    ensure!(listed("acme").await? == 2 && listed("%").await? == 0);
    for (projects, count) in [(vec![], 0), (vec!["web"], 1), (vec!["w%", "we_"], 0), (vec!["web", "db"], 2)] {
        let visible = Visible::Projects(projects.into_iter().map(str::to_owned).collect());
        ensure!(bench.store().list(&TenantId::trusted("acme"), &visible, any()).await?.len() == count);
    }
    Ok(())
}

/// Whoever goes on before the last id of a page sees each job that was there at the beginning once, and none that came
/// later.
pub(crate) async fn a_list_is_newest_first_and_pages_without_gaps_while_jobs_come_in(bench: Bench) -> Result<()> {
    let mut there = Vec::new();
    for _ in 0..20 {
        there.push(bench.put(example()).await?.id);
    }
    there.sort_unstable();
    there.reverse();
    let store = bench.of(1);
    let mut seen: Vec<String> = Vec::new();
    let first = JobFilter { limit: 3, ..JobFilter::default() };
    seen.extend(all_of(&bench, "acme", first.clone()).await?.into_iter().map(|job| job.id));
    let writer = tokio::spawn(async move {
        for _ in 0..20 {
            store.accept(Acceptance::of(example())).await?;
        }
        anyhow::Ok(())
    });
    loop {
        let page = all_of(&bench, "acme", JobFilter { before: seen.last().cloned(), ..first.clone() }).await?;
        if page.is_empty() {
            break;
        }
        // What was passed may change: it does not come again.
        bench.update(&page[0].id, |_| Effects::announced()).await?;
        seen.extend(page.into_iter().map(|job| job.id));
    }
    writer.await??;
    ensure!(seen == there, "{seen:?} is not {there:?}");
    ensure!(all_of(&bench, "acme", JobFilter::default()).await?.is_empty());
    Ok(())
}

/// Whoever goes on after the last number misses no event and sees none twice.
pub(crate) async fn events_page_without_gaps_while_the_job_changes(bench: Bench) -> Result<()> {
    let job = bench.put(example()).await?;
    let (store, id) = (bench.of(1), job.id.clone());
    let writer = tokio::spawn(async move {
        for number in 0..30 {
            let change = changing(move |_| Effects { output: Some(format!("{number}\n")), ..Effects::announced() });
            store.change(&id, at(2), None, &change).await?;
        }
        anyhow::Ok(())
    });
    let mut numbers = vec![0];
    loop {
        let is_over = writer.is_finished();
        let page = bench.store().events(&job.id, numbers.last().copied().unwrap_or(0), 4).await?;
        ensure!(page.len() <= 4);
        if page.is_empty() && is_over {
            break;
        }
        numbers.extend(page.iter().map(|event| event.number));
        tokio::task::yield_now().await;
    }
    writer.await??;
    ensure!(numbers == (0..=61).collect::<Vec<_>>(), "{numbers:?}");
    ensure!(bench.store().events(&job.id, i64::MAX, 4).await?.is_empty());
    Ok(())
}

/// From offset to offset, however the run printed it and however much is asked for at once; no character is torn.
pub(crate) async fn output_is_read_whole_in_pieces_of_any_size(bench: Bench) -> Result<()> {
    let job = bench.put(example()).await?;
    let mut whole = String::new();
    for number in 0..150 {
        let text = "aé€𝄞".repeat(number % 5) + "\n";
        whole += &text;
        let output = Some(text);
        bench.update(&job.id, |_| Effects { output: output.clone(), ..Effects::default() }).await?;
    }
    ensure!(bench.job(&job.id).await?.output_bytes == whole.len() as u64);
    for limit in [4, 7, 100, usize::MAX] {
        let mut read = String::new();
        loop {
            let piece = bench.store().output(&job.id, read.len() as u64, limit).await?;
            ensure!(piece.len() <= limit);
            if piece.is_empty() {
                break;
            }
            read += &piece;
        }
        ensure!(read == whole, "in pieces of {limit}, {} of {} bytes are as they were", read.len(), whole.len());
    }
    for past in [whole.len() as u64, whole.len() as u64 + 9, u64::MAX] {
        ensure!(bench.store().output(&job.id, past, 100).await?.is_empty());
    }
    Ok(())
}

/// Events keep the order in which they happened, with the times they were given, wherever a clock jumps.
pub(crate) async fn time_that_goes_back_reorders_nothing(bench: Bench) -> Result<()> {
    let job = bench.put(Job { created_at: at(1000), ..example() }).await?;
    let mut version = bench.store().version().await?;
    let times = [at(5000), at(3), runwarden_kit::clock::Moment::from_micros(i64::MIN), at(4000)];
    for now in times {
        bench.store().change(&job.id, now, None, &changing(|_| Effects::announced())).await?;
        let next = bench.store().version().await?;
        ensure!(next > version);
        version = next;
    }
    let events = bench.events(&job.id).await?;
    ensure!(events.iter().map(|event| event.number).collect::<Vec<_>>() == [1, 2, 3, 4, 5]);
    ensure!(events.iter().map(|event| event.at).skip(1).collect::<Vec<_>>() == times);
    Ok(())
}

/// An attempt is known by its number: written again it is as it is then, and none goes away.
pub(crate) async fn an_attempt_is_written_over_and_the_last_one_is_the_highest(bench: Bench) -> Result<()> {
    let job = bench.put(example()).await?;
    ensure!(bench.store().last_attempt(&job.id).await?.is_none());
    let mut first = intent(&job, 1, "none");
    let second = intent(&job, 2, "extra_var");
    first.state = AttemptState::NotLaunched { why: "ä".repeat(5000) };
    for attempt in [intent(&job, 1, "none"), second.clone(), first.clone()] {
        bench.update(&job.id, |_| Effects::default().with_attempt(attempt.clone())).await?;
    }
    ensure!(bench.store().attempts(&job.id).await? == [first, second.clone()]);
    ensure!(bench.store().last_attempt(&job.id).await? == Some(second));
    Ok(())
}

/// Of launching jobs alone, by when their launch was sent; what was settled no longer counts.
pub(crate) async fn what_is_unresolved_is_the_oldest_that_is_out(bench: Bench) -> Result<()> {
    ensure!(bench.store().oldest_unresolved().await?.is_none());
    for (second, state) in [(30, JobState::Launching), (20, JobState::Launching), (10, JobState::Unknown)] {
        let job = bench.put(Job { state, ..example() }).await?;
        let attempt = Attempt { sent_at: at(second), ..intent(&job, 1, "none") };
        bench.update(&job.id, |_| Effects::default().with_attempt(attempt.clone())).await?;
        let oldest = bench.store().oldest_unresolved().await?;
        ensure!(oldest == Some(at(second.max(20))), "{oldest:?}");
    }
    Ok(())
}
