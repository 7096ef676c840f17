//! Handing over: in portions, tenant by tenant, past what is stuck, and never without a trace.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use prost::Message as _;

use super::drain::{Drain, portions};
use super::*;
use crate::error::{Error, Result};
use crate::lifecycle::Shutdown;
use crate::mesh::Service;
use crate::reason::ErrorReason;

/// A log that refuses as the audit service does, and answers with how far it is.
#[derive(Default)]
struct Log {
    taken: Mutex<Vec<Entry>>,
    requests: Mutex<Vec<usize>>,
    untrusted: Mutex<Vec<&'static str>>,
    seen: Seen,
}

impl Log {
    fn taken(&self, tenant: &str) -> Vec<String> {
        let taken = self.taken.lock().unwrap();
        taken.iter().filter(|entry| entry.tenant == tenant).map(|entry| entry.entry_id.clone()).collect()
    }
}

#[async_trait]
impl Recorder for Log {
    async fn record_all(&self, entries: Vec<Entry>) -> Result<()> {
        self.append(entries).await
    }

    async fn append(&self, entries: Vec<Entry>) -> Result<()> {
        self.requests.lock().unwrap().push(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            if self.untrusted.lock().unwrap().contains(&entry.tenant.as_str()) {
                return Err(Error::new(ErrorReason::AuditLogUntrusted, "damaged"));
            }
            match entry.action.as_str() {
                "bad" => return Err(Error::invalid(format!("/entries/{at}/action"), "must be noun.verb")),
                "unclear" => return Err(Error::internal(anyhow::anyhow!("a bug"))),
                "away" => return Err(Error::new(ErrorReason::AuditUnavailable, "full")),
                _ => {}
            }
        }
        let mut taken = self.taken.lock().unwrap();
        let tenants: Vec<String> = entries.iter().map(|entry| entry.tenant.clone()).collect();
        taken.extend(entries);
        let size = |tenant: &str| taken.iter().filter(|entry| entry.tenant == tenant).count();
        let heads: Vec<LogHead> = tenants
            .iter()
            .map(|tenant| LogHead {
                tenant: tenant.clone(),
                size: i64::try_from(size(tenant)).unwrap(),
                ..LogHead::default()
            })
            .collect();
        self.seen.learn(&heads);
        Ok(())
    }

    async fn compare(&self, seen: Vec<LogHead>) -> Result<Vec<UntrustedLog>> {
        let untrusted = self.untrusted.lock().unwrap();
        let asked = seen.into_iter().filter(|head| untrusted.contains(&head.tenant.as_str()));
        Ok(asked.map(|head| UntrustedLog { tenant: head.tenant, why: "older".into() }).collect())
    }

    fn seen(&self) -> Option<&Seen> {
        Some(&self.seen)
    }
}

fn entry(tenant: &str, number: usize, action: &str) -> Entry {
    Entry { entry_id: format!("rec_{number:06}"), tenant: tenant.into(), action: action.into(), ..Entry::default() }
}

fn drain_of(store: &Arc<MemoryOutbox>, log: &Arc<Log>) -> (Drain, Outbox) {
    let outbox = Outbox::new(store.clone());
    (Drain::new(Service::Executor, outbox.clone(), log.clone()), outbox)
}

#[tokio::test]
async fn a_log_that_takes_nothing_does_not_hold_up_another_however_much_waits_for_it() {
    let mut entries: Vec<Entry> = (0..1000).map(|n| entry("acme", n, "stuck.here")).collect();
    entries.extend((1000..1300).map(|n| entry("umbrella", n, "job.submit")));
    let (store, log) = (MemoryOutbox::holding(entries), Arc::new(Log::default()));
    log.untrusted.lock().unwrap().push("acme");
    let (mut drain, outbox) = drain_of(&store, &log);
    drain.round().await.unwrap();
    assert_eq!(log.taken("umbrella").len(), 300);
    assert!(log.taken.lock().unwrap().is_sorted_by_key(|entry| entry.entry_id.clone()));
    assert_eq!(store.count("acme").await.unwrap(), 1000);
    assert_eq!(log.requests.lock().unwrap().len(), 3, "the log was not asked again and again");

    drain.compare().await;
    let refused = outbox.check_room("acme").await.unwrap_err();
    assert_eq!(refused.reason(), ErrorReason::AuditLogUntrusted);
    outbox.check_room("umbrella").await.unwrap();
    assert!(outbox.note().unwrap().contains("acme"), "{:?}", outbox.note());
}

