//! Executors that share the store, and what each of them holds.

use async_trait::async_trait;
use runwarden_kit::Result;

/// What an executor shows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Its id.
    pub holder: String,
    /// A number that moves while it lives.
    pub beat: i64,
}

/// Knows which executors are alive. No clock is read: one that stands still is dead.
#[async_trait]
pub trait Executors {
    /// This one starts: what it held in an earlier life is free again, under new fences. Answers how many jobs that were.
    async fn resume(&self, holder: &str) -> Result<u64>;

    /// This one lives.
    async fn beat(&self, holder: &str) -> Result<()>;

    /// What all others show.
    async fn beats(&self, holder: &str) -> Result<Vec<Beat>>;

    /// Frees everything a dead executor holds, under new fences, unless it has moved since. Returns how many jobs that
    /// were; none if it has moved, or if another executor freed them.
    async fn free(&self, gone: &Beat) -> Result<Option<u64>>;
}
