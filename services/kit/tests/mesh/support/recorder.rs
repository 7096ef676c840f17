//! An audit log that a test can take down or make slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use runwarden_kit::audit::{Entry, MemoryRecorder, Recorder};
use runwarden_kit::{Error, Result};
use tokio::sync::watch;

pub(crate) struct HeldRecorder {
    memory: Arc<MemoryRecorder>,
    held: watch::Sender<bool>,
    asked: AtomicUsize,
}

impl Default for HeldRecorder {
    fn default() -> Self {
        Self { memory: MemoryRecorder::new(), held: watch::Sender::new(false), asked: AtomicUsize::new(0) }
    }
}

impl HeldRecorder {
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.memory.entries()
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.memory.set_down(down);
    }

    /// Makes everyone wait, or lets them go on.
    pub(crate) fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Recorder for HeldRecorder {
    async fn record_all(&self, entries: Vec<Entry>) -> Result<()> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        // The sender lives as long as this does.
        self.held.subscribe().wait_for(|held| !held).await.map(drop).map_err(Error::internal)?;
        self.memory.record_all(entries).await
    }
}
