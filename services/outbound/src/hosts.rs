//! How many requests a host, and all hosts together, have at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) struct Hosts {
    all: Arc<Semaphore>,
    per_host: usize,
    /// Requests at a time by host and port; a host without any is not in it.
    counts: Arc<Mutex<HashMap<(String, u16), usize>>>,
}

/// A place for one request, free again when dropped.
pub(crate) struct Place {
    counts: Arc<Mutex<HashMap<(String, u16), usize>>>,
    host: (String, u16),
    _one_of_all: OwnedSemaphorePermit,
}

impl Hosts {
    pub(crate) fn new(all: usize, per_host: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all.max(1))), per_host: per_host.max(1), counts: Arc::default() }
    }

    /// A place at this host, if one is free. Nothing waits here: a waiting request would take the time and the worker
    /// of one that could be sent.
    pub(crate) fn place(&self, host: &str, port: u16) -> Option<Place> {
        let one_of_all = self.all.clone().try_acquire_owned().ok()?;
        let host = (host.to_owned(), port);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(host.clone()).or_default();
        if *count >= self.per_host {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Place { counts: self.counts.clone(), host, _one_of_all: one_of_all })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.host) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                counts.remove(&self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_per_host_and_in_all_and_nothing_is_kept_of_an_idle_host() {
        let hosts = Hosts::new(3, 2);
        let first = hosts.place("a", 443).unwrap();
        let _second = hosts.place("a", 443).unwrap();
        assert!(hosts.place("a", 443).is_none());
        let third = hosts.place("a", 8443).unwrap();
        assert!(hosts.place("b", 443).is_none(), "three in all");
        drop((first, third));
        let _again = hosts.place("a", 443).unwrap();
        assert_eq!(hosts.counts.lock().unwrap().len(), 1);
    }
}
