//! The way into the logs: a bounded queue in front of the one writer.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::LogError;
use crate::record::Entry;
use crate::seen::SeenHead;

/// How much may wait, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct JournalLimits {
    /// How many requests may wait for the writer.
    pub queue: usize,
    /// How long a request waits for a place in the queue before it is refused.
    pub patience: Duration,
    /// After how many entries a batch is closed.
    pub batch: usize,
}

impl Default for JournalLimits {
    fn default() -> Self {
        Self { queue: 1024, patience: Duration::from_secs(2), batch: 1000 }
    }
}

/// Entries on their way, and who waits for them.
#[derive(Debug)]
pub(super) struct Request {
    /// Each with the tenant whose log it goes into.
    pub(super) entries: Vec<(String, Entry)>,
    /// What was seen of logs: each is compared before anything goes into it.
    pub(super) seen: Vec<SeenHead>,
    pub(super) done: oneshot::Sender<Answer>,
}

/// What became of a request, log by log.
#[derive(Debug, Default)]
pub struct Answer {
    /// The logs that took what there was for them, as they are now.
    pub heads: Vec<SeenHead>,
    /// The logs that did not, by tenant. Handing all over again does no harm.
    pub refused: Vec<(String, LogError)>,
}

/// Hands entries to the writer. Clones share the queue.
#[derive(Debug, Clone)]
pub struct Journal {
    queue: mpsc::Sender<Request>,
    patience: Duration,
}

/// Why entries were not made durable.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Too much is waiting already.
    #[error("too many entries are waiting")]
    Full,
    /// The writer has stopped.
    #[error("the writer has stopped")]
    Stopped,
    /// The log refused them.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Journal {
    pub(super) fn new(limits: JournalLimits) -> (Self, mpsc::Receiver<Request>) {
        let (queue, requests) = mpsc::channel(limits.queue.max(1));
        (Self { queue, patience: limits.patience }, requests)
    }

    /// Returns when all entries are durable, each in the log of the tenant it comes with.
    ///
    /// # Errors
    /// When any of the entries is not durable. Others may be; handing all over again does no harm.
    pub async fn append(&self, entries: Vec<(String, Entry)>) -> Result<(), JournalError> {
        match self.hand_in(entries, Vec::new()).await?.refused.pop() {
            Some((_, error)) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Compares logs with what was seen of them and makes entries durable, each in the log of the tenant it comes
    /// with; nothing goes into a log that does not continue what was seen of it. Entries that are queued are written
    /// even when the waiting caller goes away.
    ///
    /// # Errors
    /// When the writer does not take the request. What each log took is in the answer.
    pub async fn hand_in(&self, entries: Vec<(String, Entry)>, seen: Vec<SeenHead>) -> Result<Answer, JournalError> {
        if entries.is_empty() && seen.is_empty() {
            return Ok(Answer::default());
        }
        let (done, answer) = oneshot::channel();
        self.queue.send_timeout(Request { entries, seen, done }, self.patience).await.map_err(|error| match error {
            mpsc::error::SendTimeoutError::Timeout(_) => JournalError::Full,
            mpsc::error::SendTimeoutError::Closed(_) => JournalError::Stopped,
        })?;
        answer.await.map_err(|_| JournalError::Stopped)
    }
}