/// A log into whose first tenant as much goes as is taken out of its queue.
struct Busy {
    log: Log,
    store: Arc<MemoryOutbox>,
    requests: std::sync::atomic::AtomicUsize,
}

#[async_trait]
impl Recorder for Busy {
    async fn record_all(&self, entries: Vec<Entry>) -> Result<()> {
        let count = self.requests.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        assert!(count < 100, "it goes on with one tenant");
        if entries.iter().any(|entry| entry.tenant == "acme") {
            self.store.put(entry("acme", 1000 + count, "job.submit"));
        }
        self.log.append(entries).await
    }
}

#[tokio::test]
async fn a_tenant_whose_queue_never_is_empty_does_not_hold_up_another() {
    let store = MemoryOutbox::holding(vec![entry("acme", 1, "job.submit"), entry("umbrella", 2, "job.submit")]);
    let busy = Arc::new(Busy { log: Log::default(), store: store.clone(), requests: 0.into() });
    let mut drain = Drain::new(Service::Executor, Outbox::new(store.clone()), busy.clone());
    assert!(drain.round().await.unwrap(), "there is more to do");
    assert_eq!(busy.log.taken("umbrella").len(), 1);
    assert_eq!(store.count("acme").await.unwrap(), 1);
}

#[tokio::test]
async fn all_that_waits_is_handed_over_in_some_rounds() {
    let store = MemoryOutbox::holding((0..5000).map(|n| entry("acme", n, "job.submit")).collect());
    let log = Arc::new(Log::default());
    let (mut drain, _) = drain_of(&store, &log);
    while drain.round().await.unwrap() {}
    assert_eq!(log.taken("acme").len(), 5000);
}

#[tokio::test]
async fn a_refused_entry_is_set_aside_alone_and_all_others_are_recorded() {
    let action = |n| if n == 77 || n == 140 { "bad" } else { "job.submit" };
    let entries: Vec<Entry> = (0..200).map(|n| entry("acme", n, action(n))).collect();
    let (store, log) = (MemoryOutbox::holding(entries.clone()), Arc::new(Log::default()));
    let (mut drain, outbox) = drain_of(&store, &log);
    drain.round().await.unwrap();
    let innocent: Vec<String> =
        entries.iter().filter(|entry| entry.action != "bad").map(|entry| entry.entry_id.clone()).collect();
    assert_eq!(log.taken("acme"), innocent, "in order");
    let requests = log.requests.lock().unwrap().len();
    assert!(requests < 40, "{requests} requests");

    let aside = store.aside().await.unwrap();
    let ids: Vec<&str> = aside.iter().map(|aside| aside.entry.as_ref().unwrap().entry_id.as_str()).collect();
    assert_eq!(ids, ["rec_000077", "rec_000140"]);
    assert!(aside[0].why.contains("must be noun.verb"), "{}", aside[0].why);
    assert_eq!(outbox.note().as_deref(), Some("2 entries set aside"));
    assert_eq!(store.totals().await.unwrap(), (0, 2));

    // Sent again, it is refused again and set aside again; never lost.
    assert!(store.send_again("acme", "rec_000077").await.unwrap());
    assert!(!store.send_again("acme", "rec_000077").await.unwrap());
    drain.round().await.unwrap();
    assert_eq!(store.totals().await.unwrap(), (0, 2));
}

#[tokio::test]
async fn what_is_set_aside_counts_against_its_tenants_room_and_no_other() {
    let entries: Vec<Entry> = (0..MAX_PENDING).map(|n| entry("acme", n, "job.submit")).collect();
    let store = MemoryOutbox::holding(entries);
    let aside = store.pending("acme", 1).await.unwrap().remove(0);
    store.set_aside(&SetAside::new(aside, "bad".into(), crate::clock::Moment::from_micros(1))).await.unwrap();
    let outbox = Outbox::undrained(store);
    assert_eq!(outbox.check_room("acme").await.unwrap_err().reason(), ErrorReason::AuditUnavailable);
    outbox.check_room("umbrella").await.unwrap();
    outbox.check_room("").await.unwrap();
}

