//! Who keeps something of ours, what each has heard, and until when it may use what it keeps.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use runwarden_kit::watched::STALE;
use runwarden_kit::{Error, id};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How many there may be: one for each process that keeps something.
const MOST: usize = 1024;

#[derive(Default)]
pub(super) struct Watchers {
    seen: Mutex<HashMap<String, Watcher>>,
    /// Somebody came back.
    back: Notify,
}

#[derive(Clone, Copy)]
struct Watcher {
    /// Up to which revision it has heeded what it was told; none if it begins.
    heeded: Option<i64>,
    /// When what it is answered now lends it no more time. It counts from when it asked, which was earlier.
    until: Instant,
}

impl Watchers {
    fn seen(&self) -> MutexGuard<'_, HashMap<String, Watcher>> {
        // Each entry is whole by itself.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a watcher asks, and what it has heeded. To be called before the store is looked at for it.
    pub(super) fn came(&self, watcher: &str, heeded: Option<i64>) -> Result<(), Error> {
        if !id::is_valid("watcher", watcher) {
            return Err(Error::invalid("/watcher", "must be an id such as `watcher_…`"));
        }
        let now = Instant::now();
        let mut seen = self.seen();
        if !seen.contains_key(watcher) && seen.len() >= MOST {
            seen.retain(|_, watcher| watcher.until > now);
            if seen.len() >= MOST {
                return Err(Error::unavailable("Too many services follow this one."));
            }
        }
        seen.insert(watcher.to_owned(), Watcher { heeded, until: now + STALE });
        drop(seen);
        self.back.notify_waiters();
        Ok(())
    }

    /// Waits until every watcher has heeded a revision that was just noted, or may not use any more what it kept before.
    /// That is a matter of milliseconds, and never more than [`STALE`].
    pub(super) async fn heeded(&self, revision: i64) {
        // Who comes later is told of the revision: its answer is made from a look at the store that is yet to come.
        let mut owing: Vec<(String, Instant)> = Vec::new();
        {
            let now = Instant::now();
            let mut seen = self.seen();
            seen.retain(|_, watcher| watcher.until > now);
            let behind = seen.iter().filter(|(_, watcher)| watcher.heeded.is_none_or(|heeded| heeded < revision));
            owing.extend(behind.map(|(name, watcher)| (name.clone(), watcher.until)));
        }
        loop {
            let back = self.back.notified();
            tokio::pin!(back);
            back.as_mut().enable();
            {
                let now = Instant::now();
                let seen = self.seen();
                let has_heeded = |name: &str| {
                    seen.get(name).and_then(|watcher| watcher.heeded).is_some_and(|heeded| heeded >= revision)
                };
                owing.retain(|(name, until)| *until > now && !has_heeded(name));
            }
            let Some(last) = owing.iter().map(|(_, until)| *until).max() else { return };
            tokio::select! {
                () = back => {}
                () = tokio::time::sleep_until(last) => {}
            }
        }
    }
}
