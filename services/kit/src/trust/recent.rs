//! How old the news is.

use std::time::Duration;

use super::Trust;

impl Trust {
    /// Whether the copy was confirmed within this time: what was revoked before that is in it.
    #[must_use]
    pub fn is_recent(&self, within: Duration) -> bool {
        self.source.is_none() || self.age().is_some_and(|age| age <= within)
    }
}
