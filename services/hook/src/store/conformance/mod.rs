//! What every store of deliveries must do. An engine runs it with `inbox_store_conformance!`, which makes one test of each
//! function.
//!
//! Each function takes a [`Bench`] whose store is fresh and empty.

mod room;
pub(crate) mod run_tasks;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use runwarden_engines::conformance::{Faults, at_every_call, failing_commits};
use runwarden_kit::audit::{Entry, OutboxStore};
use runwarden_kit::clock::Moment;
use runwarden_kit::id;
use runwarden_kit::tenant::TenantId;
use serde_json::{Map, Value};

pub(crate) use room::{
    a_flood_of_large_parameters_leaves_room_and_waits_for_its_own, a_hooks_own_deliveries_go_before_those_of_others,
    all_bytes_count_and_are_free_again, far_too_much_is_given_up_and_nobody_is_refused_for_it,
    house_keeping_gives_up_what_is_too_much_where_most_is, no_more_wait_than_there_is_room_for_however_many_race,
    one_hook_leaves_room_for_the_others, the_oldest_go_to_make_room_but_none_that_waits_or_is_young,
};

use super::{DeliveryFilter, InboxStore, Kept, Room, Taken};
use crate::inbox::delivery::{Arrival, Asked, Content, Delivery, DeliveryState, Went};

/// Makes one test of each promise. `$make` is an async function without arguments that answers
/// `anyhow::Result<(guard, Bench)>`; the guard keeps what the store needs (a folder, a server) alive.
macro_rules! inbox_store_conformance {
    ($make:path) => {
        runwarden_engines::conformance_tests!(
            $make,
            [crate::store::conformance],
            a_delivery_is_read_as_it_was_taken,
            a_repeat_finds_the_first_one_and_is_counted,
            the_same_id_with_other_content_is_a_conflict_and_leaves_nothing,
            an_id_is_the_senders_own_of_one_hook_and_one_tenant,
            of_requests_that_race_with_one_id_one_makes_its_delivery,
            a_batch_is_kept_whole_or_not_at_all,
            taking_that_fails_leaves_nothing,
            taking_that_is_cut_off_is_whole_or_not_done,
            no_more_wait_than_there_is_room_for_however_many_race,
            the_oldest_go_to_make_room_but_none_that_waits_or_is_young,
            one_hook_leaves_room_for_the_others,
            a_hooks_own_deliveries_go_before_those_of_others,
            all_bytes_count_and_are_free_again,
            a_flood_of_large_parameters_leaves_room_and_waits_for_its_own,
            far_too_much_is_given_up_and_nobody_is_refused_for_it,
            house_keeping_gives_up_what_is_too_much_where_most_is,
            a_change_is_made_once_at_its_version,
            a_change_that_is_cut_off_is_whole_or_not_done,
            repeats_are_counted_while_somebody_works_on_it,
            what_is_due_is_found_tenant_by_tenant_and_the_longest_first,
            one_that_cannot_be_read_stops_no_other,
            a_list_is_newest_first_and_pages_without_gaps,
            a_tenant_is_a_wall,
            what_is_old_is_forgotten_and_what_waits_is_not,
        );
    };
}
pub(crate) use inbox_store_conformance;

/// A store under test.
pub(crate) struct Bench {
    /// Two ways to the same store.
    pub(crate) stores: [Arc<dyn InboxStore>; 2],
    /// The audit entries that changes left in it.
    pub(crate) outbox: Arc<dyn OutboxStore>,
    /// How it is made to fail.
    pub(crate) faults: Arc<dyn Faults>,
}

const ROOM: Room = Room { waiting: 1000, kept: 1000, bytes: 1 << 30, forget_before: Moment::from_micros(0) };

fn acme() -> TenantId {
    TenantId::trusted("acme")
}

fn at(second: u64) -> Moment {
    Moment::from_micros(0).plus(Duration::from_secs(second))
}

fn entry() -> Entry {
    Entry { entry_id: id::new("rec"), tenant: "acme".into(), ..Entry::default() }
}

