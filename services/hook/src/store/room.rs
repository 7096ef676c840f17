//! How a tenant's room is divided among its hooks.

use runwarden_kit::Result;

use super::Room;
use super::engine::{Of, Rows, Stock, Stocks};
use crate::inbox::delivery::Delivery;

/// How many old deliveries go at once to make room.
const FORGOTTEN_AT_ONCE: usize = 100;

/// What is kept of a delivery's tenant and hook, when there is room for one more of this size; `None` if there is none.
///
/// The last eighth of a tenant's room is for hooks that hold little, and they get their little even beyond that. So a hook
/// that is flooded stops at seven eighths, and takes nothing from the others: it makes room with its own old deliveries only.
pub(super) async fn make(
    delivery: &Delivery,
    size: i64,
    room: Room,
    rows: &mut (dyn Rows + '_),
) -> Result<Option<Stocks>> {
    let (tenant, hook) = (&delivery.tenant, delivery.hook_id.as_str());
    let mut stocks = rows.stocks(tenant, hook).await?;
    let waiting = Share { most: room.waiting, tenant: stocks.tenant.waiting, hook: stocks.hook.waiting, more: 1 };
    if !waiting.fits() && !waiting.is_little() {
        return Ok(None);
    }
    let shares = |stocks: Stocks| {
        [
            Share { most: room.kept, tenant: stocks.tenant.kept, hook: stocks.hook.kept, more: 1 },
            Share { most: room.bytes, tenant: stocks.tenant.bytes, hook: stocks.hook.bytes, more: size },
        ]
    };
    let fits = |stocks| shares(stocks).iter().all(Share::fits);
    let may = |stocks| shares(stocks).iter().all(|share| share.fits() || share.is_little());
    // Its own go first; those of others only for a hook that holds little.
    for of in [Of::Hook(tenant, hook), Of::Tenant(tenant)] {
        if fits(stocks) || (matches!(of, Of::Tenant(_)) && !may(stocks)) {
            break;
        }
        for old in rows.old(of, room.forget_before, FORGOTTEN_AT_ONCE).await? {
            rows.remove(&old.id).await?;
            let gone = Stock { waiting: 0, kept: -1, bytes: -old.size };
            let others = rows.stocks(tenant, &old.hook).await?.plus(gone);
            rows.put_stocks(tenant, &old.hook, others).await?;
            stocks = rows.stocks(tenant, hook).await?;
            if fits(stocks) {
                break;
            }
        }
    }
    Ok(may(stocks).then_some(stocks))
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
        self.tenant + self.more <= self.most - (self.most / 8).max(1)
    }

    /// Whether the hook holds so little that it may have more all the same. However many hooks a tenant has, there is an end
    /// to that.
    fn is_little(&self) -> bool {
        self.hook < (self.most / 64).max(1) && self.tenant + self.more <= self.most.saturating_mul(2)
    }
}
