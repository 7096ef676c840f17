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

/// Knows which executors live. No clock is asked: who stands still is gone.
#[async_trait]
pub trait Executors {
    /// This one starts: what it held in an earlier life is free again, under new fences. Answers how many jobs that were.
    async fn resume(&self, holder: &str) -> Result<u64>;

    /// This one lives.
    async fn beat(&self, holder: &str) -> Result<()>;

    /// What all others show.
    async fn beats(&self, holder: &str) -> Result<Vec<Beat>>;

    /// Frees all that an executor holds that is gone, under new fences, unless it has moved since. Answers how many
    /// jobs that were; none if it has moved, or if somebody else freed it.
    async fn free(&self, gone: &Beat) -> Result<Option<u64>>;
}
