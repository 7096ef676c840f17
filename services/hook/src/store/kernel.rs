//! The rules of the inbox, once for all engines: what is judged and written in one transaction.

use async_trait::async_trait;
use runwarden_kit::audit::Entry;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, Result};

use super::engine::{Engine, Of, Rows, Stock};
use super::room::{self as rooms, For};
use super::{DeliveryFilter, InboxStore, Kept, Mapped, Room, Taken};
use crate::inbox::delivery::{Arrival, Content, Delivery};

/// An inbox over an engine.
pub(crate) struct Kernel<E> {
    pub(super) engine: E,
}

impl<E: Engine> Kernel<E> {
    /// Over this engine.
    pub(super) const fn over(engine: E) -> Self {
        Self { engine }
    }
}

#[async_trait]
impl<E: Engine> InboxStore for Kernel<E> {
    async fn take(&self, arrivals: Vec<Arrival>, room: Room) -> Result<Taken> {
        let with = (arrivals, room);
        let taken = self.engine.transaction(with, |(arrivals, room), rows| Box::pin(take(arrivals, *room, rows))).await;
        match taken {
            Err(error) if error.reason() == ErrorReason::QueueFull => Ok(Taken::Full),
            taken => taken,
        }
    }

    async fn get(&self, tenant: &TenantId, id: &str) -> Result<Option<Delivery>> {
        self.engine.read().await?.delivery(tenant, id).await
    }

    async fn content(&self, tenant: &TenantId, id: &str) -> Result<Option<Content>> {
        self.engine.read().await?.content(tenant, id).await
    }

    async fn list(&self, tenant: &TenantId, hook: &str, filter: DeliveryFilter) -> Result<Vec<Delivery>> {
        self.engine.read().await?.list(tenant, hook, &filter).await
    }

    async fn tenants_waiting(&self) -> Result<Vec<TenantId>> {
        self.engine.read().await?.tenants_waiting().await
    }

    async fn due(&self, tenant: &TenantId, now: Moment, limit: usize) -> Result<Vec<Delivery>> {
        self.engine.read().await?.due(tenant, now, limit).await
    }

    async fn advance(&self, delivery: Delivery, entries: Vec<Entry>) -> Result<bool> {
        let with = (delivery, entries);
        self.engine.transaction(with, |(delivery, entries), rows| Box::pin(advance(delivery, entries, rows))).await
    }

    async fn map(&self, delivery: Delivery, room: Room) -> Result<Mapped> {
        let with = (delivery, room);
        self.engine.transaction(with, |(delivery, room), rows| Box::pin(map(delivery, *room, rows))).await
    }

    async fn tidy(&self, room: Room, limit: usize) -> Result<usize> {
        let with = (room, limit);
        self.engine.transaction(with, |(room, limit), rows| Box::pin(rooms::tidy(*room, *limit, rows))).await
    }

    async fn drop_parameters(&self, limit: usize) -> Result<usize> {
        self.engine.transaction(limit, |limit, rows| Box::pin(drop_parameters(*limit, rows))).await
    }

    async fn forget(&self, before: Moment, limit: usize) -> Result<usize> {
        let with = (before, limit);
        self.engine.transaction(with, |(before, limit), rows| Box::pin(forget(*before, *limit, rows))).await
    }

    async fn note(&self, entries: Vec<Entry>) -> Result<()> {
        self.engine.transaction(entries, |entries, rows| Box::pin(async move { rows.put_entries(entries).await })).await
    }
}

