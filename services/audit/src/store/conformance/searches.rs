//! Looking for records.

use std::sync::Arc;

use anyhow::{Result, ensure};

use super::{ALL, Bench, at, batch, found, indexes, more, numbered};
use crate::record::{Actor, Entry};
use crate::store::{ActionFilter, Filter, Page};

/// Nothing in a filter is a pattern, whatever a database takes for one; case matters.
pub(crate) async fn a_search_takes_every_name_literally(bench: Bench) -> Result<()> {
    let names = ["a%", "a_", "ab", "A%", "ä€𝄞", "'; --", "a%b"];
    let entries = (0..).zip(names).map(|(index, name)| Entry {
        actor: Actor { principal: name.to_owned(), client_id: format!("client {name}"), ..numbered(0).actor },
        object_id: name.to_owned(),
        action: format!("{name}.do"),
        ..numbered(index)
    });
    bench.store().append(&[batch("acme", 0, entries)?]).await?;
    for (index, name) in (0..).zip(names) {
        let filters = [
            Filter { job: Some(name.to_owned()), ..Filter::default() },
            Filter { principal: Some(name.to_owned()), ..Filter::default() },
            Filter { principal: Some(format!("client {name}")), ..Filter::default() },
            Filter { action: Some(ActionFilter::Is(format!("{name}.do"))), ..Filter::default() },
            Filter { action: Some(ActionFilter::Noun(name.to_owned())), ..Filter::default() },
        ];
        for filter in filters {
            ensure!(found(bench.store(), &filter).await? == [index], "{filter:?}");
        }
    }
    Ok(())
}

/// Lists are by place, newest first; times are only asked for, `after` included and `before` not.
pub(crate) async fn times_that_go_back_leave_the_order_of_the_log(bench: Bench) -> Result<()> {
    let times = [10, 5000, 3, -100_000, 10, 11];
    let entries = (0..).zip(times).map(|(index, second)| Entry { occurred_at: at(second), ..numbered(index) });
    bench.store().append(&[batch("acme", 0, entries)?]).await?;
    ensure!(found(bench.store(), &Filter::default()).await? == [5, 4, 3, 2, 1, 0]);
    let within =
        |after: i64, before: i64| Filter { after: Some(at(after)), before: Some(at(before)), ..Filter::default() };
    for (after, before, want) in [
        (3, 11, &[4, 2, 0][..]),
        (10, 12, &[5, 4, 0]),
        (-200_000, 0, &[3]),
        (11, 9000, &[5, 1]),
        (11, 11, &[]),
        (20, 3, &[]),
    ] {
        ensure!(found(bench.store(), &within(after, before)).await? == want, "from {after} to {before}");
    }
    Ok(())
}

/// Whoever goes on below the last index sees each record that was there at the beginning once, and none that came later.
pub(crate) async fn pages_follow_one_another_while_the_log_grows(bench: Bench) -> Result<()> {
    bench.store().append(&[more("acme", 0, 60)?]).await?;
    let store = Arc::clone(&bench.stores[1]);
    let mut seen = indexes(&bench.store().list("acme", &Filter::default(), Page { limit: 7, ..ALL }).await?.lines)?;
    let writer = tokio::spawn(async move {
        for round in 0..20 {
            store.append(&[more("acme", 60 + round * 3, 3)?]).await?;
        }
        anyhow::Ok(())
    });
    loop {
        let page = Page { below: seen.last().copied(), limit: 7, ..ALL };
        let lines = bench.store().list("acme", &Filter::default(), page).await?.lines;
        ensure!(lines.len() <= 7);
        if lines.is_empty() {
            break;
        }
        seen.extend(indexes(&lines)?);
        tokio::task::yield_now().await;
    }
    writer.await??;
    ensure!(seen == (0..60).rev().collect::<Vec<_>>(), "{seen:?}");
    Ok(())
}

/// With what it found until then, also when that is nothing; and comes to an end.
pub(crate) async fn a_search_that_stops_early_goes_on_where_it_stopped(bench: Bench) -> Result<()> {
    let entries = (0..50).map(|index| {
        let outcome = if index % 17 == 0 { at(9) } else { at(0) };
        Entry { occurred_at: outcome, ..numbered(index) }
    });
    bench.store().append(&[batch("acme", 0, entries)?]).await?;
    let filter = Filter { after: Some(at(9)), ..Filter::default() };
    for look in [1, 4, 50, 51] {
        let (mut below, mut seen) = (None, Vec::new());
        for step in 0.. {
            ensure!(step <= 51, "it comes to no end");
            let found = bench.store().list("acme", &filter, Page { below, limit: 50, look }).await?;
            seen.extend(indexes(&found.lines)?);
            let Some(stopped) = found.stopped_at else { break };
            ensure!(below.is_none_or(|below| stopped < below), "it stands still");
            below = Some(stopped);
        }
        ensure!(seen == [34, 17, 0], "looking at {look}: {seen:?}");
    }
    Ok(())
}

/// More than an engine takes at once.
pub(crate) async fn any_number_of_entries_is_found_and_nothing_else(bench: Bench) -> Result<()> {
    bench.store().append(&[more("acme", 0, 100)?, more("zed", 0, 3)?]).await?;
    let ids: Vec<String> = (0..3000).map(|index| format!("rec_{index}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).chain(["rec_1", "rec_%", ""]).collect();
    let found = bench.store().find("acme", &ids).await?;
    ensure!(found.len() == 100 && found.iter().all(|(id, line)| line.contains(&format!("\"{id}\""))));
    ensure!(bench.store().find("zed", &ids).await?.len() == 3);
    Ok(())
}
