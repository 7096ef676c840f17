//! How much is kept, and what goes to make room.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use runwarden_kit::id;

use serde_json::json;

use super::{Bench, ROOM, arrival, asked, at, of_hook, size};
use crate::inbox::delivery::{Delivery, DeliveryState, Went};
use crate::store::{Mapped, Room, Taken};

pub(crate) async fn no_more_wait_than_there_is_room_for_however_many_race(bench: Bench) -> Result<()> {
    // The last of ten places is for a hook that has none.
    let room = Room { waiting: 10, ..ROOM };
    let racers: Vec<_> = (0..12)
        .map(|number| {
            let store = Arc::clone(&bench.stores[number % 2]);
            tokio::spawn(async move { store.take(vec![arrival(&number.to_string())], room).await })
        })
        .collect();
    let mut kept = 0;
    for racer in racers {
        match racer.await?? {
            Taken::Kept(_) => kept += 1,
            Taken::Full => {}
            Taken::Conflict(_) => bail!("no two have one id"),
        }
    }
    ensure!(kept == 9 && bench.all().await?.len() == 9, "{kept}");
    // One that is done with makes room for another.
    let mut one = bench.all().await?.remove(0);
    one.finish(DeliveryState::Submitted, at(11));
    ensure!(bench.store().advance(one, Vec::new()).await?);
    ensure!(matches!(bench.store().take(vec![arrival("a")], room).await?, Taken::Kept(_)));
    ensure!(matches!(bench.store().take(vec![arrival("b")], room).await?, Taken::Full));
    // A repeat takes no room.
    ensure!(matches!(bench.store().take(vec![arrival("a")], room).await?, Taken::Kept(_)));
    Ok(())
}

pub(crate) async fn the_oldest_go_to_make_room_but_none_that_waits_or_is_young(bench: Bench) -> Result<()> {
    let oldest = bench.done(arrival("1"), 1).await?;
    let old = bench.done(arrival("2"), 2).await?;
    let waits = bench.take(arrival("3")).await?.delivery.id;
    let young = bench.done(arrival("4"), 100).await?;
    // The last of five places is for a hook that has none.
    let room = Room { kept: 5, forget_before: at(50), ..ROOM };
    ensure!(matches!(bench.store().take(vec![arrival("5")], room).await?, Taken::Kept(_)));
    ensure!(bench.get(&oldest).await?.is_none() && bench.get(&old).await?.is_some());
    ensure!(matches!(bench.store().take(vec![arrival("6")], room).await?, Taken::Kept(_)));
    ensure!(matches!(bench.store().take(vec![arrival("7")], room).await?, Taken::Full));
    ensure!(bench.get(&waits).await?.is_some() && bench.get(&young).await?.is_some());
    // The same by size.
    let size = size(&arrival("8"));
    let tight = Room { bytes: 5 * size, kept: 100, ..room };
    ensure!(matches!(bench.store().take(vec![arrival("8")], tight).await?, Taken::Full));
    ensure!(matches!(bench.store().take(vec![arrival("8")], Room { bytes: 8 * size, ..tight }).await?, Taken::Kept(_)));
    Ok(())
}

pub(crate) async fn one_hook_leaves_room_for_the_others(bench: Bench) -> Result<()> {
    let take = async |hook: &str, room: Room| -> Result<i64> {
        let mut kept = 0;
        while let Taken::Kept(_) = bench.store().take(vec![of_hook(hook, arrival(&id::new("x")))], room).await? {
            kept += 1;
        }
        Ok(kept)
    };
    let rooms =
        [Room { kept: 16, ..ROOM }, Room { waiting: 64, ..ROOM }, Room { bytes: 120 * size(&arrival("x")), ..ROOM }];
    for (number, room) in rooms.into_iter().enumerate() {
        let flooded = take(&format!("flooded_{number}"), room).await?;
        ensure!(flooded > 5, "{room:?}: {flooded}");
        for other in 0..10 {
            ensure!(take(&format!("other_{number}_{other}"), room).await? > 0, "{room:?}: {other}");
        }
        ensure!(take(&format!("flooded_{number}"), room).await? == 0);
    }
    Ok(())
}

pub(crate) async fn a_hooks_own_deliveries_go_before_those_of_others(bench: Bench) -> Result<()> {
    let other = bench.done(of_hook("hook_2", arrival("1")), 1).await?;
    let own = bench.done(arrival("2"), 2).await?;
    let room = Room { kept: 3, forget_before: at(50), ..ROOM };
    ensure!(matches!(bench.store().take(vec![arrival("3")], room).await?, Taken::Kept(_)));
    ensure!(bench.get(&own).await?.is_none() && bench.get(&other).await?.is_some());
    // It has none to give, so the tenant's oldest goes.
    let room = Room { kept: 2, ..room };
    ensure!(matches!(bench.store().take(vec![of_hook("hook_3", arrival("4"))], room).await?, Taken::Kept(_)));
    ensure!(bench.get(&other).await?.is_none());
    // A hook that holds much does not have others make room for it.
    let other = bench.done(of_hook("hook_2", arrival("5")), 3).await?;
    ensure!(matches!(bench.store().take(vec![arrival("6")], room).await?, Taken::Full));
    ensure!(bench.get(&other).await?.is_some());
    Ok(())
}

