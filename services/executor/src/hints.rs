//! Word from controllers that something happened to a run. A hint says where to look and nothing else.
//!
//! Whoever sends it may be anybody who got hold of a key: so there is room for so many of a tenant's, and those beyond
//! are dropped. What is dropped or lost costs time only, since runs are looked at without hints too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use runwarden_kit::tenant::TenantId;

use crate::work::WorkBell;

/// How many hints of a tenant wait to be looked into.
const MOST: usize = 1000;

/// That something happened to a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hint {
    /// The tenant and its controller, by Runwarden's name.
    pub controller: (TenantId, String),
    /// The run's id there.
    pub run: i64,
}

/// A tenant's hints: controller and run, and when each came.
type OfTenant = HashMap<(String, i64), Instant>;

/// The hints that nobody looked into yet; equal ones are one. Clones share all of it.
#[derive(Clone, Default)]
pub struct Hints {
    waiting: Arc<Mutex<HashMap<TenantId, OfTenant>>>,
    bell: WorkBell,
}

impl Hints {
    /// None yet; new ones ring this bell.
    #[must_use]
    pub fn new(bell: WorkBell) -> Self {
        Self { waiting: Arc::default(), bell }
    }

    /// Keeps a hint until it is looked into.
    pub fn put(&self, hint: Hint) {
        let (tenant, controller) = hint.controller;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever was woken by the first of them takes all.
        let first = waiting.is_empty();
        let of_tenant = waiting.entry(tenant).or_default();
        if of_tenant.len() >= MOST {
            metrics::counter!("runwarden_hints_total", "result" => "dropped").increment(1);
            return;
        }
        of_tenant.insert((controller, hint.run), Instant::now());
        drop(waiting);
        if first {
            self.bell.ring();
        }
    }

    /// Takes all of them, with when they came.
    #[must_use]
    pub fn take(&self) -> Vec<(Hint, Instant)> {
        let taken = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let of_tenant = |(tenant, hints): (TenantId, OfTenant)| {
            hints.into_iter().map(move |((controller, run), at)| {
                let controller = (tenant.clone(), controller);
                (Hint { controller, run }, at)
            })
        };
        taken.into_iter().flat_map(of_tenant).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(tenant: &str, run: i64) -> Hint {
        Hint { controller: (TenantId::trusted(tenant), "awx".into()), run }
    }

    #[test]
    fn equal_hints_are_one_and_ring_once_until_they_are_taken() {
        let bell = WorkBell::default();
        let hints = Hints::new(bell.clone());
        assert!(!bell.has_rung());
        for first in [true, false, false] {
            hints.put(hint("acme", 7));
            assert_eq!(bell.has_rung(), first);
        }
        assert_eq!(hints.take().into_iter().map(|(hint, _)| hint).collect::<Vec<_>>(), [hint("acme", 7)]);
        assert!(hints.take().is_empty(), "each is taken once");
        hints.put(hint("acme", 8));
        assert!(bell.has_rung());
    }

    #[test]
    fn a_tenant_that_floods_takes_no_room_of_others() {
        let hints = Hints::default();
        for run in 0..10_000 {
            hints.put(hint("loud", run));
        }
        hints.put(hint("quiet", 1));
        let taken = hints.take();
        assert_eq!(taken.iter().filter(|(hint, _)| hint.controller.0.as_str() == "loud").count(), MOST);
        assert!(taken.iter().any(|(taken, _)| *taken == hint("quiet", 1)));
    }
}
