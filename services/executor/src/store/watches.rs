//! Runs that are followed: which jobs run, what changed of them, and which executor follows which controller's.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;

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

/// A controller that currently reports nothing of its runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The controller, by Runwarden's name.
    pub controller: String,
    /// Since when.
    pub since: Moment,
    /// Why, for people.
    pub why: String,
}

impl Silence {
    /// What to report of a run there instead of its last known state.
    #[must_use]
    pub fn progress(&self) -> String {
        format!("nothing is known of its run since {}: {}", self.since.rfc3339(), self.why)
    }
}

/// Keeps what is followed.
#[async_trait]
pub trait Watches {
    /// The number of the latest change.
    async fn version(&self) -> Result<i64>;

    /// Running jobs by id, after this one; at most so many.
    async fn running(&self, after: &str, limit: usize) -> Result<Vec<Job>>;

    /// What changed after a number, in order; at most so many. A job that changed twice is listed once. No change with
    /// a lower number appears after one with a higher: a reader that continues from the last one misses none.
    async fn changed(&self, after: i64, limit: usize) -> Result<Vec<Changed>>;

    /// As [`Watches::changed`], with every job as it stands, and the number of its last change.
    async fn changed_jobs(&self, after: i64, limit: usize) -> Result<Vec<(i64, Job)>>;

    /// Whether this executor follows the runs of a controller; it begins to if no executor does. If several race, one
    /// does.
    async fn watch(&self, tenant: &TenantId, controller: &str, holder: &str) -> Result<bool>;

    /// This executor follows nothing any more.
    async fn unwatch(&self, holder: &str) -> Result<()>;

    /// Of which of a tenant's controllers nothing is known.
    async fn silences(&self, tenant: &TenantId) -> Result<Vec<Silence>>;

    /// Records a silence in place of an earlier one. The executor that follows the controller's runs does this.
    async fn silent(&self, tenant: &TenantId, silence: &Silence) -> Result<()>;

    /// A controller's runs are known again.
    async fn heard(&self, tenant: &TenantId, controller: &str) -> Result<()>;
}
