//! Telling the launcher and the watchers that there is something to do.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

/// Rings when there is work; a ring while nobody listens is kept.
#[derive(Clone, Default)]
pub struct WorkBell(Arc<Notify>);

impl WorkBell {
    /// There is work.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    /// Waits for a ring, but not longer than this.
    pub async fn heard_within(&self, limit: Duration) {
        let _either = tokio::time::timeout(limit, self.0.notified()).await;
    }
}
