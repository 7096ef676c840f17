//! Audit entries: built the same way everywhere, handed over durably.
//!
//! A change in a store carries its entry in the same transaction ([`OutboxStore`]); [`drain`] hands it over. What has
//! no store of its own waits for [`Recorder::record`] before it answers.

mod details;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
pub use details::MAX_DETAILS;
use prost::Message as _;
use runwarden_proto::audit::v1::AppendEntriesRequest;
use runwarden_proto::audit::v1::audit_service_client::AuditServiceClient;
pub use runwarden_proto::audit::v1::{Actor, Entry, Outcome};
use serde_json::Value;

use crate::caller::Caller;
use crate::clock::Clock;
use crate::context;
use crate::error::{Error, Result};
use crate::id;
use crate::lifecycle::Shutdown;
use crate::mesh::{MeshChannel, Service};
use crate::reason::ErrorReason;

/// How many entries may wait in an outbox before changes are refused.
pub const MAX_PENDING: usize = 10_000;
/// How many entries are looked at at once.
const BATCH: usize = 200;
/// How many bytes of entries are handed over at once.
const PORTION: usize = 2 * 1024 * 1024;

/// Builds an entry: `EntryBuilder::new(Service::Executor, "job.submit", "job", id).…build()`.
#[derive(Clone, Debug)]
pub struct EntryBuilder(Entry);

impl EntryBuilder {
    /// What was done to what. Ids, trace, address and caller are taken from the request being served.
    #[must_use]
    pub fn new(clock: &dyn Clock, service: Service, action: &str, object_type: &str, object_id: &str) -> Self {
        let context = context::current();
        let mut entry = Entry {
            entry_id: id::new("rec"),
            occurred_at: Some(clock.now().to_proto()),
            service: service.name().into(),
            action: action.into(),
            object_type: object_type.into(),
            object_id: object_id.into(),
            outcome: Outcome::Success.into(),
            source_address: context.source_address,
            request_id: context.request_id,
            trace_id: context.trace_id,
            details_json: "{}".into(),
            ..Entry::default()
        };
        entry.actor = Some(match &context.caller {
            Some(caller) => actor_of(caller),
            None => Actor {
                principal: format!("service:{}", service.name()),
                name: service.name().into(),
                authenticated_by: "mesh".into(),
                ..Actor::default()
            },
        });
        entry.tenant = context.caller.as_ref().and_then(|c| c.tenant()).unwrap_or_default().to_owned();
        Self(entry)
    }

    /// The tenant whose log it goes into; empty for the platform's.
    #[must_use]
    pub fn tenant(mut self, tenant: &str) -> Self {
        tenant.clone_into(&mut self.0.tenant);
        self
    }

    /// Who did it, when that is not the caller of the request being served.
    #[must_use]
    pub fn actor(mut self, actor: Actor) -> Self {
        self.0.actor = Some(actor);
        self
    }

    /// How it went; success unless said.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome.into();
        self
    }

    /// The decision behind it.
    #[must_use]
    pub fn decision(mut self, decision_id: &str, policy_digest: &str) -> Self {
        decision_id.clone_into(&mut self.0.decision_id);
        policy_digest.clone_into(&mut self.0.policy_digest);
        self
    }

    /// The digest of the canonical request.
    #[must_use]
    pub fn payload_digest(mut self, digest: &str) -> Self {
        digest.clone_into(&mut self.0.payload_digest);
        self
    }

    /// The request and trace it belongs to, when that is not the request being served.
    #[must_use]
    pub fn request(mut self, request_id: &str, trace_id: &str) -> Self {
        request_id.clone_into(&mut self.0.request_id);
        trace_id.clone_into(&mut self.0.trace_id);
        self
    }

    /// What else is worth knowing: a JSON object without secrets. Anything else is left out, and what is longer than
    /// [`MAX_DETAILS`] is cut.
    #[must_use]
    pub fn details(mut self, details: &Value) -> Self {
        if details.is_object() {
            self.0.details_json = details::fitted(details);
        }
        self
    }

    /// The entry.
    #[must_use]
    pub fn build(self) -> Entry {
        self.0
    }
}

/// The actor that a caller is in a record.
#[must_use]
pub fn actor_of(caller: &Caller) -> Actor {
    Actor {
        principal: caller.principal.clone(),
        name: caller.name.clone(),
        authenticated_by: caller.authenticated_by.clone(),
        client_id: caller.client_id.clone(),
        home_tenant: caller.home_tenant.clone().unwrap_or_default(),
    }
}

/// Makes entries durable before it answers.
#[async_trait]
pub trait Recorder: Send + Sync + 'static {
    /// Records entries.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE` when they are not durable: then what they tell of must not happen.
    async fn record_all(&self, entries: Vec<Entry>) -> Result<()>;

    /// Records one entry.
    ///
    /// # Errors
    /// As [`Recorder::record_all`].
    async fn record(&self, entry: Entry) -> Result<()> {
        self.record_all(vec![entry]).await
    }
}

/// Records through the audit service.
#[derive(Clone)]
pub struct MeshRecorder(AuditServiceClient<MeshChannel>);

impl MeshRecorder {
    /// Over a channel to the audit service.
    #[must_use]
    pub fn new(channel: MeshChannel) -> Arc<Self> {
        Arc::new(Self(AuditServiceClient::new(channel)))
    }
}

