//! Changes are taken on only while there is room for their audit entries, and tell when there is one.

use runwarden_kit::{Result, audit};

/// The outbox of this service's store.
#[derive(Clone)]
pub(crate) struct Outbox(pub(crate) audit::Outbox);

impl Outbox {
    /// Makes a change that puts an entry into the outbox, for the log of this tenant; the platform's if it is empty.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE` when too many entries of the tenant wait already, `AUDIT_LOG_UNTRUSTED` when its log takes
    /// none: then the change is not begun. Else what the change says.
    pub(crate) async fn change<T>(&self, tenant: &str, change: impl Future<Output = Result<T>>) -> Result<T> {
        self.0.check_room(tenant).await?;
        let outcome = change.await;
        // Also after a failure: a rotation may have put something in before it failed.
        self.0.ring();
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use runwarden_kit::ErrorReason;
    use runwarden_kit::audit::{self, Entry, MAX_PENDING, MemoryOutbox};

    use super::Outbox;

    #[tokio::test]
    async fn a_change_is_not_begun_when_too_many_entries_of_its_tenant_wait() {
        let entry = |number| Entry { entry_id: format!("rec_{number}"), tenant: "acme".into(), ..Entry::default() };
        let full = (0..MAX_PENDING).map(entry).collect();
        let outbox = Outbox(audit::Outbox::undrained(MemoryOutbox::holding(full)));
        for (tenant, expected) in [("acme", Err(ErrorReason::AuditUnavailable)), ("umbrella", Ok(())), ("", Ok(()))] {
            let begun = AtomicBool::new(false);
            let change = async {
                begun.store(true, Ordering::SeqCst);
                Ok(())
            };
            let outcome = outbox.change(tenant, change).await;
            assert_eq!(outcome.map_err(|error| error.reason()), expected, "{tenant}");
            assert_eq!(begun.load(Ordering::SeqCst), expected.is_ok(), "{tenant}");
        }
    }
}
