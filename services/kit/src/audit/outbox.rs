//! Entries that wait to be handed over, and whether more work may be taken on: for each tenant by itself, so that a log
//! that accepts nothing stops the work of its own tenant only.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use runwarden_proto::audit::v1::{Entry, LogHead};
use tokio::sync::watch;

use super::recorder::untrusted;
use crate::clock::Moment;
use crate::error::{Error, Result};
use crate::reason::ErrorReason;

/// How many entries of one tenant may wait, those set aside included, before its changes are refused.
pub const MAX_PENDING: usize = 10_000;
/// For how long the entries of a tenant that were counted are not counted again: meanwhile, work that is taken on is
/// added to them.
const COUNTED_FOR: Duration = Duration::from_millis(250);
/// Of so many tenants the count is kept.
const MOST_COUNTED: usize = 4096;
/// How long work waits for the first comparison of the logs.
const COMPARED_WITHIN: Duration = Duration::from_secs(10);

/// An entry that the audit log refused for what it is. It is kept until an operator sends it again.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SetAside {
    /// The entry.
    #[prost(message, optional, tag = "1")]
    pub entry: Option<Entry>,
    /// Why it was refused.
    #[prost(string, tag = "2")]
    pub why: String,
    /// When, in microseconds since 1970.
    #[prost(int64, tag = "3")]
    pub at_micros: i64,
}

impl SetAside {
    /// An entry that was refused just now.
    #[must_use]
    pub fn new(entry: Entry, why: String, at: Moment) -> Self {
        Self { entry: Some(entry), why, at_micros: at.micros() }
    }
}

/// Entries that were made durable together with the change they describe, waiting to be handed over. The empty tenant
/// is the platform.
#[async_trait]
pub trait OutboxStore: Send + Sync + 'static {
    /// The tenants for which entries wait. What it costs grows with these tenants, not with the entries.
    ///
    /// # Errors
    /// When the store fails.
    async fn waiting(&self) -> Result<Vec<String>>;

    /// The oldest entries of a tenant, in the order in which their changes were made; at most so many.
    ///
    /// # Errors
    /// When the store fails.
    async fn pending(&self, tenant: &str, limit: usize) -> Result<Vec<Entry>>;

    /// How many entries of a tenant wait or are set aside.
    ///
    /// # Errors
    /// When the store fails.
    async fn count(&self, tenant: &str) -> Result<usize>;

    /// How many entries wait, and how many are set aside, of all tenants.
    ///
    /// # Errors
    /// When the store fails.
    async fn totals(&self) -> Result<(usize, usize)>;

    /// In one commit: forgets entries of a tenant that were handed over, and keeps how far logs were seen, unless more
    /// was seen of one already: what was seen never goes back. Entries that are not there are no failure, so that it
    /// may be repeated.
    ///
    /// # Errors
    /// When the store fails.
    async fn settle(&self, tenant: &str, entry_ids: &[String], seen: &[LogHead]) -> Result<()>;

    /// What was kept of how far logs were seen.
    ///
    /// # Errors
    /// When the store fails.
    async fn seen(&self) -> Result<Vec<LogHead>>;

    /// Takes an entry out of the queue and keeps it apart, in one commit. It may be repeated.
    ///
    /// # Errors
    /// When the store fails.
    async fn set_aside(&self, refused: &SetAside) -> Result<()>;

    /// All that is set aside.
    ///
    /// # Errors
    /// When the store fails.
    async fn aside(&self) -> Result<Vec<SetAside>>;

    /// Puts an entry that was set aside back into the queue, in one commit. Answers whether there was one.
    ///
    /// # Errors
    /// When the store fails.
    async fn send_again(&self, tenant: &str, entry_id: &str) -> Result<bool>;
}

/// Tells [`drain`](super::drain) that something waits, so that it need not look all the time.
#[derive(Clone, Default)]
pub struct Bell(Arc<tokio::sync::Notify>);

impl Bell {
    /// Something waits.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    /// Waits until something does. A ring while nobody waited is kept.
    pub async fn heard(&self) {
        self.0.notified().await;
    }
}

/// The outbox of a service: what waits in its store, and what is known of the logs it goes into.
#[derive(Clone)]
pub struct Outbox {
    pub(super) store: Arc<dyn OutboxStore>,
    bell: Bell,
    logs: Arc<Logs>,
}

/// What is known of the logs.
struct Logs {
    /// Whether the logs have been compared with what was seen of them. Work waits for that: else a log that was put
    /// back to an older copy would be noticed only after the first changes.
    compared: watch::Sender<bool>,
    untrusted: RwLock<BTreeMap<String, String>>,
    /// How many entries of a tenant wait, as of when; those that were handed over since included.
    counted: Mutex<HashMap<String, (usize, Instant)>>,
    aside: std::sync::atomic::AtomicUsize,
}

