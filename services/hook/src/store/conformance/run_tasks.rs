//! What every store of run tasks must do. An engine runs it with `run_task_store_conformance!`, which makes one test of
//! each function.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use runwarden_engines::conformance::{Faults, at_every_call, failing_commits};
use runwarden_kit::audit::OutboxStore;
use runwarden_kit::clock::Moment;
use runwarden_kit::id;
use runwarden_kit::tenant::TenantId;
use runwarden_webhooks::run_task::{ACCESS_TOKEN, Sequence};

use super::{ROOM, acme, arrival, at, entry};
use crate::inbox::delivery::{Arrival, DeliveryState};
use crate::store::run_tasks::{RunTask, RunTaskStore};
use crate::store::{InboxStore, Taken};

/// Makes one test of each promise. `$make` is an async function without arguments that answers
/// `anyhow::Result<(guard, TaskBench)>`; the guard keeps what the store needs alive.
macro_rules! run_task_store_conformance {
    ($make:path) => {
        runwarden_engines::conformance_tests!(
            $make,
            [crate::store::conformance::run_tasks],
            a_delivery_with_a_token_is_owed_a_result_and_no_other_is,
            a_delivery_that_is_not_kept_is_owed_nothing,
            a_task_is_read_as_it_was_saved,
            a_task_is_saved_once_at_its_version,
            saving_that_fails_leaves_nothing,
            saving_that_is_cut_off_is_whole_or_not_done,
            what_is_due_is_found_tenant_by_tenant_and_the_longest_first,
            what_is_over_is_due_no_more,
            a_tenant_is_a_wall_for_run_tasks,
            a_task_goes_with_its_delivery,
        );
    };
}
pub(crate) use run_task_store_conformance;

/// A store under test, with the inbox that its tasks come from.
pub(crate) struct TaskBench {
    pub(crate) inbox: Arc<dyn InboxStore>,
    /// Two ways to the same store.
    pub(crate) tasks: [Arc<dyn RunTaskStore>; 2],
    /// The audit entries that changes left in it.
    pub(crate) outbox: Arc<dyn OutboxStore>,
    /// How it is made to fail.
    pub(crate) faults: Arc<dyn Faults>,
}

/// A delivery that brings a token for its result.
fn with_token(tenant: &TenantId, second: u64) -> Arrival {
    let mut arrival = arrival(&id::new("x"));
    arrival.delivery.tenant = tenant.clone();
    arrival.delivery.received_at = at(second);
    arrival.content.sealed = [(ACCESS_TOKEN.to_owned(), vec![7])].into();
    arrival
}

impl TaskBench {
    fn store(&self) -> &dyn RunTaskStore {
        &*self.tasks[0]
    }

    async fn keep(&self, arrival: Arrival) -> Result<String> {
        let id = arrival.delivery.id.clone();
        ensure!(matches!(self.inbox.take(vec![arrival], ROOM).await?, Taken::Kept(_)));
        Ok(id)
    }

    /// The task of a delivery that was just kept.
    async fn task(&self, tenant: &TenantId, second: u64) -> Result<RunTask> {
        let id = self.keep(with_token(tenant, second)).await?;
        self.store().get(tenant, &id).await?.context("it has no task")
    }

    async fn due(&self, tenant: &TenantId, second: u64) -> Result<Vec<String>> {
        let due = self.store().due(tenant, at(second), 10_000).await?;
        Ok(due.into_iter().map(|task| task.delivery).collect())
    }

    async fn entries(&self) -> Result<usize> {
        Ok(self.outbox.pending("acme", 10_000).await?.len())
    }
}

pub(crate) async fn a_delivery_with_a_token_is_owed_a_result_and_no_other_is(bench: TaskBench) -> Result<()> {
    let plain = bench.keep(arrival("plain")).await?;
    let task = bench.task(&acme(), 10).await?;
    ensure!(bench.due(&acme(), 9).await?.is_empty());
    ensure!(bench.due(&acme(), 10).await? == std::slice::from_ref(&task.delivery));
    ensure!(task.sequence.is_none() && task.version == 1 && task.tenant == acme());
    ensure!(bench.store().get(&acme(), &plain).await?.is_none());
    Ok(())
}

pub(crate) async fn a_delivery_that_is_not_kept_is_owed_nothing(bench: TaskBench) -> Result<()> {
    failing_commits(&*bench.faults, bench.inbox.take(vec![with_token(&acme(), 10)], ROOM)).await?;
    ensure!(bench.due(&acme(), 99).await?.is_empty());
    let first = with_token(&acme(), 10);
    bench.keep(first.clone()).await?;
    let mut repeat = with_token(&acme(), 20);
    repeat.delivery.mark.clone_from(&first.delivery.mark);
    bench.keep(repeat).await?;
    ensure!(bench.due(&acme(), 99).await? == [first.delivery.id], "a repeat is owed nothing of its own");
    Ok(())
}

