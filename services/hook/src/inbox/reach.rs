//! Whether keys can be read at all, and in which tenants they cannot.
//!
//! The first is found out by a question that belongs to no tenant and is asked whatever a request is for: what a tenant
//! is in trouble with says nothing about the others, and who is answered sooner says nothing about which hooks there are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::tenant::TenantId;

use super::refusals::Place;
use super::together::Together;
use crate::ports::Keys;

/// The secret service answers within this time, or is away. Senders wait at least three seconds for their own answer.
pub(super) const WITHIN: Duration = Duration::from_secs(2);
/// What was found out holds for this long.
pub(super) const HOLDS: Duration = Duration::from_secs(2);
/// Trouble that nothing was heard of for this long is forgotten.
const TROUBLE_KEPT: Duration = Duration::from_secs(3600);

/// Whether keys can be read.
pub(super) struct Reach {
    keys: Arc<dyn Keys>,
    clock: Arc<dyn Clock>,
    asking: Together<(), bool>,
    /// What was answered last, and when.
    last: Arc<Mutex<Option<(Moment, bool)>>>,
    /// The hooks of tenants whose keys could not be read when that was last tried, and when that was.
    troubles: Mutex<HashMap<TenantId, HashMap<String, Moment>>>,
}

impl Reach {
    pub(super) fn new(keys: Arc<dyn Keys>, clock: Arc<dyn Clock>) -> Self {
        Self { keys, clock, asking: Together::default(), last: Arc::default(), troubles: Mutex::default() }
    }

    /// Whether the secret service answered a moment ago, or does now.
    pub(super) async fn is_there(&self) -> bool {
        let known = || {
            let last = *locked(&self.last);
            last.filter(|(at, _)| is_within(*at, self.clock.now(), HOLDS)).map(|(_, there)| there)
        };
        if let Some(there) = known() {
            return there;
        }
        let ask = || {
            let (keys, clock, last) = (Arc::clone(&self.keys), Arc::clone(&self.clock), Arc::clone(&self.last));
            async move {
                let there = match tokio::time::timeout(WITHIN, keys.probe()).await {
                    Ok(Ok(())) => true,
                    Ok(Err(error)) => {
                        tracing::warn!(%error, "the keys of hooks cannot be read now");
                        false
                    }
                    Err(_) => {
                        tracing::warn!("the keys of hooks cannot be read now: the secret service does not answer");
                        false
                    }
                };
                *locked(&last) = Some((clock.now(), there));
                there
            }
        };
        self.asking.of((), known, ask).await.unwrap_or(false)
    }

    /// A key could not be read: whether any can is found out anew.
    pub(super) fn doubt(&self) {
        *locked(&self.last) = None;
    }

    /// The keys of a hook cannot be read now, for a reason that may be its own or its tenant's.
    pub(super) fn note_trouble(&self, (tenant, hook): &Place) {
        let now = self.clock.now();
        let mut troubles = locked(&self.troubles);
        troubles.retain(|_, hooks| {
            hooks.retain(|_, at| is_within(*at, now, TROUBLE_KEPT));
            !hooks.is_empty()
        });
        troubles.entry(tenant.clone()).or_default().insert(hook.clone(), now);
    }

    /// The keys of a hook were read, or it is gone.
    pub(super) fn end_trouble(&self, (tenant, hook): &Place) {
        let mut troubles = locked(&self.troubles);
        if let Some(hooks) = troubles.get_mut(tenant) {
            hooks.remove(hook);
            if hooks.is_empty() {
                troubles.remove(tenant);
            }
        }
    }

    /// Whether the keys of a hook could not be read a moment ago: it is not tried again so soon.
    pub(super) fn is_paused(&self, (tenant, hook): &Place) -> bool {
        let now = self.clock.now();
        let troubles = locked(&self.troubles);
        troubles.get(tenant).and_then(|hooks| hooks.get(hook)).is_some_and(|at| is_within(*at, now, HOLDS))
    }

    /// Whether there is a hook in a tenant whose keys cannot be read. It is so until they can be.
    pub(super) fn is_in_trouble(&self, tenant: &TenantId) -> bool {
        let now = self.clock.now();
        let troubles = locked(&self.troubles);
        troubles.get(tenant).is_some_and(|hooks| hooks.values().any(|at| is_within(*at, now, TROUBLE_KEPT)))
    }
}

/// Whether something was less than so long ago. A clock that was set back makes nothing last longer.
fn is_within(at: Moment, now: Moment, time: Duration) -> bool {
    at <= now && now.since(at) < time
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
