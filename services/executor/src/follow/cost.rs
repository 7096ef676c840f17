//! What a look costs beyond what it achieves. Asking what became of runs is work for its own sake, and so is asking about
//! one of which there is no news: the more of that, the longer the pause after it. Recording that a run ended is done
//! once for each run, however often it is looked; if that counted, many ends would make long pauses, and runs that end
//! by the hundred would be recorded slower than they end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time that a look has cost so far.
#[derive(Debug, Default)]
pub(super) struct Cost(AtomicU64);

impl Cost {
    /// Counts the time until what is answered is dropped.
    pub(super) fn asking(&self) -> Asking<'_> {
        Asking { cost: self, begun: Instant::now() }
    }

    /// Counts this.
    pub(super) fn add(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2), Ordering::Relaxed);
    }

    /// All of it.
    pub(super) fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// Time that counts while this lives.
#[must_use]
pub(super) struct Asking<'a> {
    cost: &'a Cost,
    begun: Instant,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.cost.add(self.begun.elapsed());
    }
}
