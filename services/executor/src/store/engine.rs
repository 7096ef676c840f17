//! What an engine keeps: rows, and small steps over them. No rule stands here or in an engine. The rules are in
//! [`kernel`](super::kernel), once for all engines; it says what must not happen at the same time, and an engine sees to
//! it that it does not.
//!
//! An engine promises:
//! - what is done through one [`Rows`] is committed together or not at all;
//! - of two transactions that [serialise](Rows::serialise) on the same, one sees all that the other did, or none of it
//!   happens before the other ends;
//! - a job that was read in a transaction stays as it is until that ends, but for what the transaction does itself;
//! - numbers of changes ([`JobRows::save_job`]) become visible in their order.
//!
//! Reading waits for nobody. A transaction that fails, or is dropped, has left nothing.

use async_trait::async_trait;
use futures::future::BoxFuture;
use runwarden_awx::Installation;
use runwarden_kit::Result;
use runwarden_kit::audit::Entry;
use runwarden_kit::caller::Visible;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;

use super::{Beat, Changed, JobFilter, Silence};
use crate::job::{Attempt, Bound, Job, JobState, Lease, Queue, Run, Stray};
use crate::wait::limits::LimitScope;
use crate::wait::place::Mark;
use crate::wait::scheduler::{Head, Turn};

/// Where rows are kept.
///
/// Transactions are handed to the engine whole, so that it can commit many at once: a commit costs a sync of the disk,
/// however much it brings. SQLite has one thread that makes what waits one after the other, each in a savepoint, and
/// commits them together. PostgreSQL would do the same on a few connections: what waits for one, each in a savepoint of
/// a transaction, sent ahead without waiting for the answers; or, since what is asked of [`Rows`] is data, the inserts
/// of several as one statement of many rows.
pub(crate) trait Engine: Send + Sync + 'static {
    /// For reading what is committed. It waits for no writer and takes no lock.
    fn read(&self) -> impl Future<Output = Result<Box<dyn Rows>>> + Send;

    /// Makes a transaction: commits what the work did, if it answers `Ok`, before this answers; else leaves nothing. The
    /// work may be called more than once, each time as if it were the first; it has no effects but those on the rows and
    /// what it answers.
    fn transaction<C, T>(&self, with: C, work: Work<C, T>) -> impl Future<Output = Result<T>> + Send
    where
        C: Send + Sync + 'static,
        T: Send + 'static;
}

/// What is done in a transaction: with what it was handed, on the rows. It waits for nothing but the rows.
pub(crate) type Work<C, T> = for<'a> fn(&'a C, &'a mut (dyn Rows + 'a)) -> BoxFuture<'a, Result<T>>;

/// What two transactions must not do at the same time. The kernel asks for one class after the other in the order in
/// which they are listed here, and for scopes in theirs, so that transactions cannot deadlock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Serialise {
    /// Answering requests of one principal with one idempotency key.
    Key(Key),
    /// Adding to those that wait of a tenant; of one template only, if it is named.
    Waiting(String, Option<String>),
    /// Taking jobs from a queue.
    Queue(Queue),
    /// Changing a job, its attempts, events and strays.
    Job(String),
    /// Counting what of a tenant is under way or was begun, by the name of a template, controller or principal.
    UnderWay(String, LimitScope, String),
    /// Beginning launches of a controller's template, whichever installation has it.
    ControllerTemplate(i64),
    /// Binding a job to a run with this id, whichever installation has it.
    Run(i64),
    /// What an executor holds.
    Holder(String),
}

impl Serialise {
    /// Its class's place in the order in which they are asked for.
    #[must_use]
    pub(crate) const fn order(&self) -> u8 {
        match self {
            Self::Key(_) => 0,
            Self::Waiting(..) => 1,
            Self::Queue(_) => 2,
            Self::Job(_) => 3,
            Self::UnderWay(..) => 4,
            Self::ControllerTemplate(_) => 5,
            Self::Run(_) => 6,
            Self::Holder(_) => 7,
        }
    }
}

/// Whose idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The tenant.
    pub tenant: String,
    /// The principal.
    pub principal: String,
    /// SHA-256 of the key, hex.
    pub hash: String,
}

