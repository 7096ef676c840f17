//! Telling the launcher and the watchers that there is something to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Rings when there is work; a ring without a listener is kept.
#[derive(Clone, Default)]
pub struct WorkBell(Arc<Bell>);

#[derive(Default)]
struct Bell {
    rung: Notify,
    ended: AtomicBool,
}

impl WorkBell {
    /// There is work.
    pub fn ring(&self) {
        self.0.rung.notify_one();
    }

    /// There is work, because a job ended: what was full may have room.
    pub fn ring_ended(&self) {
        self.0.ended.store(true, Ordering::Release);
        self.ring();
    }

    /// Whether a job ended since this was asked last.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.0.ended.swap(false, Ordering::AcqRel)
    }

    /// Whether it rang since this was asked last.
    #[cfg(test)]
    pub(crate) fn has_rung(&self) -> bool {
        use futures::FutureExt as _;
        self.0.rung.notified().now_or_never().is_some()
    }

    /// Waits for a ring, but not longer than this.
    pub async fn heard_within(&self, limit: Duration) {
        let _either = tokio::time::timeout(limit, self.0.rung.notified()).await;
    }
}