async fn take(arrivals: &[Arrival], room: Room, rows: &mut (dyn Rows + '_)) -> Result<Taken> {
    let mut kept = Vec::with_capacity(arrivals.len());
    for Arrival { delivery, content, entries } in arrivals {
        let tenant = &delivery.tenant;
        rows.serialise(tenant).await?;
        if let Some(mark) = &delivery.mark
            && let Some(mut earlier) = rows.by_mark(tenant, &delivery.hook_id, mark).await?
        {
            if earlier.digest != delivery.digest {
                // What was kept of this request already goes with the transaction's answer.
                return if kept.is_empty() { Ok(Taken::Conflict(Box::new(earlier))) } else { Err(mixed()) };
            }
            let before = earlier.clone();
            earlier.note_repeat(delivery.received_at);
            write_over(&before, &earlier, rows).await?;
            kept.push(Kept { delivery: earlier, repeat: true });
            continue;
        }
        let size = content.size().saturating_add(delivery.size());
        let Some(stocks) = rooms::make(delivery, For::Arrival(size), room, rows).await? else {
            // An error undoes what was written of the batch.
            return if kept.is_empty() { Ok(Taken::Full) } else { Err(full()) };
        };
        rows.insert(delivery, content, size).await?;
        rows.put_entries(entries).await?;
        let one = Stock { waiting: i64::from(delivery.due_at.is_some()), kept: 1, bytes: size };
        rows.put_stocks(tenant, &delivery.hook_id, stocks.plus(one)).await?;
        kept.push(Kept { delivery: delivery.clone(), repeat: false });
    }
    Ok(Taken::Kept(kept))
}

/// A batch is kept whole or not at all, and what was written of it is undone by an error only.
fn mixed() -> Error {
    Error::conflict("A part of the batch cannot be kept, so nothing of it was.")
}

/// There is no room for the whole batch.
fn full() -> Error {
    Error::new(ErrorReason::QueueFull, "There is no room for all of the batch, so nothing of it was kept.")
}

/// Writes a delivery over, and down how much is kept since.
async fn write_over(before: &Delivery, after: &Delivery, rows: &mut (dyn Rows + '_)) -> Result<()> {
    let waits = |delivery: &Delivery| i64::from(delivery.due_at.is_some());
    let change = Stock { waiting: waits(after) - waits(before), kept: 0, bytes: after.size() - before.size() };
    rows.save(after, change.bytes).await?;
    if change != Stock::default() {
        let stocks = rows.stocks(&after.tenant, &after.hook_id).await?.plus(change);
        rows.put_stocks(&after.tenant, &after.hook_id, stocks).await?;
    }
    Ok(())
}

async fn advance(delivery: &Delivery, entries: &[Entry], rows: &mut (dyn Rows + '_)) -> Result<bool> {
    let tenant = &delivery.tenant;
    rows.serialise(tenant).await?;
    let Some(before) = rows.delivery(tenant, &delivery.id).await? else { return Ok(false) };
    if before.version != delivery.version {
        return Ok(false);
    }
    // Repeats are counted without regard to who works on it.
    let mut after = Delivery { version: delivery.version + 1, ..delivery.clone() };
    after.take_repeats_of(&before);
    write_over(&before, &after, rows).await?;
    rows.put_entries(entries).await?;
    Ok(true)
}

async fn map(delivery: &Delivery, room: Room, rows: &mut (dyn Rows + '_)) -> Result<Mapped> {
    let tenant = &delivery.tenant;
    rows.serialise(tenant).await?;
    let Some(before) = rows.delivery(tenant, &delivery.id).await? else { return Ok(Mapped::Elsewhere) };
    let grows = delivery.size() - before.size();
    if grows > 0 && rooms::make(delivery, For::Parameters(grows), room, rows).await?.is_none() {
        return Ok(Mapped::Full);
    }
    Ok(if advance(delivery, &[], rows).await? { Mapped::Kept } else { Mapped::Elsewhere })
}

async fn drop_parameters(limit: usize, rows: &mut (dyn Rows + '_)) -> Result<usize> {
    let left = rows.parameters_left(limit).await?;
    for (tenant, id) in &left {
        rows.serialise(tenant).await?;
        if let Some(before) = rows.delivery(tenant, id).await? {
            let mut after = before.clone();
            after.drop_parameters();
            write_over(&before, &after, rows).await?;
        }
        rows.none_left(id).await?;
    }
    Ok(left.len())
}

async fn forget(before: Moment, limit: usize, rows: &mut (dyn Rows + '_)) -> Result<usize> {
    let old = rows.old(Of::All, before, limit).await?;
    for old in &old {
        rows.serialise(&old.tenant).await?;
        rooms::remove(old, rows).await?;
    }
    Ok(old.len())
}
