//! How a tenant's room is divided among its hooks.
//!
//! What is done with a delivery may make it larger, up to what is reserved for it as long as it waits; and a mapping may
//! make larger parameters than that. So arrivals leave some of the bytes to mappings, and the parameters go when the
//! delivery is done with: there is always room for the next one's.

use runwarden_kit::Result;
use runwarden_kit::tenant::TenantId;

use super::Room;
use super::engine::{Of, Old, Rows, Stock, Stocks};
use crate::inbox::delivery::Delivery;

/// How many old deliveries go at once to make room.
const FORGOTTEN_AT_ONCE: usize = 100;
/// How many go for one that arrives, however large it is.
const FORGOTTEN_FOR_ONE: usize = 2000;

/// For what there is to be room.
#[derive(Clone, Copy)]
pub(super) enum For {
    /// One more delivery of this size.
    Arrival(i64),
    /// So many more bytes of one that is there.
    Parameters(i64),
}

/// What is kept of a delivery's tenant and hook, when there is room for this; `None` if there is none.
///
/// The last eighth of a tenant's room is for hooks that hold little, and they get their little even beyond that. So a hook
/// that is flooded stops at seven eighths, and takes nothing from the others: it makes room with its own old deliveries only.
pub(super) async fn make(
    delivery: &Delivery,
    what: For,
    room: Room,
    rows: &mut (dyn Rows + '_),
) -> Result<Option<Stocks>> {
    let (tenant, hook) = (&delivery.tenant, delivery.hook_id.as_str());
    let mut stocks = rows.stocks(tenant, hook).await?;
    let (one, size, bytes) = match what {
        For::Arrival(size) => (1, size, room.bytes - room.bytes / 8),
        For::Parameters(size) => (0, size, room.bytes),
    };
    let waiting = Share { most: room.waiting, tenant: stocks.tenant.waiting, hook: stocks.hook.waiting, more: one };
    if one > 0 && !waiting.fits() && !waiting.is_little() {
        return Ok(None);
    }
    let shares = |stocks: Stocks| {
        [
            Share { most: room.kept, tenant: stocks.tenant.kept, hook: stocks.hook.kept, more: one },
            Share { most: bytes, tenant: stocks.tenant.bytes, hook: stocks.hook.bytes, more: size },
        ]
    };
    let fits = |stocks| shares(stocks).iter().all(|share| share.more == 0 || share.fits());
    let may = |stocks| shares(stocks).iter().all(|share| share.more == 0 || share.fits() || share.is_little());
    // Its own go first; those of others only for a hook that holds little.
    for of in [Of::Hook(tenant, hook), Of::Tenant(tenant)] {
        if matches!(of, Of::Tenant(_)) && !may(stocks) {
            break;
        }
        let (mut gone, mut freed) = (0, 0);
        while !fits(stocks) && gone < FORGOTTEN_FOR_ONE {
            let old = rows.old(of, room.forget_before, FORGOTTEN_AT_ONCE).await?;
            let are_more = old.len() == FORGOTTEN_AT_ONCE;
            for old in old {
                remove(&old, rows).await?;
                gone += 1;
                freed += old.size;
                stocks = rows.stocks(tenant, hook).await?;
                if fits(stocks) {
                    break;
                }
            }
            if !are_more {
                break;
            }
            // Far too much is kept, since limits were lowered, and it gets less with each one that arrives. So none is
            // refused for it.
            if freed >= size {
                return Ok(Some(stocks));
            }
        }
    }
    Ok(may(stocks).then_some(stocks))
}

/// Removes old deliveries where more is kept than there is room for, of the hooks that hold most; at most so many. Answers
/// how many.
pub(super) async fn tidy(room: Room, limit: usize, rows: &mut (dyn Rows + '_)) -> Result<usize> {
    let mut gone = 0;
    for tenant in rows.over(spared(room.kept), spared(room.bytes)).await? {
        rows.serialise(&tenant).await?;
        while gone < limit {
            let Some(old) = of_the_largest(&tenant, room, rows).await? else { break };
            remove(&old, rows).await?;
            gone += 1;
        }
    }
    Ok(gone)
}

/// The oldest delivery that may go of the hook that holds most; none if there is room, or that hook has none.
async fn of_the_largest(tenant: &TenantId, room: Room, rows: &mut (dyn Rows + '_)) -> Result<Option<Old>> {
    let of_all = rows.stocks(tenant, "").await?.tenant;
    let (many, much) = (of_all.kept > spared(room.kept), of_all.bytes > spared(room.bytes));
    if !many && !much {
        return Ok(None);
    }
    let hooks = rows.hooks(tenant).await?;
    let Some((hook, _)) = hooks.into_iter().max_by_key(|(_, stock)| if many { stock.kept } else { stock.bytes }) else {
        return Ok(None);
    };
    Ok(rows.old(Of::Hook(tenant, &hook), room.forget_before, 1).await?.pop())
}

/// Removes a delivery, and notes that it is kept no longer.
pub(super) async fn remove(old: &Old, rows: &mut (dyn Rows + '_)) -> Result<()> {
    rows.remove(&old.id).await?;
    let gone = Stock { waiting: 0, kept: -1, bytes: -old.size };
    let stocks = rows.stocks(&old.tenant, &old.hook).await?.plus(gone);
    rows.put_stocks(&old.tenant, &old.hook, stocks).await
}

/// What all hooks share: all but the last eighth.
fn spared(most: i64) -> i64 {
    most - (most / 8).max(1)
}

/// Of one measure, what a tenant may have, what it has, how much of that a hook has, and what is to be added.
struct Share {
    most: i64,
    tenant: i64,
    hook: i64,
    more: i64,
}

impl Share {
    /// Whether it fits into what all hooks share.
    fn fits(&self) -> bool {
        self.tenant + self.more <= spared(self.most)
    }

    /// Whether the hook holds so little that it may have more all the same. However many hooks a tenant has, there is an end
    /// to that.
    fn is_little(&self) -> bool {
        self.hook < (self.most / 64).max(1) && self.tenant + self.more <= self.most.saturating_mul(2)
    }
}
