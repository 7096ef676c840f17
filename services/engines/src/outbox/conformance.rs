//! What every outbox must do. An engine runs it with [`outbox_conformance!`](crate::outbox_conformance), which makes one
//! test of each function here.
//!
//! Each function takes a [`Bench`] whose outbox is fresh and empty.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use runwarden_kit::audit::{LogHead, OutboxStore, SetAside};
use runwarden_kit::clock::Moment;
use runwarden_proto::audit::v1::Entry;

use crate::conformance::{Faults, at_every_call, failing_commits};

/// Makes one test of each promise. `$make` is an async function without arguments that answers
/// `anyhow::Result<(guard, Bench)>`; the guard keeps what the outbox needs (a folder, a server) alive.
#[macro_export]
macro_rules! outbox_conformance {
    ($make:path) => {
        $crate::conformance_tests!(
            $make,
            [$crate::outbox::conformance],
            entries_wait_tenant_by_tenant_and_oldest_first,
            an_entry_is_kept_byte_for_byte,
            an_entry_whose_change_fails_does_not_wait,
            an_entry_waits_if_and_only_if_its_change_was_made,
            writers_that_race_lose_no_entry_and_keep_their_order,
            settling_takes_out_these_entries_of_this_tenant_alone,
            a_settlement_that_fails_leaves_entries_and_heads,
            a_settlement_that_is_cut_off_is_whole_and_may_be_repeated,
            heads_of_however_many_logs_are_kept_before_an_entry_is_forgotten,
            heads_never_go_back,
            heads_that_race_leave_the_newest,
            whoever_delivers_while_entries_come_in_delivers_each_once,
            an_entry_set_aside_leaves_the_queue_and_is_counted,
            setting_aside_is_whole_or_not_done,
            an_entry_is_sent_again_once,
            sending_again_is_whole_or_not_done,
        );
    };
}

/// Makes changes that carry entries.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// Makes one change that carries these entries, at most 20.
    async fn change(&self, entries: Vec<Entry>) -> Result<()>;
}

/// An outbox under test.
pub struct Bench {
    /// Two ways to the same outbox, as two processes have them.
    pub outboxes: [Arc<dyn OutboxStore>; 2],
    /// Changes through each of them.
    pub carriers: [Arc<dyn Carrier>; 2],
    /// How it is made to fail.
    pub faults: Arc<dyn Faults>,
}

impl Bench {
    fn outbox(&self) -> &dyn OutboxStore {
        &*self.outboxes[0]
    }

    /// One of the ways, for a racer of this number.
    fn outbox_of(&self, number: usize) -> Arc<dyn OutboxStore> {
        let [one, two] = &self.outboxes;
        Arc::clone(if number.is_multiple_of(2) { one } else { two })
    }

    fn carrier_of(&self, number: usize) -> Arc<dyn Carrier> {
        let [one, two] = &self.carriers;
        Arc::clone(if number.is_multiple_of(2) { one } else { two })
    }

    async fn put(&self, entries: &[Entry]) -> Result<()> {
        self.carriers[0].change(entries.to_vec()).await
    }

    async fn waiting_of(&self, tenant: &str) -> Result<Vec<Entry>> {
        Ok(self.outbox().pending(tenant, usize::MAX).await?)
    }
}

/// An entry whose id is behind all earlier ones.
fn entry(tenant: &str) -> Entry {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let entry_id = format!("rec_{:012}", NEXT.fetch_add(1, Ordering::SeqCst));
    Entry { entry_id, tenant: tenant.to_owned(), action: "thing.create".to_owned(), ..Entry::default() }
}

fn entries<const N: usize>(tenant: &str) -> [Entry; N] {
    std::array::from_fn(|_| entry(tenant))
}

fn ids(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.entry_id.clone()).collect()
}

fn head(tenant: &str, restores: i64, size: i64) -> LogHead {
    LogHead { tenant: tenant.to_owned(), restores, size, ..LogHead::default() }
}