/// What a job is found by and what may change: its columns beside its document. An engine that knows them before a change
/// need not write what stays. What a job is accepted with never changes, such as `start_by` and its launch digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundBy {
    /// Its state.
    pub state: JobState,
    /// When a worker should look at it next.
    pub due_at: Option<Moment>,
    /// The key of its run's installation, the run's id there, and when it was made, in microseconds, 0 if that is not
    /// known.
    pub run: Option<(String, i64, i64)>,
    /// Who holds it.
    pub lease: Lease,
    /// Its place among waiting jobs.
    pub rank: i64,
    /// When its first attempt was begun.
    pub begun_at: Option<Moment>,
}

impl FoundBy {
    /// What a job is found by.
    #[must_use]
    pub(crate) fn of(job: &Job) -> Self {
        let run = job.run.as_ref();
        Self {
            state: job.state,
            due_at: job.due_at,
            run: run.map(|run| (run.installation.key().to_owned(), run.id, run.created.map_or(0, Moment::micros))),
            lease: job.lease.clone(),
            rank: job.rank(),
            begun_at: job.begun_at,
        }
    }
}

/// A way to all rows.
#[async_trait]
pub(crate) trait Rows:
    JobRows + AttemptRows + EventRows + KeyRows + QueueRows + StrayRows + ExecutorRows + WatchRows + Send
{
    /// From here to the end of this transaction no other that asks for the same goes on. Outside of a transaction it does
    /// nothing.
    async fn serialise(&mut self, what: Serialise) -> Result<()>;

    /// Puts audit entries into the outbox, in their order.
    async fn put_entries(&mut self, entries: &[Entry]) -> Result<()>;
}

/// Jobs.
#[async_trait]
pub(crate) trait JobRows {
    /// A job. In a transaction that changes it: serialised on [`Serialise::Job`].
    async fn job(&mut self, id: &str) -> Result<Option<Job>>;

    /// A job and the revision at which it is. In a transaction that changes it: serialised on [`Serialise::Job`].
    async fn job_at(&mut self, id: &str) -> Result<Option<(Revision, Job)>>;

    /// At which revision a job is. In a transaction that changes it: serialised on [`Serialise::Job`].
    async fn revision(&mut self, id: &str) -> Result<Option<Revision>>;

    /// A job of a tenant.
    async fn job_of(&mut self, tenant: &str, id: &str) -> Result<Option<Job>>;

    /// Jobs of a tenant, in the projects that are visible, newest first.
    async fn jobs(&mut self, tenant: &TenantId, visible: &Visible, filter: JobFilter) -> Result<Vec<Job>>;

    /// Writes a new job, with its document, under the next number of a change.
    async fn insert_job(&mut self, job: &Job, document: &str) -> Result<()>;

    /// Writes a job over that was found by this before, with its document, under the next number of a change. Serialised
    /// on [`Serialise::Job`].
    async fn save_job(&mut self, before: &FoundBy, job: &Job, document: &str) -> Result<()>;

    /// Writes the claim on a job alone, under no number: nobody follows who holds a job. Serialised on
    /// [`Serialise::Job`].
    async fn save_lease(&mut self, job: &Job) -> Result<()>;

    /// Nobody holds a job any more, if it is held with this fence.
    async fn release(&mut self, job: &str, fence: i64) -> Result<()>;

    /// The runs with these ids that are bound to jobs other than this one. In a transaction that binds one: serialised
    /// on [`Serialise::Run`].
    async fn bound(&mut self, ids: &[i64], other_than: &str) -> Result<Vec<Bound>>;

    /// The latest run of an installation, under its uuid or its address, that is bound to a job and was made by this
    /// moment.
    async fn latest_run(&mut self, installation: &Installation, by: Moment) -> Result<Option<Run>>;
}

/// What is different after every change of a job, its attempts, events, strays and lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revision {
    /// The number of its last change.
    pub version: i64,
    /// When it is due.
    pub due_at: Option<Moment>,
    /// Who holds it.
    pub lease: Lease,
}

/// Attempts.
#[async_trait]
pub(crate) trait AttemptRows {
    /// The attempt at a job with the highest number.
    async fn last_attempt(&mut self, job: &str) -> Result<Option<Attempt>>;

    /// Every attempt at a job, oldest first.
    async fn attempts(&mut self, job: &str) -> Result<Vec<Attempt>>;

    /// Writes an attempt, over the one with its number. Serialised on [`Serialise::Job`].
    async fn put_attempt(&mut self, attempt: &Attempt) -> Result<()>;