#[tokio::test]
async fn an_entry_that_breaks_the_log_is_passed_over_and_tried_again() {
    let action = |n| if n == 3 { "unclear" } else { "job.submit" };
    let store = MemoryOutbox::holding((0..50).map(|n| entry("acme", n, action(n))).collect());
    let log = Arc::new(Log::default());
    let (mut drain, _) = drain_of(&store, &log);
    drain.round().await.unwrap();
    assert_eq!(log.taken("acme").len(), 49);
    assert_eq!(store.totals().await.unwrap(), (1, 0), "it waits; nobody knows that it is at fault");
}

#[tokio::test]
async fn while_the_log_is_away_only_some_are_tried_and_the_others_come_next() {
    let store = MemoryOutbox::holding((0..9).map(|n| entry(&format!("t{n}"), n, "away")).collect());
    let log = Arc::new(Log::default());
    let (mut drain, outbox) = drain_of(&store, &log);
    drain.round().await.unwrap();
    assert_eq!(log.requests.lock().unwrap().len(), 3);
    store.put(entry("t8", 100, "away"));
    drain.round().await.unwrap();
    assert_eq!(log.requests.lock().unwrap().len(), 6, "those that were tried are left alone for a while");
    assert!(outbox.untrusted().is_empty(), "a log that is away may be sound");
}

#[tokio::test]
async fn how_far_the_logs_were_is_kept_with_what_was_handed_over_and_read_back() {
    let store = MemoryOutbox::holding((0..5).map(|n| entry("acme", n, "job.submit")).collect());
    let log = Arc::new(Log::default());
    let (mut drain, _) = drain_of(&store, &log);
    drain.load().await.unwrap();
    drain.round().await.unwrap();
    let sizes = |heads: Vec<LogHead>| -> BTreeMap<String, i64> {
        heads.into_iter().map(|head| (head.tenant, head.size)).collect()
    };
    assert_eq!(sizes(store.seen().await.unwrap()), BTreeMap::from([("acme".to_owned(), 5)]));
    // Appended without the outbox: kept by the next round.
    log.append(vec![entry("umbrella", 9, "secret.read")]).await.unwrap();
    drain.round().await.unwrap();
    assert_eq!(sizes(store.seen().await.unwrap()).get("umbrella"), Some(&1));

    let later = Arc::new(Log::default());
    let (drain, _) = drain_of(&store, &later);
    drain.load().await.unwrap();
    assert_eq!(sizes(later.seen.all()).len(), 2);
}

#[tokio::test]
async fn work_waits_for_the_first_comparison_and_is_refused_if_a_log_is_older_than_seen() {
    let (store, log) = (MemoryOutbox::holding(Vec::new()), Arc::new(Log::default()));
    let head = LogHead { tenant: "acme".into(), size: 9, ..LogHead::default() };
    store.settle("acme", &[], &[head]).await.unwrap();
    log.untrusted.lock().unwrap().push("acme");
    let (mut drain, outbox) = drain_of(&store, &log);
    drain.load().await.unwrap();
    let asked = outbox.check_room("acme");
    let (refused, ()) = tokio::join!(asked, drain.compare());
    assert_eq!(refused.unwrap_err().reason(), ErrorReason::AuditLogUntrusted);
    outbox.check_room("umbrella").await.unwrap();
}

#[tokio::test]
async fn what_waits_is_handed_over_on_shutdown() {
    let (store, memory) = (MemoryOutbox::holding(Vec::new()), MemoryRecorder::new());
    memory.set_down(true);
    let (outbox, shutdown) = (Outbox::new(store.clone()), Shutdown::new());
    let draining = tokio::spawn(drain(Service::Executor, outbox.clone(), memory.clone(), shutdown.clone()));
    store.put(entry("acme", 1, "job.submit"));
    outbox.ring();
    memory.set_down(false);
    shutdown.begin();
    draining.await.unwrap();
    assert_eq!(memory.entries().len(), 1);
}

#[test]
fn a_batch_is_cut_by_size_and_nothing_is_lost() {
    const PORTION: usize = 2 * 1024 * 1024;
    let large = |n, size| Entry { details_json: "x".repeat(size), ..entry("acme", n, "job.submit") };
    let entries: Vec<Entry> = (0..10).map(|n| large(n, PORTION / 3)).collect();
    let cut = portions(entries.clone());
    assert!(cut.iter().all(|portion| portion.iter().map(Entry::encoded_len).sum::<usize>() <= PORTION));
    assert_eq!(cut.concat(), entries);
    assert_eq!(portions(vec![large(1, PORTION * 2)]).len(), 1);
    assert!(portions(Vec::new()).is_empty());
}
