//! Runs that should not be, kept until they have stopped.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::audit::Entry;
use runwarden_kit::clock::Moment;

use super::Effects;
use crate::job::Stray;

/// Stores stray runs. They arrive as [`Effects`] of the change that found them.
#[async_trait]
pub trait StrayRuns {
    /// Those that are due, longest due first; at most so many.
    async fn strays(&self, now: Moment, limit: usize) -> Result<Vec<Stray>>;

    /// How many there are.
    async fn count_strays(&self) -> Result<usize>;

    /// Makes it due at another time, unless another executor did in the meantime: then false.
    async fn take_stray(&self, stray: &Stray, until: Moment) -> Result<bool>;

    /// Writes it as it is.
    async fn keep_stray(&self, stray: &Stray) -> Result<()>;

    /// Removes it, with the entry about its end, unless another executor did: then none.
    async fn settle_stray(&self, stray: &Stray, entry: Entry) -> Result<Option<Effects>>;
}
