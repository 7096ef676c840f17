//! Changes are taken on only while there is room for their audit entries, and tell when there is one.

use std::sync::Arc;

use runwarden_kit::Result;
use runwarden_kit::audit::{Bell, OutboxStore};

/// The outbox of this service's store.
#[derive(Clone)]
pub(crate) struct Outbox {
    waiting: Arc<dyn OutboxStore>,
    bell: Bell,
}

impl Outbox {
    pub(crate) fn new(waiting: Arc<dyn OutboxStore>, bell: Bell) -> Self {
        Self { waiting, bell }
    }

    /// Makes a change that puts an entry into the outbox.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE` when too many entries wait already: then the change is not begun. Else what the change says.
    pub(crate) async fn change<T>(&self, change: impl Future<Output = Result<T>>) -> Result<T> {
        self.waiting.check_room().await?;
        let outcome = change.await;
        // Also after a failure: a rotation may have put something in before it failed.
        self.bell.ring();
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use async_trait::async_trait;
    use runwarden_kit::audit::{Bell, Entry, MAX_PENDING, OutboxStore};
    use runwarden_kit::{ErrorReason, Result};

    use super::Outbox;

    struct Waiting(usize);

    #[async_trait]
    impl OutboxStore for Waiting {
        async fn pending(&self, _limit: usize) -> Result<Vec<Entry>> {
            Ok(Vec::new())
        }

        async fn remove(&self, _entry_ids: &[String]) -> Result<()> {
            Ok(())
        }

        async fn count(&self) -> Result<usize> {
            Ok(self.0)
        }
    }

    #[tokio::test]
    async fn a_change_is_not_begun_when_too_many_entries_wait() {
        for (waiting, expected) in [(MAX_PENDING - 1, Ok(())), (MAX_PENDING, Err(ErrorReason::AuditUnavailable))] {
            let begun = AtomicBool::new(false);
            let outbox = Outbox::new(Arc::new(Waiting(waiting)), Bell::default());
            let outcome = outbox
                .change(async {
                    begun.store(true, Ordering::SeqCst);
                    Ok(())
                })
                .await;
            assert_eq!(outcome.map_err(|error| error.reason()), expected);
            assert_eq!(begun.load(Ordering::SeqCst), expected.is_ok());
        }
    }
}