#[async_trait]
impl Recorder for MeshRecorder {
    async fn record_all(&self, entries: Vec<Entry>) -> Result<()> {
        match self.0.clone().append_entries(AppendEntriesRequest { entries }).await {
            Ok(_) => Ok(()),
            Err(status) => Err(Error::new(
                ErrorReason::AuditUnavailable,
                "This could not be recorded in the audit log, so it was not done.",
            )
            .with_cause(anyhow::anyhow!("{:?}: {}", status.code(), status.message()))),
        }
    }
}

/// Keeps entries in memory, or refuses them: for tests.
#[derive(Default)]
pub struct MemoryRecorder {
    entries: std::sync::Mutex<Vec<Entry>>,
    down: std::sync::atomic::AtomicBool,
}

impl MemoryRecorder {
    /// An empty one.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// What was recorded so far.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().map(|e| e.clone()).unwrap_or_default()
    }

    /// Makes it refuse, or take entries again.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, std::sync::atomic::Ordering::SeqCst);
    }
}

#[async_trait]
impl Recorder for MemoryRecorder {
    async fn record_all(&self, entries: Vec<Entry>) -> Result<()> {
        if self.down.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(Error::new(ErrorReason::AuditUnavailable, "The audit log is down."));
        }
        if let Ok(mut kept) = self.entries.lock() {
            kept.extend(entries);
        }
        Ok(())
    }
}

/// Entries that were made durable together with the change they tell of, waiting to be handed over.
#[async_trait]
pub trait OutboxStore: Send + Sync + 'static {
    /// The oldest entries.
    ///
    /// # Errors
    /// When the store fails.
    async fn pending(&self, limit: usize) -> Result<Vec<Entry>>;

    /// Forgets entries that were handed over, by entry id.
    ///
    /// # Errors
    /// When the store fails.
    async fn remove(&self, entry_ids: &[String]) -> Result<()>;

    /// How many wait.
    ///
    /// # Errors
    /// When the store fails.
    async fn count(&self) -> Result<usize>;

    /// Refuses when too many wait: the audit log has been away for too long to take on more.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE`.
    async fn check_room(&self) -> Result<()> {
        if self.count().await? >= MAX_PENDING {
            return Err(Error::new(
                ErrorReason::AuditUnavailable,
                "The audit log has been away for too long to take on more.",
            ));
        }
        Ok(())
    }
}

/// Tells [`drain`] that something waits, so that it need not look all the time.
#[derive(Clone, Default)]
pub struct Bell(Arc<tokio::sync::Notify>);

impl Bell {
    /// Something waits.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    async fn heard(&self) {
        self.0.notified().await;
    }
}

/// Hands entries over until shutdown, oldest first, each until it is taken. On shutdown it tries once more.
pub async fn drain(outbox: Arc<dyn OutboxStore>, recorder: Arc<dyn Recorder>, bell: Bell, shutdown: Shutdown) {
    let mut failing = false;
    let mut pause = Duration::from_millis(100);
    loop {
        match drain_once(&*outbox, &*recorder).await {
            Ok(()) => {
                failing = false;
                pause = Duration::from_millis(100);
                tokio::select! {
                    () = bell.heard() => {}
                    // A replica, or a ring that was missed.
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    () = shutdown.begun() => break,
                }
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(cause = ?error.cause(), "audit entries cannot be handed over; they are kept: {error}");
                    failing = true;
                }
                if shutdown.sleep(pause).await.is_err() {
                    break;
                }
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    }
    let _last_try = tokio::time::timeout(Duration::from_secs(1), drain_once(&*outbox, &*recorder)).await;
}

/// Hands over what waits, tenant by tenant: a log that takes nothing holds up its own tenant's entries only.
async fn drain_once(outbox: &dyn OutboxStore, recorder: &dyn Recorder) -> Result<()> {
    let mut stuck: HashSet<String> = HashSet::new();
    let mut refused = None;
    loop {
        // What is stuck stays at the head of the queue; look past it.
        let entries = outbox.pending(BATCH + stuck.len()).await?;
        let mut by_tenant: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        for entry in entries {
            if !stuck.contains(&entry.entry_id) {
                by_tenant.entry(entry.tenant.clone()).or_default().push(entry);
            }
        }
        if by_tenant.is_empty() {
            return refused.map_or(Ok(()), Err);
        }
        for entries in by_tenant.into_values() {
            for entries in portions(entries) {
                let ids: Vec<String> = entries.iter().map(|e| e.entry_id.clone()).collect();
                match recorder.record_all(entries).await {
                    Ok(()) => outbox.remove(&ids).await?,
                    Err(error) => {
                        stuck.extend(ids);
                        refused = Some(error);
                    }
                }
            }
        }
    }
}

/// Cuts a batch into requests that are small enough to be taken.
fn portions(entries: Vec<Entry>) -> Vec<Vec<Entry>> {
    let mut portions: Vec<Vec<Entry>> = Vec::new();
    let mut size = 0;
    for entry in entries {
        let bytes = entry.encoded_len();
        match portions.last_mut() {
            Some(portion) if size + bytes <= PORTION => {
                size += bytes;
                portion.push(entry);
            }
            _ => {
                size = bytes;
                portions.push(vec![entry]);
            }
        }
    }
    portions
}

#[cfg(test)]
mod tests;
