//! How old the news is.

use std::time::Duration;

use super::Trust;

impl Trust {
    /// Whether the copy was confirmed within this time: what was revoked before that is in it.
    #[must_use]
    pub fn is_recent(&self, within: Duration) -> bool {
        let confirmed = self.confirmed().state;
        self.source.is_none() || confirmed.is_some_and(|at| (self.ticks)().saturating_duration_since(at) <= within)
    }
}
