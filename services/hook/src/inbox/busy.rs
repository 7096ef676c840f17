//! What a worker has under way, and what it leaves alone for a while because working on it failed.
//!
//! A delivery whose outcome could not be written stays due. Without a pause it would be taken again at once, and fail again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::tenant::TenantId;

use super::delivery::Delivery;

/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Deliveries that are under way or paused, by id.
#[derive(Default)]
pub(crate) struct Busy(Mutex<State>);

#[derive(Default)]
struct State {
    under_way: HashMap<String, TenantId>,
    paused: HashMap<String, Pause>,
}

struct Pause {
    tenant: TenantId,
    until: Moment,
    length: Duration,
}

impl Busy {
    /// How many are under way in all, how many of them are a tenant's, and how many of the tenant's are paused.
    pub(super) fn count(&self, tenant: &TenantId) -> (usize, usize, usize) {
        let state = self.lock();
        let own = state.under_way.values().filter(|other| *other == tenant).count();
        let paused = state.paused.values().filter(|pause| pause.tenant == *tenant).count();
        (state.under_way.len(), own, paused)
    }

    /// Takes a delivery, unless it is under way or paused, or as many are under way as may be.
    pub(super) fn take(&self, delivery: &Delivery, at_once: usize, now: Moment) -> bool {
        let mut state = self.lock();
        let paused = state.paused.get(&delivery.id).is_some_and(|pause| pause.until > now);
        if paused || state.under_way.len() >= at_once {
            return false;
        }
        state.under_way.insert(delivery.id.clone(), delivery.tenant.clone()).is_none()
    }

    /// Forgets pauses that ended long ago: nobody worked on those deliveries since.
    pub(super) fn forget_old(&self, now: Moment) {
        self.lock().paused.retain(|_, pause| now.since(pause.until) < LONGEST_PAUSE);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work on one delivery. When it ends, by a panic too, the delivery is no longer under way; unless the work went well, it
/// is paused.
pub(super) struct UnderWay<'a> {
    pub(super) busy: &'a Busy,
    pub(super) clock: &'a dyn Clock,
    pub(super) id: &'a str,
    pub(super) went_well: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = self.busy.lock();
        let tenant = state.under_way.remove(self.id);
        let before = state.paused.remove(self.id);
        if let (false, Some(tenant)) = (self.went_well, tenant) {
            let length = before.map_or(FIRST_PAUSE, |pause| pause.length.saturating_mul(2).min(LONGEST_PAUSE));
            let until = self.clock.now().plus(length);
            state.paused.insert(self.id.to_owned(), Pause { tenant, until, length });
        }
    }
}
