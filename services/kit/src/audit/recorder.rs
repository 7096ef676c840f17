//! Making entries durable in the audit log before anything is answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use runwarden_proto::audit::v1::audit_service_client::AuditServiceClient;
use runwarden_proto::audit::v1::{AppendEntriesRequest, CompareHeadsRequest, Entry, LogHead, UntrustedLog};

use super::seen::{Seen, can_follow};
use crate::error::{Error, Result};
use crate::mesh::MeshChannel;
use crate::reason::ErrorReason;

/// Makes entries durable before it answers.
#[async_trait]
pub trait Recorder: Send + Sync + 'static {
    /// Records entries.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE` or `AUDIT_LOG_UNTRUSTED` if they are not durable: then what they describe must not happen.
    async fn record_all(&self, entries: Vec<Entry>) -> Result<()>;

    /// Records one entry.
    ///
    /// # Errors
    /// As [`Recorder::record_all`].
    async fn record(&self, entry: Entry) -> Result<()> {
        self.record_all(vec![entry]).await
    }

    /// Records entries for callers that need to know why they were not accepted.
    ///
    /// # Errors
    /// As the audit service said it: what is wrong with an entry is a field under `/entries/`.
    async fn append(&self, entries: Vec<Entry>) -> Result<()> {
        self.record_all(entries).await
    }

    /// Which of these logs take nothing, because they do not continue what was seen or for another reason.
    ///
    /// # Errors
    /// When the audit service cannot be asked.
    async fn compare(&self, seen: Vec<LogHead>) -> Result<Vec<UntrustedLog>> {
        let _nothing_to_compare_with = seen;
        Ok(Vec::new())
    }

    /// What was seen of the logs, if anything is kept.
    fn seen(&self) -> Option<&Seen> {
        None
    }
}

/// Records through the audit service.
pub struct MeshRecorder {
    client: AuditServiceClient<MeshChannel>,
    seen: Seen,
}

impl MeshRecorder {
    /// Over a channel to the audit service.
    #[must_use]
    pub fn new(channel: MeshChannel) -> Arc<Self> {
        Arc::new(Self { client: AuditServiceClient::new(channel), seen: Seen::default() })
    }
}

#[async_trait]
impl Recorder for MeshRecorder {
    async fn record_all(&self, entries: Vec<Entry>) -> Result<()> {
        self.append(entries).await.map_err(|error| match error.reason() {
            ErrorReason::AuditLogUntrusted => error,
            _ => Error::new(
                ErrorReason::AuditUnavailable,
                "This could not be recorded in the audit log, so it was not done.",
            )
            .with_cause(error),
        })
    }

    async fn append(&self, entries: Vec<Entry>) -> Result<()> {
        let tenants: BTreeSet<&str> = entries.iter().map(|entry| entry.tenant.as_str()).collect();
        let seen = self.seen.of(tenants);
        let request = AppendEntriesRequest { entries, seen: seen.clone() };
        let answer = self.client.clone().append_entries(request).await.map_err(|status| Error::from_status(&status))?;
        let heads = answer.into_inner().heads;
        for earlier in &seen {
            let now = heads.iter().find(|head| head.tenant == earlier.tenant);
            if !now.is_some_and(|now| can_follow(earlier, now)) {
                return Err(untrusted(
                    "This audit log is older than what was seen of it. Nothing is recorded in it until an operator \
                     has looked at it.",
                ));
            }
        }
        self.seen.learn(&heads);
        Ok(())
    }

    async fn compare(&self, seen: Vec<LogHead>) -> Result<Vec<UntrustedLog>> {
        let answer = self.client.clone().compare_heads(CompareHeadsRequest { seen }).await;
        Ok(answer.map_err(|status| Error::from_status(&status))?.into_inner().untrusted)
    }

    fn seen(&self) -> Option<&Seen> {
        Some(&self.seen)
    }
}

/// The refusal of work that would have to be recorded in a log that accepts nothing.
pub(super) fn untrusted(why: &str) -> Error {
    Error::new(ErrorReason::AuditLogUntrusted, why)
}