fn aside(entry: &Entry) -> SetAside {
    SetAside::new(entry.clone(), "too long".to_owned(), Moment::from_micros(5))
}

/// Each tenant has a queue of its own, also the platform, whose tenant is empty.
pub async fn entries_wait_tenant_by_tenant_and_oldest_first(bench: Bench) -> Result<()> {
    ensure!(bench.outbox().waiting().await?.is_empty() && bench.outbox().totals().await? == (0, 0));
    let (acme, zed, platform) = (entries::<3>("acme"), entries::<1>("zed"), entries::<2>(""));
    bench.put(&zed).await?;
    bench.put(&acme[..2]).await?;
    bench.put(&platform).await?;
    bench.put(&acme[2..]).await?;
    ensure!(bench.outbox().waiting().await? == ["", "acme", "zed"]);
    ensure!(bench.waiting_of("acme").await? == acme && bench.waiting_of("").await? == platform);
    ensure!(bench.outbox().pending("acme", 2).await? == acme[..2]);
    ensure!(bench.outbox().pending("acme", 0).await?.is_empty());
    ensure!(bench.waiting_of("acm").await?.is_empty() && bench.waiting_of("acme2").await?.is_empty());
    ensure!(bench.outbox().count("acme").await? == 3 && bench.outbox().count("nobody").await? == 0);
    ensure!(bench.outbox().totals().await? == (6, 0));
    Ok(())
}

/// Whatever stands in it, in every language, and long.
pub async fn an_entry_is_kept_byte_for_byte(bench: Bench) -> Result<()> {
    let text = "ä€𝄞\u{0}\r\n'\"%_\\".repeat(3000);
    let long = Entry { action: text.clone(), object_id: text, ..entry("acme") };
    bench.put(std::slice::from_ref(&long)).await?;
    ensure!(bench.waiting_of("acme").await? == std::slice::from_ref(&long));
    bench.outbox().set_aside(&aside(&long)).await?;
    ensure!(bench.outbox().aside().await? == [aside(&long)]);
    ensure!(bench.outbox().send_again("acme", &long.entry_id).await?);
    ensure!(bench.waiting_of("acme").await? == [long]);
    Ok(())
}

/// A commit that fails leaves no entry, and does not stand in the way of the next.
pub async fn an_entry_whose_change_fails_does_not_wait(bench: Bench) -> Result<()> {
    let two = entries::<2>("acme");
    failing_commits(&*bench.faults, bench.put(&two)).await?;
    ensure!(bench.outbox().waiting().await?.is_empty() && bench.outbox().totals().await? == (0, 0));
    bench.put(&two).await?;
    ensure!(bench.waiting_of("acme").await? == two);
    Ok(())
}

/// Wherever the connection is lost: all entries of a change wait, or none; all if it was said to be made.
pub async fn an_entry_waits_if_and_only_if_its_change_was_made(bench: Bench) -> Result<()> {
    at_every_call(&*bench.faults, async |cut| {
        let before = bench.waiting_of("acme").await?.len();
        let made = cut.during(bench.put(&entries::<3>("acme"))).await;
        let more = bench.waiting_of("acme").await?.len() - before;
        ensure!(more == 3 || (more == 0 && made.is_err()), "{more} of 3 entries wait after {made:?}");
        Ok(())
    })
    .await
}

/// However many write through however many handles.
pub async fn writers_that_race_lose_no_entry_and_keep_their_order(bench: Bench) -> Result<()> {
    let writers: Vec<_> = (0..6)
        .map(|number: usize| {
            let carrier = bench.carrier_of(number);
            tokio::spawn(async move {
                let mut written = Vec::new();
                for _ in 0..10 {
                    let two = entries::<2>("acme");
                    carrier.change(two.to_vec()).await?;
                    written.extend(ids(&two));
                }
                anyhow::Ok(written)
            })
        })
        .collect();
    let mut of_writers = Vec::new();
    for writer in writers {
        of_writers.push(writer.await??);
    }
    let waiting = ids(&bench.waiting_of("acme").await?);
    ensure!(waiting.len() == 120, "{} wait", waiting.len());
    for written in of_writers {
        let kept: Vec<_> = waiting.iter().filter(|id| written.contains(id)).cloned().collect();
        ensure!(kept == written, "a writer's entries are in another order");
    }
    Ok(())
}

