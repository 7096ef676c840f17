//! For how long this process has known of attempts, by the monotonic clock.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::job::Attempt;

/// How many are remembered. To forget one only makes it wait longer.
const MOST: usize = 10_000;

/// When attempts were first seen.
#[derive(Default)]
pub struct FirstSeen {
    seen: Mutex<HashMap<(String, u32), Instant>>,
    /// How far a test has its clock ahead.
    #[cfg(test)]
    ahead: Duration,
}

impl FirstSeen {
    /// How long ago this attempt was seen first: nothing if that is now.
    pub fn since(&self, attempt: &Attempt) -> Duration {
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST {
            seen.clear();
        }
        let first = *seen.entry((attempt.job_id.clone(), attempt.number)).or_insert(now);
        drop(seen);
        let since = now.saturating_duration_since(first);
        #[cfg(test)]
        let since = since + self.ahead;
        since
    }

    /// As if everything had been seen for so long.
    #[cfg(test)]
    pub(crate) fn ahead(ahead: Duration) -> Self {
        Self { ahead, ..Self::default() }
    }
}
