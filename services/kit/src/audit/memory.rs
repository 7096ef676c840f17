//! Stand-ins that keep everything in memory: for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use runwarden_proto::audit::v1::{Entry, LogHead};

use super::outbox::{OutboxStore, SetAside};
use super::recorder::Recorder;
use crate::error::{Error, Result};
use crate::reason::ErrorReason;

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

/// An outbox in memory: for tests.
#[derive(Default)]
pub struct MemoryOutbox(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    waiting: Vec<Entry>,
    aside: Vec<SetAside>,
    seen: BTreeMap<String, LogHead>,
}

impl MemoryOutbox {
    /// An outbox with these entries in it.
    #[must_use]
    pub fn holding(entries: Vec<Entry>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Kept { waiting: entries, ..Kept::default() })))
    }

    /// Adds an entry.
    pub fn put(&self, entry: Entry) {
        self.kept().waiting.push(entry);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl OutboxStore for MemoryOutbox {
    async fn waiting(&self) -> Result<Vec<String>> {
        let tenants: BTreeSet<String> = self.kept().waiting.iter().map(|entry| entry.tenant.clone()).collect();
        Ok(tenants.into_iter().collect())
    }

    async fn pending(&self, tenant: &str, limit: usize) -> Result<Vec<Entry>> {
        Ok(self.kept().waiting.iter().filter(|entry| entry.tenant == tenant).take(limit).cloned().collect())
    }

    async fn count(&self, tenant: &str) -> Result<usize> {
        let kept = self.kept();
        let aside = kept.aside.iter().filter_map(|aside| aside.entry.as_ref());
        Ok(kept.waiting.iter().chain(aside).filter(|entry| entry.tenant == tenant).count())
    }

    async fn totals(&self) -> Result<(usize, usize)> {
        let kept = self.kept();
        Ok((kept.waiting.len(), kept.aside.len()))
    }

    async fn settle(&self, tenant: &str, entry_ids: &[String], seen: &[LogHead]) -> Result<()> {
        let mut kept = self.kept();
        kept.waiting.retain(|entry| entry.tenant != tenant || !entry_ids.contains(&entry.entry_id));
        kept.seen.extend(seen.iter().map(|head| (head.tenant.clone(), head.clone())));
        Ok(())
    }

    async fn seen(&self) -> Result<Vec<LogHead>> {
        Ok(self.kept().seen.values().cloned().collect())
    }

    async fn set_aside(&self, refused: &SetAside) -> Result<()> {
        let mut kept = self.kept();
        kept.waiting.retain(|entry| Some(entry) != refused.entry.as_ref());
        kept.aside.push(refused.clone());
        Ok(())
    }

    async fn aside(&self) -> Result<Vec<SetAside>> {
        Ok(self.kept().aside.clone())
    }

    async fn send_again(&self, tenant: &str, entry_id: &str) -> Result<bool> {
        let mut kept = self.kept();
        let is_it = |entry: &Entry| entry.tenant == tenant && entry.entry_id == entry_id;
        let Some(at) = kept.aside.iter().position(|aside| aside.entry.as_ref().is_some_and(is_it)) else {
            return Ok(false);
        };
        let again = kept.aside.remove(at).entry;
        kept.waiting.extend(again);
        Ok(true)
    }
}
