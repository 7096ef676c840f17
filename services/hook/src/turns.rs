//! Whose turn it is: which deliveries are worked on, which are left alone for a while because what became of them could not
//! be written, and which tenant is next.
//!
//! Such a delivery stays due. Without a pause it would be taken again at once, and fail again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::tenant::TenantId;

/// Tenants of which it is remembered when they had their turn.
const MAX_TENANTS: usize = 10_000;

/// What a worker works on.
#[derive(Debug)]
pub(crate) struct Turns {
    pauses: Pauses,
    state: Mutex<State>,
}

/// How long what failed is left alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pauses {
    /// After the first failure; it doubles with each further one.
    pub(crate) first: Duration,
    /// At most.
    pub(crate) longest: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// Deliveries that are worked on, with their tenants.
    under_way: HashMap<String, TenantId>,
    /// Deliveries that are left alone.
    paused: HashMap<String, Pause>,
    /// When each tenant had its turn.
    last: HashMap<TenantId, u64>,
    taken: u64,
}

#[derive(Debug)]
struct Pause {
    tenant: TenantId,
    until: Moment,
    length: Duration,
}

/// Of two tenants, the one with the smaller rank is next: the one of whose deliveries fewer are worked on, then the one whose
/// last turn is longer ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank(usize, u64);

impl Turns {
    /// Nothing is worked on yet.
    pub(crate) fn pausing(pauses: Pauses) -> Self {
        Self { pauses, state: Mutex::default() }
    }

    /// How many are worked on.
    pub(crate) fn count(&self) -> usize {
        self.lock().under_way.len()
    }

    /// How many of a tenant are worked on.
    pub(crate) fn own(&self, tenant: &TenantId) -> usize {
        self.lock().own(tenant)
    }

    /// How many of a tenant are worked on or paused.
    pub(crate) fn hidden(&self, tenant: &TenantId) -> usize {
        let state = self.lock();
        state.own(tenant) + state.paused.values().filter(|pause| pause.tenant == *tenant).count()
    }

    /// Where a tenant stands.
    pub(crate) fn rank(&self, tenant: &TenantId) -> Rank {
        let state = self.lock();
        Rank(state.own(tenant), state.last.get(tenant).copied().unwrap_or_default())
    }

    /// Whether a delivery is neither worked on nor paused.
    pub(crate) fn may_begin(&self, delivery: &str, now: Moment) -> bool {
        let state = self.lock();
        let paused = state.paused.get(delivery).is_some_and(|pause| pause.until > now);
        !paused && !state.under_way.contains_key(delivery)
    }

    /// Forgets pauses that ended long ago: nobody worked on those deliveries since.
    pub(crate) fn forget_old(&self, now: Moment) {
        self.lock().paused.retain(|_, pause| now.since(pause.until) < self.pauses.longest);
    }

    /// Begins; not if it is worked on already.
    pub(crate) fn begin(&self, delivery: &str, tenant: &TenantId) -> bool {
        let mut state = self.lock();
        if state.under_way.contains_key(delivery) {
            return false;
        }
        state.under_way.insert(delivery.to_owned(), tenant.clone());
        state.taken += 1;
        if state.last.len() >= MAX_TENANTS {
            state.last.clear();
        }
        let taken = state.taken;
        state.last.insert(tenant.clone(), taken);
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work on a delivery that was begun. When it ends, by a panic too, the delivery is no longer worked on; unless the work
/// went well, it is left alone for a while.
pub(crate) struct UnderWay<'a> {
    pub(crate) turns: &'a Turns,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) delivery: &'a str,
    pub(crate) went_well: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let Pauses { first, longest } = self.turns.pauses;
        let mut state = self.turns.lock();
        let tenant = state.under_way.remove(self.delivery);
        let before = state.paused.remove(self.delivery);
        if let (false, Some(tenant)) = (self.went_well, tenant) {
            let length = before.map_or(first, |pause| pause.length.saturating_mul(2).min(longest));
            let until = self.clock.now().plus(length);
            state.paused.insert(self.delivery.to_owned(), Pause { tenant, until, length });
        }
    }
}

impl State {
    fn own(&self, tenant: &TenantId) -> usize {
        self.under_way.values().filter(|other| *other == tenant).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tenant_has_its_turn_however_many_there_are() {
        let (turns, places) = (Turns::pausing(Pauses { first: Duration::ZERO, longest: Duration::ZERO }), 4);
        let names: Vec<String> = (0..10).map(|number| format!("t{number}")).collect();
        let tenants: Vec<_> = names.iter().map(|name| TenantId::trusted(name)).collect();
        let mut had: HashMap<&TenantId, usize> = HashMap::new();
        let mut order: Vec<String> = Vec::new();
        for number in 0..100 {
            if turns.count() == places {
                let clock = &runwarden_kit::clock::SystemClock;
                drop(UnderWay { turns: &turns, clock, delivery: &order.remove(0), went_well: true });
            }
            let next = tenants.iter().min_by_key(|tenant| turns.rank(tenant)).unwrap();
            *had.entry(next).or_default() += 1;
            order.push(format!("dlv_{number}"));
            assert!(turns.begin(&order[order.len() - 1], next));
        }
        assert!(tenants.iter().all(|tenant| had[tenant] == 10), "{had:?}");
    }
}
