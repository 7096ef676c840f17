//! What [`JobStore`](crate::store::JobStore) promises of idempotency keys.

use anyhow::{Result, bail, ensure};
use runwarden_engines::conformance::{at_every_call, failing_commits};

use super::{Bench, all, at, entry, example};
use crate::job::Job;
use crate::store::{Acceptance, Accepted, IdempotencyClaim};
use runwarden_kit::tenant::TenantId;

fn keyed(job: &Job, principal: &str, key: &str, body: &str) -> Acceptance {
    let (principal, key_hash, body_digest) = (principal.into(), key.into(), body.into());
    let claim = IdempotencyClaim { principal, key_hash, body_digest };
    Acceptance { idempotency: Some(claim), entries: vec![entry()], ..Acceptance::of(job.clone()) }
}

/// The id of the job that a request made or found.
fn made(job: &Job, accepted: Accepted) -> Result<String> {
    match accepted {
        Accepted::New(_) => Ok(job.id.clone()),
        Accepted::Replayed(earlier) => Ok(earlier.id),
        other => bail!("{other:?}"),
    }
}

/// The same key from another principal or tenant is another key; with another body it is refused and makes nothing.
pub(crate) async fn a_key_finds_its_job_for_its_tenant_and_principal_alone(bench: Bench) -> Result<()> {
    for (number, (tenant, principal, key)) in
        [("acme", "sa_1", "k"), ("zed", "sa_1", "k"), ("acme", "sa_2", "k"), ("acme", "sa_1", "ä€'%_")]
            .into_iter()
            .enumerate()
    {
        let job = Job { tenant: TenantId::trusted(tenant), ..example() };
        ensure!(bench.store().find_by_key(&TenantId::trusted(tenant), principal, key).await?.is_none());
        ensure!(matches!(bench.store().accept(keyed(&job, principal, key, "a")).await?, Accepted::New(_)));
        let again = Job { tenant: TenantId::trusted(tenant), ..example() };
        ensure!(made(&again, bench.of(1).accept(keyed(&again, principal, key, "a")).await?)? == job.id);
        let other = bench.of(1).accept(keyed(&again, principal, key, "b")).await?;
        ensure!(matches!(other, Accepted::KeyReused));
        ensure!(
            bench.store().get(&TenantId::trusted(tenant), &again.id).await?.is_none()
                && bench.entries().await? == number + 1
        );
        let found = bench.store().find_by_key(&TenantId::trusted(tenant), principal, key).await?;
        ensure!(found.is_some_and(|(body, found)| body == "a" && found.id == job.id));
    }
    Ok(())
}

/// However many executors get it at once.
pub(crate) async fn of_requests_that_race_with_one_key_one_makes_its_job(bench: Bench) -> Result<()> {
    let racers = (0..16).map(|number| {
        let (store, job) = (bench.of(number), example());
        async move { made(&job, store.accept(keyed(&job, "sa_1", "k", "a")).await?) }
    });
    let mut jobs = all(racers).await.into_iter().collect::<Result<Vec<_>>>()?;
    jobs.dedup();
    ensure!(jobs.len() == 1, "{jobs:?} were made");
    ensure!(bench.entries().await? == 1);
    Ok(())
}

/// Wherever the connection is lost, and when the commit fails: whoever asks again with the key gets one job, whether the
/// first try had made it or not.
pub(crate) async fn a_request_that_was_cut_off_may_be_repeated_and_makes_one_job(bench: Bench) -> Result<()> {
    let first = example();
    failing_commits(&*bench.faults, bench.store().accept(keyed(&first, "sa_1", "k", "a"))).await?;
    ensure!(bench.store().find_by_key(&TenantId::trusted("acme"), "sa_1", "k").await?.is_none());
    ensure!(made(&first, bench.store().accept(keyed(&first, "sa_1", "k", "a")).await?)? == first.id);
    let mut number = 0;
    at_every_call(&*bench.faults, async |cut| {
        number += 1;
        let (key, first, again, before) = (format!("k{number}"), example(), example(), bench.entries().await?);
        let accepted = cut.during(bench.store().accept(keyed(&first, "sa_1", &key, "a"))).await;
        let is_there = bench.store().get(&TenantId::trusted("acme"), &first.id).await?.is_some();
        ensure!(is_there || accepted.is_err());
        let made = made(&again, bench.store().accept(keyed(&again, "sa_1", &key, "a")).await?)?;
        ensure!(made == if is_there { first.id } else { again.id });
        ensure!(bench.entries().await? == before + 1, "one job, one entry");
        Ok(())
    })
    .await
}

/// The job stays when its key is forgotten; then the key makes another. A clock that jumped back forgets none early.
pub(crate) async fn keys_are_forgotten_by_when_their_job_was_accepted(bench: Bench) -> Result<()> {
    let (old, new) = (Job { created_at: at(100), ..example() }, Job { created_at: at(200), ..example() });
    bench.store().accept(keyed(&old, "sa_1", "old", "a")).await?;
    bench.store().accept(keyed(&new, "sa_1", "new", "a")).await?;
    for (before, are_kept) in
        [(at(0), (true, true)), (at(100), (true, true)), (at(200), (false, true)), (at(50), (false, true))]
    {
        bench.store().forget_keys(before).await?;
        let is_kept =
            async |key| anyhow::Ok(bench.store().find_by_key(&TenantId::trusted("acme"), "sa_1", key).await?.is_some());
        ensure!((is_kept("old").await?, is_kept("new").await?) == are_kept, "before {before:?}");
    }
    ensure!(bench.job(&old.id).await?.id == old.id);
    let again = example();
    ensure!(made(&again, bench.store().accept(keyed(&again, "sa_1", "old", "b")).await?)? == again.id);
    failing_commits(&*bench.faults, bench.store().forget_keys(at(900))).await?;
    ensure!(bench.store().find_by_key(&TenantId::trusted("acme"), "sa_1", "new").await?.is_some());
    Ok(())
}