/// Ids that are not there, come twice or are another tenant's do nothing.
pub async fn settling_takes_out_these_entries_of_this_tenant_alone(bench: Bench) -> Result<()> {
    let (acme, zed) = (entries::<3>("acme"), entries::<1>("zed"));
    bench.put(&acme).await?;
    bench.put(&zed).await?;
    let mut some = ids(&acme[..2]);
    some.extend([acme[0].entry_id.clone(), zed[0].entry_id.clone(), "rec_none".to_owned()]);
    for _ in 0..2 {
        bench.outbox().settle("acme", &some, &[head("acme", 0, 7)]).await?;
        ensure!(bench.waiting_of("acme").await? == acme[2..] && bench.waiting_of("zed").await? == zed);
        ensure!(bench.outbox().seen().await? == [head("acme", 0, 7)]);
    }
    bench.outbox().settle("acme", &[], &[]).await?;
    ensure!(bench.outbox().totals().await? == (2, 0));
    Ok(())
}

/// A commit that fails forgets no entry and keeps no head.
pub async fn a_settlement_that_fails_leaves_entries_and_heads(bench: Bench) -> Result<()> {
    let two = entries::<2>("acme");
    bench.put(&two).await?;
    let (ids, seen) = (ids(&two), [head("acme", 0, 2)]);
    failing_commits(&*bench.faults, bench.outbox().settle("acme", &ids, &seen)).await?;
    ensure!(bench.waiting_of("acme").await? == two && bench.outbox().seen().await?.is_empty());
    bench.outbox().settle("acme", &ids, &seen).await?;
    ensure!(bench.outbox().totals().await? == (0, 0) && bench.outbox().seen().await? == seen);
    Ok(())
}

/// Wherever the connection is lost: no entry is forgotten without its head, and doing it again ends it.
pub async fn a_settlement_that_is_cut_off_is_whole_and_may_be_repeated(bench: Bench) -> Result<()> {
    let mut size = 0;
    at_every_call(&*bench.faults, async |cut| {
        let three = entries::<3>("acme");
        bench.put(&three).await?;
        size += 3;
        let (ids, seen) = (ids(&three), [head("acme", 0, size)]);
        let settled = cut.during(bench.outbox().settle("acme", &ids, &seen)).await;
        let left = bench.waiting_of("acme").await?.len();
        let is_kept = bench.outbox().seen().await? == seen;
        ensure!(matches!((left, is_kept), (0, true) | (3, false)), "{left} left, head kept: {is_kept}");
        ensure!(left == 0 || settled.is_err());
        bench.outbox().settle("acme", &ids, &seen).await?;
        ensure!(bench.outbox().totals().await? == (0, 0) && bench.outbox().seen().await? == seen);
        Ok(())
    })
    .await
}

