//! How much time tenants take. One that takes much is left to the policy service for a while, where it waits for its own
//! turn.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use runwarden_kit::tenant::TenantId;

/// What an evaluation may take at no cost, many times of what one usually does. What it takes beyond is a debt.
const FREE: Duration = Duration::from_millis(1);
/// So much of a debt, and the tenant rests. Compiling a set on each of some threads is less.
const TOO_MUCH: Duration = Duration::from_millis(200);
/// A debt gets less by this part of the time that passes.
const LEAK: u32 = 50;
/// For how long a tenant rests. Then it owes nothing.
const REST: Duration = Duration::from_mins(1);
/// How many tenants are remembered; only those are that owe something or rest.
const MOST: usize = 4096;

/// What is known of a tenant, whichever sets its requests are decided with: another digest is no new beginning.
#[derive(Clone, Copy)]
enum Pace {
    /// It owed so much at this moment.
    Owes(Duration, Instant),
    RestsUntil(Instant),
}

impl Pace {
    /// What is owed now; `None` while the tenant rests.
    fn debt(self, now: Instant) -> Option<Duration> {
        match self {
            Self::Owes(debt, since) => Some(debt.saturating_sub(now.saturating_duration_since(since) / LEAK)),
            Self::RestsUntil(until) => (now >= until).then_some(Duration::ZERO),
        }
    }
}

#[derive(Default)]
pub(super) struct Paces(Mutex<HashMap<TenantId, Pace>>);

impl Paces {
    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Pace>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a tenant is left to the policy service now.
    pub(super) fn rests(&self, tenant: &TenantId) -> bool {
        self.lock().get(tenant).is_some_and(|pace| pace.debt(Instant::now()).is_none())
    }

    /// How long an evaluation took, with all that had to be done for it.
    pub(super) fn note(&self, tenant: &TenantId, took: Duration) {
        self.note_at(tenant, took, Instant::now());
    }

    fn note_at(&self, tenant: &TenantId, took: Duration, now: Instant) {
        let owed = took.saturating_sub(FREE);
        if owed.is_zero() {
            return;
        }
        let mut paces = self.lock();
        let Some(before) = paces.get(tenant).map_or(Some(Duration::ZERO), |pace| pace.debt(now)) else {
            return;
        };
        let debt = before.saturating_add(owed);
        let pace = if debt < TOO_MUCH { Pace::Owes(debt, now) } else { resting(tenant, now) };
        keep(&mut paces, tenant, pace, now);
    }

    /// Leaves a tenant to the policy service from now on.
    pub(super) fn rest(&self, tenant: &TenantId) {
        let now = Instant::now();
        keep(&mut self.lock(), tenant, resting(tenant, now), now);
    }
}

fn resting(tenant: &TenantId, now: Instant) -> Pace {
    metrics::counter!("runwarden_policy_sets_left_total").increment(1);
    tracing::warn!(tenant = %tenant, "policies are slow with this tenant's requests, and run in workers for a while");
    now.checked_add(REST).map_or(Pace::Owes(Duration::ZERO, now), Pace::RestsUntil)
}

fn keep(paces: &mut HashMap<TenantId, Pace>, tenant: &TenantId, pace: Pace, now: Instant) {
    if paces.len() >= MOST {
        paces.retain(|_, pace| pace.debt(now).is_none_or(|debt| !debt.is_zero()));
    }
    if paces.len() >= MOST {
        // Those that rest go on resting.
        paces.retain(|_, pace| pace.debt(now).is_none());
    }
    paces.insert(tenant.clone(), pace);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_millis(21);

    #[test]
    fn a_tenant_that_is_slow_again_and_again_rests_and_no_other_one() {
        let paces = Paces::default();
        let (acme, beta) = (TenantId::trusted("acme"), TenantId::trusted("beta"));
        for _ in 0..10 {
            assert!(!paces.rests(&acme));
            paces.note(&acme, SLOW);
            // What is quick in between pays nothing back.
            paces.note(&acme, Duration::ZERO);
        }
        // Ten times 20 ms, less what leaked meanwhile.
        paces.note(&acme, SLOW);
        assert!(paces.rests(&acme));
        assert!(!paces.rests(&beta));
    }

    #[test]
    fn one_that_is_slow_now_and_then_goes_on() {
        let paces = Paces::default();
        let acme = TenantId::trusted("acme");
        let begun = Instant::now();
        for second in 0..100 {
            let now = begun + Duration::from_secs(second);
            paces.note_at(&acme, SLOW, now);
            assert!(paces.lock().get(&acme).unwrap().debt(now).is_some(), "second {second}");
        }
    }

    #[test]
    fn a_rest_ends() {
        let paces = Paces::default();
        let acme = TenantId::trusted("acme");
        paces.rest(&acme);
        assert!(paces.rests(&acme));
        let pace = *paces.lock().get(&acme).unwrap();
        assert_eq!(pace.debt(Instant::now() + REST), Some(Duration::ZERO));
    }
}