pub(crate) async fn all_bytes_count_and_are_free_again(bench: Bench) -> Result<()> {
    // The delivery itself is larger than what it contains, and grows.
    let one = arrival("x");
    let room = Room { bytes: 2 * size(&one), forget_before: at(50), ..ROOM };
    ensure!(one.delivery.size() > one.content.size());
    for number in 0..20 {
        let given = arrival(&format!("{number:02}"));
        let Taken::Kept(mut kept) = bench.store().take(vec![given], Room { bytes: room.bytes + 2, ..room }).await?
        else {
            bail!("{number}: what was forgotten still counts");
        };
        let mut delivery = kept.pop().context("nothing was kept")?.delivery;
        ensure!(matches!(bench.store().take(vec![arrival("more")], room).await?, Taken::Full), "{number}");
        delivery.step("mapped", at(11), Went::Ok, "x".repeat(100));
        delivery.finish(DeliveryState::Submitted, at(11));
        ensure!(bench.store().advance(delivery, Vec::new()).await?);
        ensure!(bench.store().forget(at(50), 10).await? == 1);
    }
    Ok(())
}

pub(crate) async fn a_flood_of_large_parameters_leaves_room_and_waits_for_its_own(bench: Bench) -> Result<()> {
    let one = size(&arrival("x"));
    let room = Room { bytes: 64 * one, ..ROOM };
    let mut flood = Vec::new();
    while let Taken::Kept(mut kept) = bench.store().take(vec![arrival(&id::new("x"))], room).await? {
        flood.push(kept.pop().context("nothing was kept")?.delivery);
    }
    ensure!(flood.len() > 40, "{}", flood.len());
    let mapped = |delivery: &Delivery, length: i64| {
        let mut delivery = delivery.clone();
        delivery.state = DeliveryState::Mapped;
        let parameters = json!({ "after": "x".repeat(usize::try_from(length).unwrap_or_default()) });
        delivery.asked = Some(asked(parameters));
        delivery
    };
    // Small ones need no more than was reserved for them.
    for delivery in &flood {
        ensure!(bench.store().map(mapped(delivery, 1000), room).await? == Mapped::Kept);
    }
    let mut large = Vec::new();
    for delivery in &flood {
        let read = bench.get(&delivery.id).await?.context("it is gone")?;
        match bench.store().map(mapped(&read, 2 * one), room).await? {
            Mapped::Kept => large.push(delivery.id.clone()),
            Mapped::Full => break,
            Mapped::Elsewhere => bail!("nobody else works on it"),
        }
    }
    ensure!((2..10).contains(&large.len()), "{}", large.len());
    // Others have room all the same, for what arrives and for its parameters.
    let Taken::Kept(mut other) = bench.store().take(vec![of_hook("hook_2", arrival("1"))], room).await? else {
        bail!("there is no room for others");
    };
    let other = other.pop().context("nothing was kept")?.delivery;
    ensure!(bench.store().map(mapped(&other, 1000), room).await? == Mapped::Kept);
    // Who is done with its own goes on.
    let next = bench.get(&flood[large.len()].id).await?.context("it is gone")?;
    ensure!(bench.store().map(mapped(&next, 2 * one), room).await? == Mapped::Full);
    for id in &large[..2] {
        let mut done = bench.get(id).await?.context("it is gone")?;
        done.finish(DeliveryState::Submitted, at(11));
        ensure!(bench.store().advance(done, Vec::new()).await?);
    }
    ensure!(bench.store().map(mapped(&next, 2 * one), room).await? == Mapped::Kept);
    ensure!(bench.store().map(mapped(&next, 2 * one), room).await? == Mapped::Elsewhere, "it was read before that");
    Ok(())
}

pub(crate) async fn far_too_much_is_given_up_and_nobody_is_refused_for_it(bench: Bench) -> Result<()> {
    for number in 0..250 {
        bench.done(arrival(&number.to_string()), number).await?;
    }
    // Limits were lowered.
    let room = Room { kept: 20, forget_before: at(1000), ..ROOM };
    for number in 0..5 {
        let arrival = arrival(&format!("new {number}"));
        ensure!(matches!(bench.store().take(vec![arrival], room).await?, Taken::Kept(_)), "{number}");
    }
    ensure!(bench.count("hook_1").await? <= 18);
    Ok(())
}

pub(crate) async fn house_keeping_gives_up_what_is_too_much_where_most_is(bench: Bench) -> Result<()> {
    for number in 0..3 {
        bench.done(of_hook("hook_2", arrival(&number.to_string())), number).await?;
    }
    for number in 0..20 {
        bench.done(arrival(&number.to_string()), 10 + number).await?;
    }
    let room = Room { kept: 16, forget_before: at(1000), ..ROOM };
    ensure!(bench.store().tidy(room, 4).await? == 4);
    ensure!(bench.store().tidy(room, 100).await? == 5 && bench.store().tidy(room, 100).await? == 0);
    ensure!((bench.count("hook_1").await?, bench.count("hook_2").await?) == (11, 3), "the older ones are few");
    // None that is young.
    let room = Room { kept: 8, forget_before: at(0), ..ROOM };
    ensure!(bench.store().tidy(room, 100).await? == 0);
    let room = Room { bytes: 1000, forget_before: at(1000), ..ROOM };
    ensure!(bench.store().tidy(room, 100).await? > 10, "the same by size");
    Ok(())
}