/// A settlement may be larger than what the engine does at once. Wherever it is cut off, no entry is gone while a head is
/// missing, and doing it again ends it.
pub async fn heads_of_however_many_logs_are_kept_before_an_entry_is_forgotten(bench: Bench) -> Result<()> {
    const LOGS: usize = 200;
    let mut size = 0;
    at_every_call(&*bench.faults, async |cut| {
        let three = entries::<3>("acme");
        bench.put(&three).await?;
        size += 3;
        let (ids, seen) = (ids(&three), Vec::from_iter((0..LOGS).map(|log| head(&format!("tenant-{log}"), 0, size))));
        let settled = cut.during(bench.outbox().settle("acme", &ids, &seen)).await;
        let left = bench.waiting_of("acme").await?.len();
        let kept = bench.outbox().seen().await?.iter().filter(|head| head.size == size).count();
        ensure!(kept == LOGS || left == 3, "{left} entries left and {kept} heads kept");
        ensure!((kept, left) == (LOGS, 0) || settled.is_err());
        bench.outbox().settle("acme", &ids, &seen).await?;
        let all = bench.outbox().seen().await?;
        ensure!(all.len() == LOGS && all.iter().all(|head| head.size == size), "{all:?}");
        ensure!(bench.outbox().totals().await? == (0, 0));
        Ok(())
    })
    .await
}

/// What was seen of a log is never less than before: fewer records only after one more restore.
pub async fn heads_never_go_back(bench: Bench) -> Result<()> {
    let steps = [(head("acme", 0, 5), 5), (head("acme", 0, 4), 5), (head("acme", 1, 2), 2), (head("acme", 0, 9), 2)];
    for (seen, size) in steps {
        bench.outbox().settle("", &[], std::slice::from_ref(&seen)).await?;
        let kept = bench.outbox().seen().await?;
        ensure!(kept.iter().map(|head| head.size).eq([size]), "{kept:?} after {seen:?}");
    }
    // Also within one settlement, and each log for itself.
    let several = [head("zed", 0, 8), head("zed", 0, 3), head("", 0, 1)];
    bench.outbox().settle("", &[], &several).await?;
    let mut sizes: Vec<_> =
        bench.outbox().seen().await?.into_iter().map(|head| (head.tenant, head.restores, head.size)).collect();
    sizes.sort();
    ensure!(sizes == [(String::new(), 0, 1), ("acme".to_owned(), 1, 2), ("zed".to_owned(), 0, 8)], "{sizes:?}");
    Ok(())
}

/// However many processes saw it, in whatever order they say so.
pub async fn heads_that_race_leave_the_newest(bench: Bench) -> Result<()> {
    let racers: Vec<_> = (0..20_usize)
        .map(|number| {
            let outbox = bench.outbox_of(number);
            // Sizes in no order, the largest among the first.
            let seen = head("acme", 0, i64::try_from((number * 7 + 13) % 20 + 1).unwrap_or(0));
            tokio::spawn(async move { outbox.settle("acme", &[], &[seen]).await })
        })
        .collect();
    for racer in racers {
        racer.await??;
    }
    ensure!(bench.outbox().seen().await? == [head("acme", 0, 20)]);
    Ok(())
}

/// Reading page after page and settling each, beside a writer, misses no entry and gets none again.
pub async fn whoever_delivers_while_entries_come_in_delivers_each_once(bench: Bench) -> Result<()> {
    let carrier = Arc::clone(&bench.carriers[1]);
    let writer = tokio::spawn(async move {
        for _ in 0..30 {
            carrier.change(entries::<3>("acme").to_vec()).await?;
        }
        anyhow::Ok(())
    });
    let mut delivered = Vec::new();
    loop {
        let is_over = writer.is_finished();
        let page = ids(&bench.outbox().pending("acme", 7).await?);
        ensure!(page.len() <= 7);
        if page.is_empty() && is_over {
            break;
        }
        bench.outbox().settle("acme", &page, &[]).await?;
        delivered.extend(page);
        tokio::task::yield_now().await;
    }
    writer.await??;
    ensure!(delivered.len() == 90 && delivered.iter().collect::<BTreeSet<_>>().len() == 90, "{}", delivered.len());
    Ok(())
}

