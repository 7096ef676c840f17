//! Where jobs live. Every change is one transaction that carries the job, its events, its attempt and its audit
//! entries together.

mod outbox;
mod rows;
pub mod sqlite;

use std::collections::BTreeMap;

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::audit::Entry;
use runwarden_kit::caller::Visible;
use runwarden_kit::clock::Moment;

use crate::attempt::Attempt;
use crate::job::{Job, JobState};
use crate::places::Full;

/// A job to accept, with everything that must become durable with it.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// The job.
    pub job: Job,
    /// The request's idempotency key, hashed, and the digest of its body.
    pub idempotency: Option<IdempotencyClaim>,
    /// The audit entries.
    pub entries: Vec<Entry>,
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
    /// The job is durable.
    New,
    /// An earlier request with the same key and body made this job.
    Replayed(Box<Job>),
    /// The key was used with another body.
    KeyReused,
}

/// What a change brings with it beside the job itself.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// The attempt as it is now.
    pub attempt: Option<Attempt>,
    /// Output to append.
    pub output: Option<String>,
    /// Whether the job's state should be told to watchers.
    pub tell: bool,
    /// Audit entries.
    pub entries: Vec<Entry>,
}

impl Effects {
    /// Tells watchers of the job's state.
    #[must_use]
    pub fn told() -> Self {
        Self { tell: true, ..Self::default() }
    }

    /// Adds an audit entry.
    #[must_use]
    pub fn with_entry(mut self, entry: Entry) -> Self {
        self.entries.push(entry);
        self
    }

    /// Writes the attempt.
    #[must_use]
    pub fn with_attempt(mut self, attempt: Attempt) -> Self {
        self.attempt = Some(attempt);
        self
    }
}

/// An attempt to begin.
#[derive(Clone, Debug)]
pub struct Begin {
    /// The attempt, with its number, in state intent.
    pub attempt: Attempt,
    /// The fence of the claim under which it is made.
    pub fence: u64,
    /// How many jobs of the template may be launching or running at once; 0 for no limit.
    pub max_concurrent: u32,
    /// When.
    pub now: Moment,
    /// The audit entries that go with it.
    pub entries: Vec<Entry>,
}

/// What became of beginning an attempt.
#[derive(Clone, Debug)]
pub enum Begun {
    /// The intent is durable: the launch may be sent.
    Yes(Box<Job>),
    /// Another launch of the controller's template is open, and the two could not be told apart.
    Blocked,
    /// As many jobs of the template as may are launching or running.
    Full,
    /// The job is no longer the claimant's, or was cancelled or ended meanwhile.
    Lost,
}

/// A change to one job, applied to it and its last attempt as they stand inside the transaction. `None` leaves
/// everything as it is.
pub type Change = Box<dyn FnOnce(&mut Job, Option<Attempt>) -> Result<Option<Effects>> + Send>;

/// Which jobs to list.
#[derive(Clone, Debug)]
pub struct JobFilter {
    /// The tenant: no list crosses it.
    pub tenant: String,
    /// The projects the caller may see.
    pub visible: Visible,
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
#[async_trait]
pub trait JobStore: Send + Sync + 'static {
    /// Makes a job durable, or finds the one an earlier request made.
    async fn accept(&self, acceptance: Acceptance) -> Result<Accepted>;

    /// The job an idempotency key made, if any, with the digest of its body.
    async fn find_by_key(&self, tenant: &str, principal: &str, key_hash: &str) -> Result<Option<(String, Job)>>;

    /// Reads a job of a tenant.
    async fn get(&self, tenant: &str, id: &str) -> Result<Option<Job>>;

    /// Lists jobs, newest first.
    async fn list(&self, filter: JobFilter) -> Result<Vec<Job>>;

    /// Changes a job in one transaction and answers it as it is then; `None` if there is no such job.
    async fn update(&self, id: &str, now: Moment, change: Change) -> Result<Option<Job>>;

    /// Claims the job that has been due longest, if any is, of those who have a place: nobody else gets it before the
    /// lease ends.
    async fn claim(&self, now: Moment, lease_until: Moment, full: &Full) -> Result<Option<Job>>;

    /// When the next job of those who have a place will be due.
    async fn next_due(&self, full: &Full) -> Result<Option<Moment>>;

    /// Makes an attempt's intent durable, if the job is still the claimant's and nothing stands in the way: all of
    /// it judged and written in one transaction.
    async fn begin_attempt(&self, begin: Begin) -> Result<Begun>;

    /// The last attempt at a job.
    async fn last_attempt(&self, job: &str) -> Result<Option<Attempt>>;

    /// Which of these runs are bound to jobs.
    async fn bound(&self, installation: &str, runs: &[i64]) -> Result<Vec<i64>>;

    /// All running jobs, by tenant and controller.
    async fn running(&self) -> Result<BTreeMap<(String, String), Vec<Job>>>;

    /// The events of a job after a number.
    async fn events(&self, job: &str, after: i64, limit: usize) -> Result<Vec<JobEvent>>;

    /// Output of a job from a byte offset on, at most about `limit` bytes.
    async fn output(&self, job: &str, offset: u64, limit: usize) -> Result<String>;

    /// Forgets idempotency keys older than this.
    async fn forget_keys(&self, before: Moment) -> Result<()>;
}
