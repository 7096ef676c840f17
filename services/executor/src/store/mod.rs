//! Where jobs live. Every change is one transaction that carries the job, its events, its attempt and its audit
//! entries together.
//!
//! The traits are here. `kernel` keeps their promises, once for all engines; `engine` says what rows an engine keeps, and
//! only the engines know SQL.
//!
//! May use `job`, the terms of `wait` (limits, places, turns) and the transitions of `launch/protocol`.

#[cfg(test)]
pub(crate) mod conformance;
mod effects;
mod engine;
mod executors;
mod kernel;
mod opened;
mod queues;
pub(crate) mod sqlite;
mod strays;
mod watches;

pub use effects::{Committed, Effects, JobChange, News};
pub use executors::{Beat, Executors};
pub use opened::Stores;
pub use queues::{Begin, Begun, Claim, Claimed, Queues};
pub use strays::StrayRuns;
pub use watches::{Changed, Silence, Watches};

use std::time::Duration;

use async_trait::async_trait;
use runwarden_awx::Installation;
use runwarden_kit::Result;
use runwarden_kit::audit::Entry;
use runwarden_kit::caller::Visible;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;

use crate::job::{Attempt, Bound, Job, JobState, Run};

/// A job to accept, with everything that must become durable with it.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// The job.
    pub job: Job,
    /// The request's idempotency key, hashed, and the digest of its body.
    pub idempotency: Option<IdempotencyClaim>,
    /// The audit entries.
    pub entries: Vec<Entry>,
    /// How many jobs may wait.
    pub room: Room,
}

impl Acceptance {
    /// Of a job alone.
    #[must_use]
    pub fn of(job: Job) -> Self {
        Self { job, idempotency: None, entries: Vec::new(), room: Room::default() }
    }
}

/// How many jobs may wait to be begun; 0 for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Of the template.
    pub of_template: u32,
    /// Of the tenant.
    pub of_tenant: u32,
}

/// A request that wants to be answered once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyClaim {
    /// Who asked.
    pub principal: String,
    /// SHA-256 of the key, hex.
    pub key_hash: String,
    /// The digest of the body.
    pub body_digest: String,
}

/// What became of an acceptance.
#[derive(Clone, Debug)]
pub enum Accepted {
    /// The job is durable, with these effects.
    New(Box<Effects>),
    /// An earlier request with the same key and body made this job.
    Replayed(Box<Job>),
    /// The key was used with another body.
    KeyReused,
    /// The queue is full.
    QueueFull {
        /// Whose: `template` or `tenant`.
        of: &'static str,
        /// The time between two beginnings of the template's jobs lately, if it can be told.
        pace: Option<Duration>,
    },
}

/// Which jobs to list, of those that a caller may see.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Only these states; empty for all.
    pub states: Vec<JobState>,
    /// Only this template.
    pub template: Option<String>,
    /// Only this project.
    pub project: Option<String>,
    /// Only jobs accepted after this.
    pub created_after: Option<Moment>,
    /// Only jobs before this id, for paging.
    pub before: Option<String>,
    /// How many.
    pub limit: usize,
}

/// One event of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobEvent {
    /// Its number in the job, from 1.
    pub number: i64,
    /// When it happened.
    pub at: Moment,
    /// What happened.
    pub what: Happening,
}

/// What an event tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// The job as it stood.
    State(Box<Job>),
    /// Something the run printed.
    Output(String),
}

/// Keeps jobs.
///
/// What every engine promises, here and in the traits beside this one, is what `conformance` checks. Each call that
/// writes is one transaction: all of it happens or nothing, and all if it answers `Ok`. A call that fails may have
/// happened: its caller looks, or does it again. Times order nothing: events, changes and fences have numbers.
#[async_trait]
pub trait JobStore: Queues + Executors + Watches + StrayRuns + Send + Sync + 'static {
    /// Makes a job durable, or finds the one an earlier request made. Of requests with one key that race, one makes its
    /// job; of jobs that race for the last room, one gets it.
    async fn accept(&self, acceptance: Acceptance) -> Result<Accepted>;

    /// The job an idempotency key made, if any, with the digest of its body.
    async fn find_by_key(&self, tenant: &TenantId, principal: &str, key_hash: &str) -> Result<Option<(String, Job)>>;

    /// Reads a job of a tenant.
    async fn get(&self, tenant: &TenantId, id: &str) -> Result<Option<Job>>;

    /// Lists jobs, newest first. Whoever goes on before the last id of a page sees each job that was there at the
    /// beginning once.
    async fn list(&self, tenant: &TenantId, visible: &Visible, filter: JobFilter) -> Result<Vec<Job>>;

    /// Changes a job in one transaction; `None` if there is no such job. Changes of one job are made one after the other.
    /// Whether another job has `run` is read in the same transaction; without one, none has. The change may be called
    /// more than once; what is committed is what one call answered.
    async fn change(
        &self,
        id: &str,
        now: Moment,
        run: Option<&Run>,
        change: &JobChange<'_>,
    ) -> Result<Option<Committed>>;

    /// The last attempt at a job.
    async fn last_attempt(&self, job: &str) -> Result<Option<Attempt>>;

    /// When the oldest launch was sent of which a machine still tries to find out what it came to.
    async fn oldest_unresolved(&self) -> Result<Option<Moment>>;

    /// Every attempt at a job, oldest first.
    async fn attempts(&self, job: &str) -> Result<Vec<Attempt>>;

    /// The runs with these ids that are bound to jobs, on whatever installation.
    async fn bound(&self, ids: &[i64]) -> Result<Vec<Bound>>;

    /// The latest run of an installation that is bound to a job and was made by this moment.
    async fn latest_run(&self, installation: &Installation, by: Moment) -> Result<Option<Run>>;

    /// The events of a job after a number, in the order of their numbers, which leave no gap; at most so many.
    async fn events(&self, job: &str, after: i64, limit: usize) -> Result<Vec<JobEvent>>;

    /// Output of a job from a byte offset on, at most about `limit` bytes.
    async fn output(&self, job: &str, offset: u64, limit: usize) -> Result<String>;

    /// Forgets idempotency keys of jobs that were accepted before this. The jobs stay.
    async fn forget_keys(&self, before: Moment) -> Result<()>;
}
