//! Run tasks about which there is something to say before they are due: their delivery was done with, or their job
//! ended. Kept in memory: whoever dies looks at each task when it is due, which is soon enough.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use runwarden_kit::tenant::TenantId;
use tokio::sync::Notify;

/// The most that are kept at a time; beyond that, tasks are looked at when they are due.
const MAX_WOKEN: usize = 10_000;

/// Deliveries whose run task is to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Woken {
    deliveries: Mutex<HashMap<String, TenantId>>,
    bell: Notify,
}

impl Woken {
    /// There is something to say about this delivery's run task, if it has one.
    pub(crate) fn wake(&self, tenant: &TenantId, delivery: &str) {
        {
            let mut deliveries = self.lock();
            if deliveries.len() >= MAX_WOKEN {
                return;
            }
            deliveries.insert(delivery.to_owned(), tenant.clone());
        }
        self.bell.notify_one();
    }

    /// Waits until there is one.
    pub(crate) async fn any(&self) {
        self.bell.notified().await;
    }

    /// Takes those that are not worked on now. The others wait until they are not.
    pub(crate) fn take(&self, is_busy: impl Fn(&str) -> bool, most: usize) -> Vec<(String, TenantId)> {
        let mut deliveries = self.lock();
        let ready: Vec<String> = deliveries.keys().filter(|id| !is_busy(id)).take(most).cloned().collect();
        ready.into_iter().filter_map(|id| deliveries.remove_entry(&id)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, TenantId>> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_worked_on_waits_and_is_not_forgotten() {
        let (woken, acme) = (Woken::default(), TenantId::trusted("acme"));
        woken.wake(&acme, "dlv_1");
        woken.wake(&acme, "dlv_2");
        assert_eq!(woken.take(|id| id == "dlv_1", 10), [("dlv_2".to_owned(), acme.clone())]);
        assert_eq!(woken.take(|_| true, 10), []);
        assert_eq!(woken.take(|_| false, 10), [("dlv_1".to_owned(), acme)]);
    }
}
