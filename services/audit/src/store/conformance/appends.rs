//! Adding to logs, and what is there afterwards.

use std::sync::Arc;

use anyhow::{Result, ensure};
use runwarden_engines::StoreError;
use runwarden_engines::conformance::{at_every_call, failing_commits};

use super::{Bench, at, batch, more, numbered};
use crate::merkle::{Tile, TileId};
use crate::record::Entry;
use crate::store::{Batch, Filter, Tail};

/// Byte for byte, in every language, and long.
pub(crate) async fn a_batch_is_read_as_it_was_appended(bench: Bench) -> Result<()> {
    let text = "ä€𝄞\r\n'\"%_\\".repeat(20_000);
    let entries = vec![numbered(0), Entry { object_id: text, entry_id: "rec_ä'%".to_owned(), ..numbered(1) }];
    let acme = batch("acme", 0, entries)?;
    let platform = more("_platform", 0, 2)?;
    bench.store().append(&[acme.clone(), platform.clone()]).await?;
    for batch in [&acme, &platform] {
        let lines: Vec<&String> = batch.records.iter().map(|sealed| &sealed.line).collect();
        ensure!(bench.stores[1].lines(&batch.tenant, 0..2).await?.iter().eq(lines.clone()));
        ensure!(bench.store().lines(&batch.tenant, 1..2).await?.iter().eq(lines[1..].iter().copied()));
        ensure!(bench.store().lines(&batch.tenant, 1..1).await?.is_empty());
        let tail = Tail { records: 2, checkpoint: Some((2, batch.checkpoint.clone())) };
        ensure!(bench.store().tail(&batch.tenant).await? == tail);
        let (id, tile) = &batch.tiles[0];
        let other = TileId { level: 1, index: 0 };
        let tiles = bench.store().tiles(&batch.tenant, &[*id, other]).await?;
        ensure!(tiles.get(*id).is_some_and(|kept| kept.to_bytes() == tile.to_bytes()) && tiles.get(other).is_none());
    }
    ensure!(bench.store().tenants().await?.iter().eq(["_platform", "acme"]));
    let found = bench.store().find("acme", &["rec_ä'%", "rec_ä_%", "rec_0"]).await?;
    ensure!(found.len() == 2 && found.get("rec_ä'%") == Some(&acme.records[1].line));
    Ok(())
}

/// For a tenant without a log, and for one whose name only resembles another's.
pub(crate) async fn what_is_not_there_is_empty(bench: Bench) -> Result<()> {
    ensure!(bench.store().tenants().await?.is_empty());
    bench.store().append(&[more("acme", 0, 3)?]).await?;
    for tenant in ["acm", "acme2", "ACME", "%", ""] {
        ensure!(bench.is_so_long(tenant, 0).await? && !bench.store().has_tiles(tenant).await?, "{tenant}");
        ensure!(bench.store().find(tenant, &["rec_1"]).await?.is_empty());
        ensure!(bench.store().list(tenant, &Filter::default(), super::ALL).await?.lines.is_empty());
    }
    ensure!(bench.store().lines("acme", 3..9).await?.is_empty() && bench.store().lines("acme", 2..9).await?.len() == 1);
    ensure!(bench.store().find("acme", &[]).await?.is_empty());
    Ok(())
}

/// A commit that fails, or one batch of several that does not fit, leaves every log as it was; then it can be done.
pub(crate) async fn an_append_that_fails_leaves_nothing_in_any_log(bench: Bench) -> Result<()> {
    let both = [more("acme", 0, 2)?, more("zed", 0, 2)?];
    failing_commits(&*bench.faults, bench.store().append(&both)).await?;
    ensure!(bench.store().tenants().await?.is_empty());
    bench.store().append(&both).await?;
    let gap = [more("acme", 2, 2)?, more("zed", 5, 1)?];
    ensure!(bench.store().append(&gap).await.is_err());
    ensure!(bench.is_so_long("acme", 2).await? && bench.is_so_long("zed", 2).await?);
    bench.store().append(&[more("acme", 2, 2)?, more("zed", 2, 1)?]).await?;
    ensure!(bench.is_so_long("acme", 4).await? && bench.is_so_long("zed", 3).await?);
    Ok(())
}

/// Wherever the connection is lost: all batches in all their parts, or nothing; all if it was said to be durable.
pub(crate) async fn an_append_that_is_cut_off_is_whole_or_not_done(bench: Bench) -> Result<()> {
    let mut size = 0;
    at_every_call(&*bench.faults, async |cut| {
        let both = [more("acme", size, 2)?, more("zed", size, 2)?];
        let done = cut.during(bench.store().append(&both)).await;
        let is_done = bench.store().tail("acme").await?.records > size;
        ensure!(is_done || done.is_err());
        size += if is_done { 2 } else { 0 };
        for tenant in ["acme", "zed"] {
            ensure!(
                bench.is_so_long(tenant, size).await?,
                "done: {is_done}, and the log of {tenant} is not {size} long"
            );
        }
        Ok(())
    })
    .await
}

