//! Whose turn it is: which tasks are worked on, which are left alone for a while because what became of them could not be
//! written, and which tenant is next.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;

/// Tenants of which it is remembered when they had their turn.
const MAX_TENANTS: usize = 10_000;

/// The pause after the first failed write; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// Tasks that are worked on.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Deliveries whose task is worked on, with their tenants.
    under_way: HashMap<String, TenantId>,
    /// Deliveries whose task is left alone.
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

/// Of two tenants, the one with the smaller rank is next: the one of whose tasks fewer are worked on, then the one whose
/// last turn is longer ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank(usize, u64);

impl Turns {
    /// How many are worked on.
    pub(crate) fn count(&self) -> usize {
        self.lock().under_way.len()
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

    /// Whether the task of a delivery is neither worked on nor paused.
    pub(crate) fn may_begin(&self, delivery: &str, now: Moment) -> bool {
        let state = self.lock();
        let paused = state.paused.get(delivery).is_some_and(|pause| pause.until > now);
        !paused && !state.under_way.contains_key(delivery)
    }

    /// What became of it could not be written: it is left alone for a while.
    pub(crate) fn pause(&self, delivery: &str, tenant: &TenantId, now: Moment) {
        let mut state = self.lock();
        let before = state.paused.get(delivery).map(|pause| pause.length);
        let length = before.map_or(FIRST_PAUSE, |length| length.saturating_mul(2).min(LONGEST_PAUSE));
        let pause = Pause { tenant: tenant.clone(), until: now.plus(length), length };
        state.paused.insert(delivery.to_owned(), pause);
    }

    /// It could be written again.
    pub(crate) fn went_well(&self, delivery: &str) {
        self.lock().paused.remove(delivery);
    }

    /// Forgets pauses that ended long ago: nobody worked on those tasks since.
    pub(crate) fn forget_old(&self, now: Moment) {
        self.lock().paused.retain(|_, pause| now.since(pause.until) < LONGEST_PAUSE);
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

    /// Ends.
    pub(crate) fn end(&self, delivery: &str) {
        self.lock().under_way.remove(delivery);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let (turns, places) = (Turns::default(), 4);
        let names: Vec<String> = (0..10).map(|number| format!("t{number}")).collect();
        let tenants: Vec<_> = names.iter().map(|name| TenantId::trusted(name)).collect();
        let mut had: HashMap<&TenantId, usize> = HashMap::new();
        let mut order: Vec<String> = Vec::new();
        for number in 0..100 {
            if turns.count() == places {
                turns.end(&order.remove(0));
            }
            let next = tenants.iter().min_by_key(|tenant| turns.rank(tenant)).unwrap();
            *had.entry(next).or_default() += 1;
            order.push(format!("dlv_{number}"));
            assert!(turns.begin(&order[order.len() - 1], next));
        }
        assert!(tenants.iter().all(|tenant| had[tenant] == 10), "{had:?}");
    }
}
