//! Runs that are followed: which jobs run, what changed of them, and which executor follows which controller's.

use async_trait::async_trait;
use runwarden_kit::Result;

use crate::job::Job;

/// A job that changed.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Its number in the order of changes over all jobs.
    pub version: i64,
    /// Its id.
    pub id: String,
    /// The job, if it runs.
    pub running: Option<Box<Job>>,
}

/// Keeps what is followed.
#[async_trait]
pub trait Watches {
    /// The number of the latest change.
    async fn version(&self) -> Result<i64>;

    /// Running jobs by id, after this one; at most so many.
    async fn running(&self, after: &str, limit: usize) -> Result<Vec<Job>>;

    /// What changed after a number, in order; at most so many. A job that changed twice is told once.
    async fn changed(&self, after: i64, limit: usize) -> Result<Vec<Changed>>;

    /// Whether this executor follows the runs of a controller; it begins to if nobody does.
    async fn watch(&self, tenant: &str, controller: &str, holder: &str) -> Result<bool>;

    /// This executor follows nothing any more.
    async fn unwatch(&self, holder: &str) -> Result<()>;
}