    /// When the oldest open attempt at a launching job was sent.
    async fn oldest_open(&mut self) -> Result<Option<Moment>>;

    /// Where launches of a controller's template are open, for jobs other than this one; only those without a marker,
    /// or all. In a transaction that begins a launch: serialised on [`Serialise::ControllerTemplate`].
    async fn open_at(
        &mut self,
        controller_template: i64,
        unmarked_only: bool,
        other_than: &str,
    ) -> Result<Vec<Installation>>;

    /// The launch digests of jobs of a queue other than this one that have an open attempt without a marker.
    async fn unmarked_of(&mut self, queue: &Queue, other_than: &str) -> Result<Vec<String>>;
}

/// Events of jobs.
#[async_trait]
pub(crate) trait EventRows {
    /// Writes an event. Serialised on [`Serialise::Job`].
    async fn append_event(&mut self, job: &str, event: &EventRow) -> Result<()>;

    /// Events after a number, by number.
    async fn events(&mut self, job: &str, after: i64, limit: usize) -> Result<Vec<EventRow>>;

    /// Output of a job: the last piece that begins at or before this offset, or the first, and those after it; at most
    /// so many. Each with the offset at which it begins.
    async fn output(&mut self, job: &str, offset: u64, pieces: usize) -> Result<Vec<(u64, String)>>;
}

/// An event as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct EventRow {
    /// Its number in the job.
    pub number: i64,
    /// When it happened.
    pub at: Moment,
    /// What happened.
    pub what: Kept,
}

/// What is kept of what happened.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    /// What may change of a job, as it stood: JSON.
    State(String),
    /// Something the run printed.
    Output {
        /// Where it begins in all that it printed, bytes.
        offset: u64,
        /// What it printed.
        text: String,
    },
}

/// Idempotency keys.
#[async_trait]
pub(crate) trait KeyRows {
    /// The job a key made, with the digest of its request. In a transaction that accepts one: serialised on
    /// [`Serialise::Key`].
    async fn by_key(&mut self, key: &Key) -> Result<Option<(String, Job)>>;

    /// Writes which job a key made. Serialised on [`Serialise::Key`].
    async fn put_key(&mut self, key: &Key, body_digest: &str, job: &Job) -> Result<()>;

    /// Forgets the keys of jobs that were accepted before this.
    async fn forget_keys(&mut self, before: Moment) -> Result<()>;
}

/// Jobs that wait, and what limits them.
#[async_trait]
pub(crate) trait QueueRows {
    /// The highest rank and lowest id of what is due and held by nobody, of each queue.
    async fn heads(&mut self, now: Moment) -> Result<Vec<Head>>;

    /// The next moment after this at which something will be due that nobody holds.
    async fn next_due(&mut self, now: Moment) -> Result<Option<Moment>>;

    /// The id of the first job that is due and that a turn allows, by rank and then by id; of new ones that are due by their time,
    /// those that were due first may count alone, so that it costs no more the more there are. Jobs of this rank and higher are not
    /// held back with their principals. In a transaction: serialised on [`Serialise::Queue`], and it serialises on the
    /// job that it answers.
    async fn first_due(&mut self, turn: &Turn, not_held_back: i64, now: Moment) -> Result<Option<String>>;

    /// How many new jobs a tenant has, of one template if it is named. What that costs does not grow with them. In a transaction that adds
    /// one: serialised on [`Serialise::Waiting`].
    async fn waiting(&mut self, tenant: &str, template: Option<&str>) -> Result<u32>;

    /// How many new jobs of its template go before a job, by rank and then by id, and not before this one if it is named;
    /// counted up to so many. What that costs does not grow with those behind it.
    async fn ahead_of(&mut self, job: &Job, from: Option<&Mark>, up_to: u32) -> Result<u32>;

    /// Each so many'th of the new jobs of a template, from the first on, in their order, of so many in all.
    async fn marks(&mut self, tenant: &TenantId, template: &str, every: u32, up_to: u32) -> Result<Vec<Mark>>;

    /// The moments at which the latest of a scope's jobs were begun, newest first, without the first so many.
    async fn begun(&mut self, of: &Counted, skip: u32, limit: u32) -> Result<Vec<Moment>>;

