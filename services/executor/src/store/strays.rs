//! Runs that should not be, kept until they have stopped.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::audit::Entry;
use runwarden_kit::clock::Moment;

use super::Effects;
use crate::job::Stray;

/// Keeps them. They come in as [`Effects`] of what brought them to light.
#[async_trait]
pub trait StrayRuns {
    /// Those that are due, longest due first; at most so many.
    async fn strays(&self, now: Moment, limit: usize) -> Result<Vec<Stray>>;

    /// How many there are.
    async fn count_strays(&self) -> Result<usize>;

    /// Makes it due at another time, unless somebody else did meanwhile: then false.
    async fn take_stray(&self, stray: &Stray, until: Moment) -> Result<bool>;

    /// Writes it as it is.
    async fn keep_stray(&self, stray: &Stray) -> Result<()>;

    /// Forgets it, with the entry that says how it came to its end, unless somebody else did: then none.
    async fn settle_stray(&self, stray: &Stray, entry: Entry) -> Result<Option<Effects>>;
}