pub(crate) async fn a_task_is_read_as_it_was_saved(bench: TaskBench) -> Result<()> {
    let task = bench.task(&acme(), 10).await?;
    let sequence = Sequence::new(10, 60);
    let changed = RunTask { sequence: Some(sequence.clone()), ..task.clone() };
    ensure!(bench.store().save(changed, Some(at(20)), Vec::new()).await?);
    let read = bench.tasks[1].get(&acme(), &task.delivery).await?.context("it is gone")?;
    ensure!(read == RunTask { sequence: Some(sequence), version: 2, ..task.clone() });
    ensure!(bench.tasks[1].due(&acme(), at(20), 10).await? == [read]);
    ensure!(bench.due(&acme(), 19).await?.is_empty());
    Ok(())
}

pub(crate) async fn a_task_is_saved_once_at_its_version(bench: TaskBench) -> Result<()> {
    let task = bench.task(&acme(), 10).await?;
    let before = bench.entries().await?;
    let (one, other) = futures::join!(
        bench.tasks[0].save(task.clone(), Some(at(20)), vec![entry()]),
        bench.tasks[1].save(task.clone(), Some(at(30)), vec![entry()]),
    );
    ensure!(one? != other?, "one of two that race");
    ensure!(bench.entries().await? == before + 1, "with its entry");
    ensure!(!bench.store().save(task, None, vec![entry()]).await?);
    ensure!(bench.entries().await? == before + 1);
    Ok(())
}

pub(crate) async fn saving_that_fails_leaves_nothing(bench: TaskBench) -> Result<()> {
    let task = bench.task(&acme(), 10).await?;
    let before = bench.entries().await?;
    failing_commits(&*bench.faults, bench.store().save(task.clone(), None, vec![entry()])).await?;
    ensure!(bench.due(&acme(), 10).await? == [task.delivery] && bench.entries().await? == before);
    Ok(())
}

pub(crate) async fn saving_that_is_cut_off_is_whole_or_not_done(bench: TaskBench) -> Result<()> {
    at_every_call(&*bench.faults, async |cut| {
        let task = bench.task(&acme(), 10).await?;
        let before = bench.entries().await?;
        let saved = cut.during(bench.store().save(task.clone(), None, vec![entry()])).await;
        let is_over = bench.store().get(&acme(), &task.delivery).await?.is_none();
        ensure!(is_over || saved.is_err(), "answered, and not done");
        ensure!(bench.entries().await? - before == usize::from(is_over));
        Ok(())
    })
    .await
}

pub(crate) async fn what_is_due_is_found_tenant_by_tenant_and_the_longest_first(bench: TaskBench) -> Result<()> {
    let zed = TenantId::trusted("zed");
    let late = bench.task(&acme(), 30).await?.delivery;
    let early = bench.task(&acme(), 20).await?.delivery;
    let other = bench.task(&zed, 40).await?.delivery;
    let tenants = async |second| bench.store().tenants_due(at(second)).await;
    ensure!(tenants(19).await?.is_empty());
    ensure!(tenants(30).await? == [acme()]);
    ensure!(tenants(40).await? == [acme(), zed.clone()]);
    ensure!(bench.due(&acme(), 40).await? == [early.clone(), late]);
    ensure!(bench.due(&zed, 40).await? == [other]);
    let first = bench.store().due(&acme(), at(40), 1).await?;
    ensure!(first.len() == 1 && first[0].delivery == early);
    Ok(())
}

pub(crate) async fn what_is_over_is_due_no_more(bench: TaskBench) -> Result<()> {
    let task = bench.task(&acme(), 10).await?;
    ensure!(bench.store().save(task.clone(), None, Vec::new()).await?);
    ensure!(bench.store().tenants_due(Moment::from_micros(i64::MAX)).await?.is_empty());
    ensure!(bench.store().get(&acme(), &task.delivery).await?.is_none());
    Ok(())
}

pub(crate) async fn a_tenant_is_a_wall_for_run_tasks(bench: TaskBench) -> Result<()> {
    let zed = TenantId::trusted("zed");
    let task = bench.task(&acme(), 10).await?;
    ensure!(bench.store().get(&zed, &task.delivery).await?.is_none() && bench.due(&zed, 99).await?.is_empty());
    let stolen = RunTask { tenant: zed, ..task.clone() };
    ensure!(!bench.store().save(stolen, None, Vec::new()).await?);
    ensure!(bench.due(&acme(), 99).await? == [task.delivery]);
    Ok(())
}

pub(crate) async fn a_task_goes_with_its_delivery(bench: TaskBench) -> Result<()> {
    let task = bench.task(&acme(), 10).await?;
    let mut delivery = bench.inbox.get(&acme(), &task.delivery).await?.context("it is gone")?;
    delivery.finish(DeliveryState::Submitted, at(11));
    ensure!(bench.inbox.advance(delivery, Vec::new()).await?);
    ensure!(bench.inbox.forget(at(99), 10).await? == 1);
    ensure!(bench.due(&acme(), 99).await?.is_empty());
    Ok(())
}
