//! What a change of a job brings with it.

use runwarden_kit::Result;
use runwarden_kit::audit::Entry;

use crate::job::{Attempt, Job, Stray};

/// A change to one job: applied to it, its last attempt, and whether another job has the run that was asked about, all
/// as they stand inside the transaction. `None` leaves everything as it is.
///
/// A store may call it more than once, and what one call did is then discarded: it has no effects but those it answers.
pub type JobChange<'a> = dyn Fn(&mut Job, Option<Attempt>, bool) -> Result<Option<Effects>> + Send + Sync + 'a;

/// What a change brings with it beside the job itself: what is written in the same transaction, and what follows from
/// it once that is durable.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// The attempt as it is now.
    pub attempt: Option<Attempt>,
    /// Output to append.
    pub output: Option<String>,
    /// Whether watchers of the job are notified of its state.
    pub announced: bool,
    /// A stray run that was found.
    pub stray: Option<Stray>,
    /// Audit entries.
    pub entries: Vec<Entry>,
    /// What follows in this process.
    pub news: Vec<News>,
}

/// What follows from a change in this process once it is durable: what is counted, and who is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The job was accepted, and waits to start.
    Accepted,
    /// It is due now.
    Due,
    /// Something was learned of an attempt, so that others may not have to wait for it any longer.
    Learned,
    /// The job is bound to its run, which is to be followed.
    Bound,
    /// The run is to be stopped.
    ToStop,
    /// The job is over, or left to a person, so that there may be room for another.
    Finished,
}

impl Effects {
    /// Watchers of the job are notified of its state.
    #[must_use]
    pub fn announced() -> Self {
        Self { announced: true, ..Self::default() }
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

    /// Writes an attempt of which something was learned, with the entry that says what.
    #[must_use]
    pub fn learned(self, attempt: Attempt, entry: Entry) -> Self {
        let is_bound = matches!(attempt.state, crate::job::AttemptState::Bound { .. });
        let learned = self.with_attempt(attempt).with_entry(entry).with_news(News::Learned);
        if is_bound { learned.with_news(News::Bound) } else { learned }
    }

    /// The job is over, or left to a person, with the entry that says so.
    #[must_use]
    pub fn finished(self, entry: Entry) -> Self {
        self.with_entry(entry).with_news(News::Finished)
    }

    /// A stray run was found, with the entry that records it.
    #[must_use]
    pub fn strayed(stray: Stray, entry: Entry) -> Self {
        Self { stray: Some(stray), ..Self::default() }.with_entry(entry)
    }

    /// Adds what follows.
    #[must_use]
    pub fn with_news(mut self, news: News) -> Self {
        self.news.push(news);
        self
    }
}

/// A job after a change.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The job as it is now.
    pub job: Job,
    /// What was committed with it; none if the change wanted nothing.
    pub effects: Option<Effects>,
}

/// Makes a change. In debug builds it is made once more before that, on a copy that is thrown away, so that every test
/// notices a change that may not be repeated.
pub(super) fn make(
    change: &JobChange<'_>,
    job: &mut Job,
    last: Option<Attempt>,
    held: bool,
) -> Result<Option<Effects>> {
    if cfg!(debug_assertions) {
        let _discarded = change(&mut job.clone(), last.clone(), held);
    }
    change(job, last, held)
}
