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

    /// Takes those that may be worked on now. The others wait until they may.
    pub(crate) fn take(&self, is_busy: impl Fn(&str) -> bool) -> Vec<(String, TenantId)> {
        self.lock().extract_if(|id, _| !is_busy(id)).collect()
    }

    /// One that was taken waits on, and rings for nobody.
    pub(crate) fn put_back(&self, tenant: &TenantId, delivery: String) {
        self.lock().insert(delivery, tenant.clone());
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
        assert_eq!(woken.take(|id| id == "dlv_1"), [("dlv_2".to_owned(), acme.clone())]);
        assert_eq!(woken.take(|_| true), []);
        assert_eq!(woken.take(|_| false), [("dlv_1".to_owned(), acme)]);
    }
}