/// It is kept apart with the reason, and still counts against its tenant.
pub async fn an_entry_set_aside_leaves_the_queue_and_is_counted(bench: Bench) -> Result<()> {
    let (acme, zed) = (entries::<2>("acme"), entries::<1>("zed"));
    bench.put(&acme).await?;
    bench.put(&zed).await?;
    for _ in 0..2 {
        bench.outbox().set_aside(&aside(&acme[0])).await?;
        ensure!(bench.waiting_of("acme").await? == acme[1..] && bench.waiting_of("zed").await? == zed);
        ensure!(bench.outbox().aside().await? == [aside(&acme[0])]);
        ensure!(bench.outbox().count("acme").await? == 2 && bench.outbox().totals().await? == (2, 1));
    }
    bench.outbox().settle("acme", &ids(&acme), &[]).await?;
    ensure!(bench.outbox().totals().await? == (1, 1), "what is set aside stays until it is sent again");
    Ok(())
}

/// An entry waits or is set aside, never both, never neither.
pub async fn setting_aside_is_whole_or_not_done(bench: Bench) -> Result<()> {
    let one = entry("acme");
    bench.put(std::slice::from_ref(&one)).await?;
    failing_commits(&*bench.faults, bench.outbox().set_aside(&aside(&one))).await?;
    ensure!(bench.waiting_of("acme").await? == [one] && bench.outbox().aside().await?.is_empty());
    at_every_call(&*bench.faults, async |cut| {
        let one = entry("zed");
        bench.put(std::slice::from_ref(&one)).await?;
        let done = cut.during(bench.outbox().set_aside(&aside(&one))).await;
        let waits = bench.waiting_of("zed").await?.contains(&one);
        let is_aside = bench.outbox().aside().await?.contains(&aside(&one));
        ensure!(waits != is_aside && (is_aside || done.is_err()), "waits: {waits}, set aside: {is_aside}");
        bench.outbox().set_aside(&aside(&one)).await?;
        ensure!(bench.waiting_of("zed").await?.is_empty());
        Ok(())
    })
    .await
}

/// Of many who ask for it one does it; another tenant's entry is none.
pub async fn an_entry_is_sent_again_once(bench: Bench) -> Result<()> {
    let one = entry("acme");
    bench.put(std::slice::from_ref(&one)).await?;
    bench.outbox().set_aside(&aside(&one)).await?;
    ensure!(!bench.outbox().send_again("zed", &one.entry_id).await?);
    let racers: Vec<_> = (0..8)
        .map(|number: usize| {
            let (outbox, id) = (bench.outbox_of(number), one.entry_id.clone());
            tokio::spawn(async move { outbox.send_again("acme", &id).await })
        })
        .collect();
    let mut sent = 0;
    for racer in racers {
        sent += usize::from(racer.await??);
    }
    ensure!(sent == 1, "{sent} sent it again");
    ensure!(bench.waiting_of("acme").await? == [one] && bench.outbox().totals().await? == (1, 0));
    Ok(())
}

/// An entry waits or is set aside, never both, never neither.
pub async fn sending_again_is_whole_or_not_done(bench: Bench) -> Result<()> {
    let one = entry("acme");
    bench.put(std::slice::from_ref(&one)).await?;
    bench.outbox().set_aside(&aside(&one)).await?;
    failing_commits(&*bench.faults, bench.outbox().send_again("acme", &one.entry_id)).await?;
    ensure!(bench.outbox().totals().await? == (0, 1));
    at_every_call(&*bench.faults, async |cut| {
        let one = entry("zed");
        bench.put(std::slice::from_ref(&one)).await?;
        bench.outbox().set_aside(&aside(&one)).await?;
        let done = cut.during(bench.outbox().send_again("zed", &one.entry_id)).await;
        let waits = bench.waiting_of("zed").await?.contains(&one);
        let is_aside = bench.outbox().aside().await?.contains(&aside(&one));
        ensure!(waits != is_aside && (waits || done.is_err()), "waits: {waits}, set aside: {is_aside}");
        ensure!(bench.outbox().send_again("zed", &one.entry_id).await? == is_aside);
        Ok(())
    })
    .await
}