impl Outbox {
    /// The outbox in this store; the caller has to [drain](super::drain) it.
    #[must_use]
    pub fn new(store: Arc<dyn OutboxStore>) -> Self {
        Self::with(store, false)
    }

    /// An outbox that nobody drains: for tests.
    #[must_use]
    pub fn undrained(store: Arc<dyn OutboxStore>) -> Self {
        Self::with(store, true)
    }

    fn with(store: Arc<dyn OutboxStore>, compared: bool) -> Self {
        let compared = watch::Sender::new(compared);
        let logs = Logs { compared, untrusted: RwLock::default(), counted: Mutex::default(), aside: 0.into() };
        Self { store, bell: Bell::default(), logs: Arc::new(logs) }
    }

    /// Rings when entries wait.
    #[must_use]
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Entries wait.
    pub fn ring(&self) {
        self.bell.ring();
    }

    /// Refuses what would have to be recorded in a tenant's log while that log accepts nothing, or has been unavailable
    /// for too long. The empty tenant is the platform.
    ///
    /// # Errors
    /// `AUDIT_LOG_UNTRUSTED` or `AUDIT_UNAVAILABLE`.
    pub async fn check_room(&self, tenant: &str) -> Result<()> {
        if !*self.logs.compared.borrow() {
            let mut compared = self.logs.compared.subscribe();
            // The drain always tries, within a few seconds; without that, the bound below protects.
            let _ = tokio::time::timeout(COMPARED_WITHIN, compared.wait_for(|compared| *compared)).await;
        }
        if let Some(why) = self.logs.untrusted.read().unwrap_or_else(PoisonError::into_inner).get(tenant) {
            return Err(untrusted(why));
        }
        if self.waiting_of(tenant).await? >= MAX_PENDING {
            return Err(Error::new(
                ErrorReason::AuditUnavailable,
                "The audit log has been unavailable for too long: no more entries can be queued.",
            ));
        }
        Ok(())
    }

    /// How many entries of a tenant wait before the one that is now taken on; exactly, where it would be too many.
    async fn waiting_of(&self, tenant: &str) -> Result<usize> {
        {
            let mut counted = self.logs.counted.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((waiting, at)) = counted.get_mut(tenant)
                && at.elapsed() < COUNTED_FOR
                && *waiting < MAX_PENDING
            {
                *waiting += 1;
                return Ok(*waiting - 1);
            }
        }
        let waiting = self.store.count(tenant).await?;
        let mut counted = self.logs.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() >= MOST_COUNTED {
            counted.clear();
        }
        // Others who counted at the same time are not in it.
        let known = counted.get(tenant).filter(|(_, at)| at.elapsed() < COUNTED_FOR).map_or(0, |(known, _)| *known);
        counted.insert(tenant.to_owned(), (waiting.max(known) + 1, Instant::now()));
        Ok(waiting)
    }

    /// The logs that accept nothing, by tenant, with the reason.
    #[must_use]
    pub fn untrusted(&self) -> BTreeMap<String, String> {
        self.logs.untrusted.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What an operator should look at, in one line.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let mut notes = Vec::new();
        let aside = self.logs.aside.load(std::sync::atomic::Ordering::Relaxed);
        if aside > 0 {
            notes.push(format!("{aside} entries set aside"));
        }
        let untrusted = self.untrusted();
        if !untrusted.is_empty() {
            let names: Vec<&str> = untrusted.keys().map(|tenant| super::log_name(tenant)).collect();
            notes.push(format!("refusing work that would be recorded in the log of {}", names.join(", ")));
        }
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    pub(super) fn distrust(&self, tenant: &str, why: &str) {
        let mut untrusted = self.logs.untrusted.write().unwrap_or_else(PoisonError::into_inner);
        if untrusted.insert(tenant.to_owned(), why.to_owned()).is_none() {
            tracing::error!(
                tenant = super::log_name(tenant),
                why,
                "an audit log accepts nothing; work that would be recorded in it is refused"
            );
        }
    }

    pub(super) fn trust(&self, tenant: &str) {
        let mut untrusted = self.logs.untrusted.write().unwrap_or_else(PoisonError::into_inner);
        if untrusted.remove(tenant).is_some() {
            tracing::info!(tenant = super::log_name(tenant), "the audit log accepts records again");
        }
    }

    pub(super) fn mark_compared(&self) {
        self.logs.compared.send_replace(true);
    }

    pub(super) fn count_aside(&self, aside: usize) {
        self.logs.aside.store(aside, std::sync::atomic::Ordering::Relaxed);
    }
}