/// Two that both believe to be the one writer never write over one another: the log stays without gaps.
pub(crate) async fn of_writers_that_race_for_a_place_one_gets_it(bench: Bench) -> Result<()> {
    for round in 0..5 {
        let mut racers = Vec::new();
        for number in 0..6_usize {
            let store = Arc::clone(&bench.stores[number % 2]);
            let batch = more("acme", round * 2, 2)?;
            racers.push(tokio::spawn(async move { store.append(&[batch]).await }));
        }
        let mut won = 0;
        for racer in racers {
            let outcome = racer.await?;
            ensure!(matches!(outcome, Ok(()) | Err(StoreError::Conflict(_))), "it lost in another way: {outcome:?}");
            won += usize::from(outcome.is_ok());
        }
        ensure!(won == 1, "{won} wrote to one place");
        ensure!(bench.is_so_long("acme", round * 2 + 2).await?);
    }
    Ok(())
}

/// Writers of different logs wait for one another, but none fails because of another.
pub(crate) async fn logs_that_race_do_not_meet(bench: Bench) -> Result<()> {
    let mut racers = Vec::new();
    for number in 0..6_usize {
        let store = Arc::clone(&bench.stores[number % 2]);
        racers.push(tokio::spawn(async move {
            for round in 0..5 {
                store.append(&[more(&format!("tenant-{number}"), round * 2, 2)?]).await?;
            }
            anyhow::Ok(())
        }));
    }
    for racer in racers {
        racer.await??;
    }
    for tenant in bench.store().tenants().await? {
        ensure!(bench.is_so_long(&tenant, 10).await?, "{tenant}");
    }
    ensure!(bench.store().tenants().await?.len() == 6);
    Ok(())
}

/// Records and checkpoint of one [`Tail`] belong together, however fast the log grows.
pub(crate) async fn the_end_of_a_log_is_of_one_moment(bench: Bench) -> Result<()> {
    let store = Arc::clone(&bench.stores[1]);
    let writer = tokio::spawn(async move {
        for round in 0..40 {
            store.append(&[more("acme", round * 3, 3)?]).await?;
        }
        anyhow::Ok(())
    });
    let mut last = 0;
    while !writer.is_finished() {
        let tail = bench.store().tail("acme").await?;
        ensure!(tail.checkpoint.map_or(0, |(size, _)| size) == tail.records && tail.records >= last);
        last = tail.records;
        tokio::task::yield_now().await;
    }
    writer.await??;
    ensure!(bench.is_so_long("acme", 120).await?);
    Ok(())
}

/// No record, checkpoint or tile is replaced, also not by the same; an entry is in a log once.
pub(crate) async fn what_was_sealed_never_changes(bench: Bench) -> Result<()> {
    let first = more("acme", 0, 3)?;
    bench.store().append(std::slice::from_ref(&first)).await?;
    let next = more("acme", 3, 1)?;
    let with_tile = |hashes: Vec<crate::merkle::Hash>| Batch {
        tiles: vec![(TileId { level: 0, index: 0 }, Tile::new(hashes))],
        ..next.clone()
    };
    let mut other = next.tiles[0].1.hashes().to_vec();
    other.swap(0, 1);
    let refused = [
        ("the same again", first.clone()),
        ("a place that is taken", batch("acme", 2, [Entry { entry_id: "rec_9".to_owned(), ..numbered(9) }])?),
        ("an entry that is there", batch("acme", 3, [numbered(1)])?),
        ("a gap", batch("acme", 4, [numbered(4)])?),
        ("an older checkpoint", Batch { size: 2, ..next.clone() }),
        ("the same checkpoint", Batch { size: 3, ..next.clone() }),
        ("a shorter tile", with_tile(next.tiles[0].1.hashes()[..2].to_vec())),
        ("another tile", with_tile(other)),
    ];
    let before = bench.store().lines("acme", 0..9).await?;
    for (what, batch) in refused {
        ensure!(bench.store().append(&[batch]).await.is_err(), "{what} was taken");
        ensure!(bench.is_so_long("acme", 3).await? && bench.store().lines("acme", 0..9).await? == before, "{what}");
    }
    bench.store().append(&[Batch { at: at(-9000), ..next }]).await?;
    ensure!(bench.is_so_long("acme", 4).await?, "a clock that jumped back stops nothing");
    Ok(())
}