/// What arrived, with this id of its sender.
pub(crate) fn arrival(sender_id: &str) -> Arrival {
    let mut delivery = Delivery {
        id: id::new("dlv"),
        tenant: acme(),
        hook_id: "hook_1".into(),
        hook: "alerts".into(),
        project: "web".into(),
        sender_id: Some(sender_id.into()),
        mark: Some(format!("id:{sender_id}")),
        digest: "d".into(),
        event: "push".into(),
        state: DeliveryState::Received,
        steps: Vec::new(),
        asked: None,
        job: None,
        reason: None,
        reason_detail: None,
        received_at: at(10),
        answer_by: None,
        finished_at: None,
        due_at: Some(at(10)),
        tries: 0,
        tried_since: None,
        repeats: 0,
        repeated_at: None,
        redelivery_of: None,
        source_address: "192.0.2.1".into(),
        request_id: "req_1".into(),
        trace_id: String::new(),
        version: 1,
    };
    delivery.step("received", at(10), Went::Ok, "");
    let sealed = [("token".to_owned(), vec![1, 2, 3])].into();
    Arrival { delivery, content: Content { event: r#"{"a":1}"#.into(), sealed }, entries: vec![entry()] }
}

/// What a delivery asks for, with these parameters, an object.
pub(crate) fn asked(parameters: Value) -> Asked {
    Asked {
        template: "deploy".into(),
        client_id: "client_1".into(),
        parameters: parameters.as_object().cloned().unwrap_or_default(),
        sealed: None,
        reference: String::new(),
        since: at(10),
        start_by: None,
    }
}

/// How many bytes are kept of it.
fn size(arrival: &Arrival) -> i64 {
    arrival.content.size() + arrival.delivery.size()
}

/// The same of another hook.
fn of_hook(hook: &str, mut arrival: Arrival) -> Arrival {
    arrival.delivery.hook_id = hook.to_owned();
    arrival
}

impl Bench {
    fn store(&self) -> &dyn InboxStore {
        &*self.stores[0]
    }

    async fn take(&self, arrival: Arrival) -> Result<Kept> {
        match self.store().take(vec![arrival], ROOM).await? {
            Taken::Kept(mut kept) => kept.pop().context("nothing was kept"),
            other => bail!("{other:?}"),
        }
    }

    async fn done(&self, mut arrival: Arrival, second: u64) -> Result<String> {
        arrival.delivery.received_at = at(second);
        let mut delivery = self.take(arrival).await?.delivery;
        delivery.finish(DeliveryState::Filtered, at(second));
        ensure!(self.store().advance(delivery.clone(), Vec::new()).await?);
        Ok(delivery.id)
    }

    /// How many are kept of a hook.
    async fn count(&self, hook: &str) -> Result<usize> {
        let filter = DeliveryFilter { limit: 10_000, ..DeliveryFilter::default() };
        Ok(self.store().list(&acme(), hook, filter).await?.len())
    }

    async fn get(&self, id: &str) -> Result<Option<Delivery>> {
        Ok(self.store().get(&acme(), id).await?)
    }

    async fn all(&self) -> Result<Vec<Delivery>> {
        let filter = DeliveryFilter { limit: 10_000, ..DeliveryFilter::default() };
        Ok(self.store().list(&acme(), "hook_1", filter).await?)
    }

    async fn entries(&self) -> Result<usize> {
        Ok(self.outbox.totals().await?.0)
    }
}

pub(crate) async fn a_delivery_is_read_as_it_was_taken(bench: Bench) -> Result<()> {
    let given = arrival("1");
    let kept = bench.take(given.clone()).await?;
    ensure!(!kept.repeat && kept.delivery == given.delivery);
    ensure!(bench.get(&given.delivery.id).await? == Some(given.delivery.clone()));
    ensure!(bench.store().content(&acme(), &given.delivery.id).await? == Some(given.content));
    ensure!(bench.entries().await? == 1);
    Ok(())
}

pub(crate) async fn a_repeat_finds_the_first_one_and_is_counted(bench: Bench) -> Result<()> {
    let first = bench.take(arrival("1")).await?.delivery;
    for count in 1..=3 {
        let kept = bench.take(arrival("1")).await?;
        ensure!(kept.repeat && kept.delivery.id == first.id && kept.delivery.repeats == count);
    }
    ensure!(bench.all().await?.len() == 1 && bench.entries().await? == 1, "a repeat is not recorded again");
    // What has no id is never a repeat.
    let nameless = || {
        let mut arrival = arrival("1");
        arrival.delivery.mark = None;
        arrival
    };
    ensure!(!bench.take(nameless()).await?.repeat && !bench.take(nameless()).await?.repeat);
    Ok(())
}

pub(crate) async fn the_same_id_with_other_content_is_a_conflict_and_leaves_nothing(bench: Bench) -> Result<()> {
    let first = bench.take(arrival("1")).await?.delivery;
    let mut other = arrival("1");
    other.delivery.digest = "e".into();
    ensure!(matches!(bench.store().take(vec![other], ROOM).await?, Taken::Conflict(found) if found.id == first.id));
    let found = bench.all().await?;
    ensure!(found == [first] && bench.entries().await? == 1);
    Ok(())
}

pub(crate) async fn an_id_is_the_senders_own_of_one_hook_and_one_tenant(bench: Bench) -> Result<()> {
    bench.take(arrival("1")).await?;
    let mut of_hook = arrival("1");
    of_hook.delivery.hook_id = "hook_2".into();
    ensure!(!bench.take(of_hook).await?.repeat);
    let mut of_tenant = arrival("1");
    (of_tenant.delivery.tenant, of_tenant.delivery.hook_id) = (TenantId::trusted("other"), "hook_3".into());
    ensure!(!bench.take(of_tenant).await?.repeat);
    Ok(())
}

pub(crate) async fn of_requests_that_race_with_one_id_one_makes_its_delivery(bench: Bench) -> Result<()> {
    let racers: Vec<_> = (0..16)
        .map(|number| {
            let store = Arc::clone(&bench.stores[number % 2]);
            tokio::spawn(async move { store.take(vec![arrival("1")], ROOM).await })
        })
        .collect();
    let mut new = 0;
    let mut ids = std::collections::BTreeSet::new();
    for racer in racers {
        let Taken::Kept(kept) = racer.await?? else { bail!("it was not kept") };
        new += kept.iter().filter(|kept| !kept.repeat).count();
        ids.extend(kept.into_iter().map(|kept| kept.delivery.id));
    }
    ensure!(new == 1 && ids.len() == 1);
    ensure!(bench.all().await?[0].repeats == 15);
    Ok(())
}

pub(crate) async fn a_batch_is_kept_whole_or_not_at_all(bench: Bench) -> Result<()> {
    bench.take(arrival("1")).await?;
    let mut other = arrival("1");
    other.delivery.digest = "e".into();
    let batch = vec![arrival("2"), other];
    ensure!(!matches!(bench.store().take(batch, ROOM).await, Ok(Taken::Kept(_))));
    ensure!(bench.all().await?.len() == 1 && bench.entries().await? == 1);
    let Taken::Kept(kept) = bench.store().take(vec![arrival("2"), arrival("3"), arrival("1")], ROOM).await? else {
        bail!("it was not kept");
    };
    ensure!(kept.iter().map(|kept| kept.repeat).collect::<Vec<_>>() == [false, false, true]);
    // The last of five places is for a hook that has none.
    let full = Room { waiting: 5, ..ROOM };
    let taken = bench.store().take(vec![arrival("4"), arrival("5")], full).await;
    ensure!(matches!(taken, Ok(Taken::Full)), "its sender is asked to come again: {taken:?}");
    ensure!(bench.all().await?.len() == 3, "half of a batch is not kept when there is room for half of it");
    Ok(())
}

pub(crate) async fn taking_that_fails_leaves_nothing(bench: Bench) -> Result<()> {
    failing_commits(&*bench.faults, bench.store().take(vec![arrival("1")], ROOM)).await?;
    ensure!(bench.all().await?.is_empty() && bench.entries().await? == 0);
    ensure!(!bench.take(arrival("1")).await?.repeat);
    Ok(())
}

pub(crate) async fn taking_that_is_cut_off_is_whole_or_not_done(bench: Bench) -> Result<()> {
    at_every_call(&*bench.faults, async |cut| {
        let given = arrival(&id::new("x"));
        let before = bench.entries().await?;
        let taken = cut.during(bench.store().take(vec![given.clone()], ROOM)).await;
        let is_there = bench.get(&given.delivery.id).await?.is_some();
        ensure!(is_there || taken.is_err(), "answered, and gone");
        ensure!(bench.entries().await? - before == usize::from(is_there));
        ensure!(bench.store().content(&acme(), &given.delivery.id).await?.is_some() == is_there);
        Ok(())
    })
    .await
}

pub(crate) async fn a_change_is_made_once_at_its_version(bench: Bench) -> Result<()> {
    let read = bench.take(arrival("1")).await?.delivery;
    let mut change = read.clone();
    change.finish(DeliveryState::Submitted, at(11));
    change.job = Some("job_1".into());
    ensure!(bench.store().advance(change.clone(), vec![entry()]).await?);
    ensure!(!bench.store().advance(change, vec![entry()]).await?, "it was read before the change");
    let found = bench.get(&read.id).await?.context("it is gone")?;
    ensure!((found.state, found.version, found.job.as_deref()) == (DeliveryState::Submitted, 2, Some("job_1")));
    ensure!(bench.entries().await? == 2);
    Ok(())
}

pub(crate) async fn a_change_that_is_cut_off_is_whole_or_not_done(bench: Bench) -> Result<()> {
    at_every_call(&*bench.faults, async |cut| {
        let read = bench.take(arrival(&id::new("x"))).await?.delivery;
        let before = bench.entries().await?;
        let mut change = read.clone();
        change.finish(DeliveryState::Submitted, at(11));
        let changed = cut.during(bench.store().advance(change, vec![entry()])).await;
        let found = bench.get(&read.id).await?.context("it is gone")?;
        let is_done = found.state == DeliveryState::Submitted;
        ensure!(is_done || changed.is_err());
        ensure!(bench.entries().await? - before == usize::from(is_done));
        let due = bench.store().due(&acme(), at(99), 10_000).await?;
        ensure!(due.iter().any(|due| due.id == read.id) != is_done);
        Ok(())
    })
    .await
}

pub(crate) async fn repeats_are_counted_while_somebody_works_on_it(bench: Bench) -> Result<()> {
    let mut read = bench.take(arrival("1")).await?.delivery;
    bench.take(arrival("1")).await?;
    read.finish(DeliveryState::Filtered, at(11));
    ensure!(bench.store().advance(read.clone(), Vec::new()).await?, "a repeat is in nobody's way");
    bench.take(arrival("1")).await?;
    let found = bench.get(&read.id).await?.context("it is gone")?;
    ensure!(found.repeats == 2 && found.state == DeliveryState::Filtered);
    Ok(())
}

pub(crate) async fn what_is_due_is_found_tenant_by_tenant_and_the_longest_first(bench: Bench) -> Result<()> {
    let due_at = |second: u64, tenant: &str| {
        let mut arrival = arrival(&second.to_string());
        arrival.delivery.due_at = Some(at(second));
        (arrival.delivery.tenant, arrival.delivery.hook_id) = (TenantId::trusted(tenant), format!("hook_{tenant}"));
        arrival
    };
    let mut ids = Vec::new();
    for (second, tenant) in [(30, "acme"), (20, "acme"), (25, "zed"), (90, "acme")] {
        ids.push(bench.take(due_at(second, tenant)).await?.delivery.id);
    }
    ensure!(bench.store().tenants_waiting().await? == [acme(), TenantId::trusted("zed")]);
    let due = bench.store().due(&acme(), at(50), 10).await?;
    ensure!(due.iter().map(|due| &due.id).collect::<Vec<_>>() == [&ids[1], &ids[0]]);
    ensure!(bench.store().due(&acme(), at(50), 1).await?.len() == 1);
    Ok(())
}

pub(crate) async fn one_that_cannot_be_read_stops_no_other(bench: Bench) -> Result<()> {
    for number in 0..3 {
        let mut broken = arrival(&format!("broken-{number}"));
        let deep = (0..200).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        broken.delivery.asked = Some(asked(Value::Object(Map::from_iter([("deep".to_owned(), deep)]))));
        let id = bench.take(broken).await?.delivery.id;
        ensure!(bench.store().get(&acme(), &id).await.is_err(), "it cannot be read");
    }
    let mut last = arrival("last");
    last.delivery.due_at = Some(at(11));
    let last = bench.take(last).await?.delivery;
    for limit in [1, 2, 4, 5] {
        ensure!(bench.store().due(&acme(), at(50), limit).await? == [last.clone()], "{limit}");
        let filter = DeliveryFilter { limit, ..DeliveryFilter::default() };
        ensure!(bench.store().list(&acme(), "hook_1", filter).await? == [last.clone()], "{limit}");
    }
    Ok(())
}

pub(crate) async fn a_list_is_newest_first_and_pages_without_gaps(bench: Bench) -> Result<()> {
    let mut ids = Vec::new();
    for number in 0..7 {
        ids.push(bench.take(arrival(&number.to_string())).await?.delivery.id);
    }
    ids.reverse();
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let filter = DeliveryFilter { before, limit: 3, ..DeliveryFilter::default() };
        let page = bench.store().list(&acme(), "hook_1", filter).await?;
        // What comes in meanwhile is on no later page.
        bench.take(arrival(&id::new("x"))).await?;
        before = page.last().map(|last| last.id.clone());
        let is_last = page.len() < 3;
        seen.extend(page.into_iter().map(|delivery| delivery.id));
        if is_last {
            break;
        }
    }
    ensure!(seen == ids);
    let only = DeliveryFilter { states: vec![DeliveryState::Refused], limit: 9, ..DeliveryFilter::default() };
    ensure!(bench.store().list(&acme(), "hook_1", only).await?.is_empty());
    Ok(())
}

pub(crate) async fn a_tenant_is_a_wall(bench: Bench) -> Result<()> {
    let other = TenantId::trusted("other");
    let kept = bench.take(arrival("1")).await?.delivery;
    ensure!(bench.store().get(&other, &kept.id).await?.is_none());
    ensure!(bench.store().content(&other, &kept.id).await?.is_none());
    let filter = DeliveryFilter { limit: 9, ..DeliveryFilter::default() };
    ensure!(bench.store().list(&other, "hook_1", filter).await?.is_empty());
    ensure!(bench.store().due(&other, at(99), 9).await?.is_empty());
    let moved = Delivery { tenant: other, ..kept };
    ensure!(!bench.store().advance(moved, Vec::new()).await?);
    Ok(())
}

pub(crate) async fn what_is_old_is_forgotten_and_what_waits_is_not(bench: Bench) -> Result<()> {
    let old = bench.done(arrival("1"), 1).await?;
    let mut waits = arrival("2");
    waits.delivery.received_at = at(1);
    let waits = bench.take(waits).await?.delivery.id;
    let young = bench.done(arrival("3"), 100).await?;
    ensure!(bench.store().forget(at(50), 10).await? == 1 && bench.store().forget(at(50), 10).await? == 0);
    ensure!(bench.get(&old).await?.is_none() && bench.get(&waits).await?.is_some());
    ensure!(bench.get(&young).await?.is_some());
    // Its room is free, and its id is not known any more.
    let room = Room { kept: 5, ..ROOM };
    ensure!(matches!(bench.store().take(vec![arrival("1")], room).await?, Taken::Kept(kept) if !kept[0].repeat));
    Ok(())
}