    /// How many of a scope's jobs are launching or running. What that costs does not grow with them. In a transaction that adds one: serialised on
    /// [`Serialise::UnderWay`].
    async fn under_way(&mut self, of: &Counted) -> Result<u32>;

    /// The same, with those that are new and held.
    async fn under_way_or_held(&mut self, of: &Counted) -> Result<u32>;

    /// New jobs of a queue that nobody holds and that were accepted under something else than this digest, all if it is
    /// none; at most so many.
    async fn outdated(&mut self, queue: &Queue, launch_digest: Option<&str>, limit: usize) -> Result<Vec<String>>;

    /// Jobs that were to be begun before this and wait with no attempt open, held by nobody and not cancelled; at most
    /// so many.
    async fn overdue(&mut self, now: Moment, limit: usize) -> Result<Vec<String>>;
}

/// Jobs that count together: a tenant's, of one template, controller or principal.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    /// The tenant.
    pub tenant: String,
    /// By what.
    pub scope: LimitScope,
    /// Its name.
    pub name: String,
}

impl Counted {
    /// Those that count together with a job.
    #[must_use]
    pub(crate) fn with(job: &Job, scope: LimitScope) -> Self {
        Self { tenant: job.tenant.to_string(), scope, name: scope.name_for(job).to_owned() }
    }
}

/// Runs that should not be.
#[async_trait]
pub(crate) trait StrayRows {
    /// Keeps one, over the one of its attempt. Serialised on [`Serialise::Job`].
    async fn put_stray(&mut self, stray: &Stray) -> Result<()>;

    /// Writes one over, if it is kept.
    async fn save_stray(&mut self, stray: &Stray) -> Result<()>;

    /// Makes one due at another time, if it is still due when it was. Answers whether it was.
    async fn defer_stray(&mut self, stray: &Stray, until: Moment) -> Result<bool>;

    /// Forgets one. Answers whether it was kept. Serialised on [`Serialise::Job`].
    async fn remove_stray(&mut self, stray: &Stray) -> Result<bool>;

    /// Those that are due, longest due first.
    async fn strays(&mut self, now: Moment, limit: usize) -> Result<Vec<Stray>>;

    /// How many there are.
    async fn count_strays(&mut self) -> Result<usize>;
}

/// Executors.
#[async_trait]
pub(crate) trait ExecutorRows {
    /// Counts an executor's beats up, from 1.
    async fn beat(&mut self, holder: &str) -> Result<()>;

    /// The beats of all others.
    async fn beats(&mut self, holder: &str) -> Result<Vec<Beat>>;

    /// Removes an executor, if its beat is still this. Answers whether it was. Serialised on [`Serialise::Holder`].
    async fn remove_executor(&mut self, gone: &Beat) -> Result<bool>;

    /// Takes away all that an executor holds, under the next fence of each job, and makes due at this moment what was
    /// due at some. It serialises on each of these jobs. Answers how many they were.
    async fn take_away(&mut self, holder: &str, due: Moment) -> Result<u64>;
}

/// What is followed.
#[async_trait]
pub(crate) trait WatchRows {
    /// The number of the latest change.
    async fn version(&mut self) -> Result<i64>;

    /// Running jobs by id, after this one.
    async fn running(&mut self, after: &str, limit: usize) -> Result<Vec<Job>>;

    /// Jobs by the number of their last change, after this one.
    async fn changed(&mut self, after: i64, limit: usize) -> Result<Vec<Changed>>;

    /// The same, with every job.
    async fn changed_jobs(&mut self, after: i64, limit: usize) -> Result<Vec<(i64, Job)>>;

    /// Who follows a controller's runs.
    async fn follower(&mut self, tenant: &str, controller: &str) -> Result<Option<String>>;

    /// Writes who follows a controller's runs, if nobody does.
    async fn put_follower(&mut self, tenant: &str, controller: &str, holder: &str) -> Result<()>;

    /// An executor follows nothing any more.
    async fn remove_follower(&mut self, holder: &str) -> Result<()>;

    /// The silences of a tenant's controllers, by name.
    async fn silences(&mut self, tenant: &str) -> Result<Vec<Silence>>;

    /// Writes a silence, over the one of its controller.
    async fn put_silence(&mut self, tenant: &str, silence: &Silence) -> Result<()>;

    /// Removes a controller's silence.
    async fn remove_silence(&mut self, tenant: &str, controller: &str) -> Result<()>;
}
