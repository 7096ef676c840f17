//! How fast sets are. A slow one is left to the policy service for a while, where its tenant waits for its own turn.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use runwarden_kit::tenant::TenantId;

/// From here on an evaluation is slow.
const SLOW: Duration = Duration::from_millis(5);
/// What a slow evaluation counts for. Each that is not takes one away: a busy machine is no reason to give up a set.
const WEIGHT: u32 = 4;
/// So much, and the set is left alone: three in a row.
const TOO_MUCH: u32 = 3 * WEIGHT;
/// For how long.
const REST: Duration = Duration::from_mins(1);
/// How many sets are remembered; only those that were slow at least once are.
const MOST: usize = 4096;

/// What is known of a set with a tenant's requests. Another tenant's requests may be slow with the platform's set.
#[derive(Clone, Copy)]
struct Pace {
    slowness: u32,
    rests_until: Option<Instant>,
}

#[derive(Default)]
pub(super) struct Paces(Mutex<HashMap<(TenantId, String), Pace>>);

impl Paces {
    fn lock(&self) -> MutexGuard<'_, HashMap<(TenantId, String), Pace>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a set is left to the policy service now.
    pub(super) fn is_slow(&self, tenant: &TenantId, digest: &str) -> bool {
        let mut paces = self.lock();
        if paces.is_empty() {
            return false;
        }
        let key = (tenant.clone(), digest.to_owned());
        let Some(until) = paces.get(&key).and_then(|pace| pace.rests_until) else {
            return false;
        };
        if Instant::now() < until {
            return true;
        }
        paces.remove(&key);
        false
    }

    /// How long an evaluation took.
    pub(super) fn note(&self, tenant: &TenantId, digest: &str, took: Duration) {
        let is_slow = took >= SLOW;
        let mut paces = self.lock();
        if paces.is_empty() && !is_slow {
            return;
        }
        let key = (tenant.clone(), digest.to_owned());
        if is_slow {
            if paces.len() >= MOST {
                // Those that rest go on resting.
                paces.retain(|_, pace| pace.rests_until.is_some_and(|until| until > Instant::now()));
            }
            let pace = paces.entry(key).or_insert(Pace { slowness: 0, rests_until: None });
            pace.slowness = pace.slowness.saturating_add(WEIGHT);
            if pace.slowness >= TOO_MUCH && pace.rests_until.is_none() {
                pace.rests_until = Instant::now().checked_add(REST);
                metrics::counter!("runwarden_policy_sets_left_total").increment(1);
                tracing::warn!(tenant = %tenant, "policies are slow with this tenant's requests, and run in workers for a while");
            }
        } else if let Some(pace) = paces.get_mut(&key) {
            pace.slowness = pace.slowness.saturating_sub(1);
            if pace.slowness == 0 && pace.rests_until.is_none() {
                paces.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_that_is_slow_again_and_again_rests_and_no_other_tenant_s() {
        let paces = Paces::default();
        let (acme, beta) = (TenantId::trusted("acme"), TenantId::trusted("beta"));
        for _ in 0..3 {
            assert!(!paces.is_slow(&acme, "set"));
            paces.note(&acme, "set", SLOW);
        }
        assert!(paces.is_slow(&acme, "set"));
        assert!(!paces.is_slow(&beta, "set") && !paces.is_slow(&acme, "other"));
    }

    #[test]
    fn one_that_is_slow_now_and_then_goes_on() {
        let paces = Paces::default();
        let acme = TenantId::trusted("acme");
        for round in 0..100 {
            paces.note(&acme, "set", if round % 5 == 0 { SLOW } else { Duration::ZERO });
            assert!(!paces.is_slow(&acme, "set"), "round {round}");
        }
        for _ in 0..100 {
            paces.note(&acme, "set", Duration::ZERO);
        }
        assert!(paces.lock().is_empty());
    }
}
