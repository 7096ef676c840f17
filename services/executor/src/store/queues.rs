//! Jobs that wait: which are due, who takes one, and whether its launch may begin.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::audit::Entry;
use runwarden_kit::clock::Moment;

use super::Effects;
use crate::job::{Attempt, Job, Queue};
use crate::wait::limits::{LimitScope, Limits};
use crate::wait::place::Place;
use crate::wait::scheduler::{Goal, Head, Turn};

/// A request to claim a job.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// From where.
    pub turn: &'a Turn,
    /// For which executor.
    pub holder: &'a str,
    /// What limits the queue, as far as it is known.
    pub limits: Limits,
    /// When.
    pub now: Moment,
}

/// What became of a claim.
#[derive(Clone, Debug)]
pub enum Claimed {
    /// The job is claimed: no other worker gets it before it is released or the claimant is dead.
    Job(Box<Job>),
    /// The next job must wait for room.
    Full {
        /// What is full.
        scope: LimitScope,
        /// Its name: a template, a controller or a principal.
        name: String,
        /// When a period has passed; not after now if a job has to end.
        until: Moment,
    },
    /// A launch in flight on its template could not be distinguished from another.
    Blocked,
    /// Nothing is due there.
    Nothing,
}

/// An attempt to begin.
#[derive(Clone, Debug)]
pub struct Begin {
    /// The attempt, with its number, in state intent.
    pub attempt: Attempt,
    /// The fence of the claim under which it is made.
    pub fence: i64,
    /// What limits it, as it is now.
    pub limits: Limits,
    /// When.
    pub now: Moment,
    /// The audit entries that go with it.
    pub entries: Vec<Entry>,
}

/// What became of beginning an attempt.
#[derive(Clone, Debug)]
pub enum Begun {
    /// The intent is durable, with these effects: the launch may be sent.
    Yes(Box<Job>, Box<Effects>),
    /// Another launch of the controller's template is open, and the two could not be distinguished.
    Blocked,
    /// A limit of jobs in progress, or of recent starts, has been reached; until when.
    Full(LimitScope, Moment),
    /// The job is no longer the claimant's, or was cancelled or ended meanwhile.
    Lost,
}

/// Keeps jobs that wait.
#[async_trait]
pub trait Queues {
    /// The first due job of each queue, of those that nobody holds.
    async fn heads(&self, now: Moment) -> Result<Vec<Head>>;

    /// When the next job will be due that is not yet.
    async fn next_due(&self, now: Moment) -> Result<Option<Moment>>;

    /// Takes the first due job of a queue under a new fence if nothing stands in the way, judged and written in one
    /// transaction. What is empty, full or blocked is found out by reading alone: looking at it costs nobody the write
    /// lock.
    async fn claim(&self, claim: Claim<'_>) -> Result<Claimed>;

    /// Lets go of a claimed job, if it is still held with this fence; else does nothing.
    async fn release(&self, job: &str, fence: i64) -> Result<()>;

    /// Makes an attempt's intent durable, if the job is still the claimant's and nothing stands in the way: all of
    /// it judged and written in one transaction, so that of attempts that race no more are begun than may be. Asked
    /// again it begins no second one.
    async fn begin_attempt(&self, begin: Begin) -> Result<Begun>;

    /// Whether a launch is out that could not be told from one to this goal.
    async fn is_in_the_way(&self, goal: &Goal) -> Result<bool>;

    /// Where a job stands among the new ones of its template, and what of these limits holds it back.
    async fn place(&self, job: &Job, limits: &Limits, now: Moment) -> Result<Place>;

    /// New jobs of a queue that nobody holds and that were accepted under something else than this digest; at most
    /// some. None for all.
    async fn outdated(&self, queue: &Queue, launch_digest: Option<&str>) -> Result<Vec<String>>;

    /// Jobs whose deadline has passed, that nobody holds and of which nothing is out; at most some.
    async fn expiring(&self, now: Moment) -> Result<Vec<String>>;
}
