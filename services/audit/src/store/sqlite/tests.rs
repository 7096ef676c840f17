//! What the filters find, with records around them that they must not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqlitePool};

use crate::log::SearchLimits;
use crate::log::examples::Running;
use crate::record::{Details, Entry, Record, Timestamp, examples};
use crate::store::{ActionFilter, Filter, LogStore as _, Page, Tail};

async fn filled() -> Running {
    let log = Running::new().await;
    let mut entries = Vec::new();
    for id in 0..60_u64 {
        let mut entry = examples::entry(&format!("rec_{id}"));
        entry.occurred_at = Timestamp::from_micros(i64::try_from(id).unwrap() * 1_000_000).unwrap();
        entry.object_id = format!("job_{}", id % 3);
        entry.actor.principal = format!("sa_{}", id % 2);
        entry.actor.client_id = format!("client_{}", id % 5);
        entry.action =
            ["job.submit", "job.launch", "jobs.list", "secret.read"][usize::try_from(id % 4).unwrap()].to_owned();
        if entry.action == "secret.read" {
            entry.object_type = "secret".to_owned();
            entry.details = Details::parse(&format!(r#"{{"job":"job_{}"}}"#, id % 3)).unwrap();
        }
        for tenant in ["acme", "umbrella"] {
            entries.push((tenant.to_owned(), entry.clone()));
        }
    }
    log.journal.append(entries).await.unwrap();
    log
}

async fn found(log: &Running, filter: &Filter) -> Vec<Entry> {
    let found = log.store.list("acme", filter, Page { below: None, limit: 1000, look: 1000 }).await.unwrap();
    assert_eq!(found.stopped_at, None);
    let lines = found.lines;
    let records: Vec<Record> = lines.iter().map(|line| Record::from_line(line).unwrap()).collect();
    assert!(records.iter().all(|record| record.tenant == "acme"));
    assert!(records.is_sorted_by(|newer, older| newer.index > older.index));
    records.into_iter().map(|record| record.entry).collect()
}

#[tokio::test]
async fn filters_find_all_that_fits_and_nothing_else() {
    let log = filled().await;
    assert_eq!(found(&log, &Filter::default()).await.len(), 60);

    let job = found(&log, &Filter { job: Some("job_1".to_owned()), ..Filter::default() }).await;
    assert_eq!(job.len(), 20);
    assert!(job.iter().all(|entry| entry.job() == Some("job_1")));
    assert!(job.iter().any(|entry| entry.object_type == "secret"), "also what only names the job");

    let by = |principal: &str| Filter { principal: Some(principal.to_owned()), ..Filter::default() };
    assert_eq!(found(&log, &by("sa_1")).await.len(), 30);
    assert_eq!(found(&log, &by("client_4")).await.len(), 12);
    assert_eq!(found(&log, &by("sa_")).await.len(), 0);

    let action = |action| Filter { action: Some(action), ..Filter::default() };
    assert_eq!(found(&log, &action(ActionFilter::Is("job.launch".to_owned()))).await.len(), 15);
    let noun = found(&log, &action(ActionFilter::Noun("job".to_owned()))).await;
    assert_eq!(noun.len(), 30, "jobs.list is of another noun");

    let at = |seconds: i64| Some(Timestamp::from_micros(seconds * 1_000_000).unwrap());
    assert_eq!(found(&log, &Filter { after: at(10), before: at(20), ..Filter::default() }).await.len(), 10);

    let all = Filter {
        job: Some("job_0".to_owned()),
        principal: Some("sa_0".to_owned()),
        action: Some(ActionFilter::Is("job.submit".to_owned())),
        after: at(1),
        before: at(60),
    };
    let ids: Vec<String> = found(&log, &all).await.into_iter().map(|entry| entry.entry_id).collect();
    assert_eq!(ids, ["rec_48", "rec_36", "rec_24", "rec_12"]);
}

#[tokio::test]
async fn pages_follow_one_another_without_gap_or_overlap() {
    let log = filled().await;
    let filter = Filter { principal: Some("sa_1".to_owned()), ..Filter::default() };
    let (mut below, mut indexes) = (None, Vec::new());
    loop {
        let lines = log.store.list("acme", &filter, Page { below, limit: 7, look: 1000 }).await.unwrap().lines;
        let Some(last) = lines.last() else { break };
        below = Some(Record::from_line(last).unwrap().index);
        indexes.extend(lines.iter().map(|line| Record::from_line(line).unwrap().index));
    }
    assert_eq!(indexes, (0..60).rev().filter(|index| index % 2 == 1).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_search_that_stops_early_says_where_and_goes_on_from_there() {
    let log = filled().await;
    let filters = [
        Filter::default(),
        Filter { job: Some("job_1".to_owned()), ..Filter::default() },
        Filter { principal: Some("sa_1".to_owned()), ..Filter::default() },
        Filter { principal: Some("client_4".to_owned()), ..Filter::default() },
        Filter { action: Some(ActionFilter::Is("job.launch".to_owned())), ..Filter::default() },
        Filter { action: Some(ActionFilter::Noun("job".to_owned())), ..Filter::default() },
        Filter { before: Some(Timestamp::from_micros(20_000_000).unwrap()), ..Filter::default() },
    ];
    for filter in filters {
        let all = found(&log, &filter).await.len();
        for look in [1, 7, 30] {
            let (mut below, mut indexes) = (None, Vec::new());
            loop {
                let page = Page { below, limit: 60, look };
                let found = log.store.list("acme", &filter, page).await.unwrap();
                indexes.extend(found.lines.iter().map(|line| Record::from_line(line).unwrap().index));
                if found.stopped_at.is_none() {
                    break;
                }
                assert!(below.is_none_or(|below| found.stopped_at < Some(below)));
                below = found.stopped_at;
            }
            assert_eq!(indexes.len(), all, "{filter:?} {look}");
            assert!(indexes.is_sorted_by(|newer, older| newer > older));
        }
    }
}

#[tokio::test]
async fn a_search_costs_no_more_in_a_long_log() {
    let log = Running::new().await;
    let never = Some(Timestamp::from_micros(0).unwrap());
    let of_one = crate::log::examples::entries("acme", 0..1).remove(0).1;
    let filters = [
        Filter { before: never, ..Filter::default() },
        Filter { action: Some(ActionFilter::Noun("nothing".to_owned())), ..Filter::default() },
        Filter { action: Some(ActionFilter::Is(of_one.action.clone())), before: never, ..Filter::default() },
        Filter { principal: Some(of_one.actor.principal.clone()), before: never, ..Filter::default() },
        Filter { job: of_one.job().map(str::to_owned), before: never, ..Filter::default() },
    ];
    assert!(filters[4].job.is_some());
    let mut costs = Vec::new();
    for size in [200_u64, 4000] {
        let have = log.store.tail("acme").await.unwrap().records;
        log.append("acme", have..size).await;
        for filter in &filters {
            costs.push(steps(&log, log.store.list("acme", filter, Page { below: None, limit: 50, look: 100 })).await);
        }
    }
    let (short, long) = costs.split_at(filters.len());
    // What no record's time fits is found out without looking at records: cheaper than a page, and a look for each block.
    let page = short[1];
    assert!(short.iter().zip(long).all(|(short, long)| *short > 0 && *long < page.max(*short) * 3 / 2), "{costs:?}");
    assert!(costs[filters.len()] < page / 2, "{costs:?}");
}

#[tokio::test]
async fn a_search_by_time_goes_straight_to_that_time() {
    let log = Running::new().await;
    let at = |second: u64| Timestamp::from_micros(i64::try_from(second).unwrap() * 1_000_000).unwrap();
    let mut entries = crate::log::examples::entries("acme", 0..6000);
    for (second, (_, entry)) in (0..).zip(&mut entries) {
        // Nearly in order: services hand over what happened when they can.
        entry.occurred_at = at(second ^ 7);
    }
    log.journal.append(entries).await.unwrap();
    let reader = log.reader().within(SearchLimits { at_once: 1100, statements: 1 });
    let search = async |after: Option<u64>, before: Option<u64>, below| {
        let filter = Filter { after: after.map(at), before: before.map(at), ..Filter::default() };
        let page = reader.list("acme", &filter, below, 50).await.unwrap();
        (page.records.iter().map(|(record, _)| record.index).collect::<Vec<u64>>(), page.next_below)
    };
    let (first, next) = search(None, Some(100), None).await;
    assert_eq!(first.len(), 50);
    assert!(first.iter().all(|index| index ^ 7 < 100 && *index >= 48), "{first:?}");
    let (rest, end) = search(None, Some(100), next).await;
    assert_eq!((first.len() + rest.len(), end), (100, None));
    assert_eq!(search(Some(2000), Some(2010), None).await.0.len(), 10);
    // The end of what fits is the end of the search.
    assert_eq!(search(Some(5990), None, None).await.0.len(), 10);
    assert_eq!(search(Some(9000), None, None).await, (Vec::new(), None));
    assert_eq!(search(Some(5000), Some(5000), None).await, (Vec::new(), None));
}

#[tokio::test]
async fn an_append_waits_for_no_reader() {
    let log = filled().await;
    let _busy = all_connections(&log.store.database.read).await;
    log.append("umbrella", 60..61).await;
    // Not known to the writer yet: it reads the end of the log, too.
    log.append("new", 0..1).await;
}

async fn all_connections(pool: &SqlitePool) -> Vec<PoolConnection<Sqlite>> {
    let mut all = Vec::new();
    for _ in 0..pool.options().get_max_connections() {
        all.push(pool.acquire().await.unwrap());
    }
    all
}

/// How many steps SQLite's machine takes for something, on whichever connection.
async fn steps<T>(log: &Running, what: impl Future<Output = T>) -> usize {
    let taken = Arc::new(AtomicUsize::new(0));
    let mut connections = all_connections(&log.store.database.read).await;
    connections.extend(all_connections(&log.store.database.write).await);
    for connection in &mut connections {
        let counted = Arc::clone(&taken);
        connection.lock_handle().await.unwrap().set_progress_handler(1, move || {
            counted.fetch_add(1, Ordering::SeqCst);
            true
        });
    }
    drop(connections);
    what.await;
    taken.load(Ordering::SeqCst)
}

#[tokio::test]
async fn a_tenants_first_record_costs_the_same_however_many_records_others_have() {
    let log = Running::new().await;
    let mut costs = Vec::new();
    for size in [10_u64, 4000] {
        for tenant in ["acme", "umbrella"] {
            let have = log.store.tail(tenant).await.unwrap().records;
            log.append(tenant, have..size).await;
        }
        let first = format!("new-{size}");
        let append = log.journal.append(crate::log::examples::entries(&first, 0..1));
        costs.push((steps(&log, append).await, steps(&log, log.store.tenants()).await));
        assert_eq!(log.store.tail(&first).await.unwrap().records, 1);
    }
    let [(first, tenants), (later_first, later_tenants)] = costs[..] else { panic!("{costs:?}") };
    assert!(first > 0 && later_first < 2 * first, "{costs:?}");
    // One tenant more each time.
    assert!(tenants > 0 && later_tenants < 2 * tenants, "{costs:?}");
}

#[tokio::test]
async fn what_is_not_there_is_empty() {
    let log = filled().await;
    assert_eq!(log.store.tail("nobody").await.unwrap(), Tail::default());
    assert!(log.store.lines("acme", 60..70).await.unwrap().is_empty());
    assert!(log.store.find("nobody", &["rec_1"]).await.unwrap().is_empty());
    assert!(log.store.find("acme", &[]).await.unwrap().is_empty());
    assert_eq!(log.store.tenants().await.unwrap().len(), 2);
}
