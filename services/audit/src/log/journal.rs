//! The way into the logs: a bounded queue in front of the one writer.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::LogError;
use crate::record::Entry;

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
    pub(super) done: oneshot::Sender<Result<(), LogError>>,
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

    /// Returns when all entries are durable, each in the log of the tenant it comes with. Entries that are queued are
    /// written even when whoever waits here goes away.
    ///
    /// # Errors
    /// When any of the entries is not durable. Others may be; handing all over again does no harm.
    pub async fn append(&self, entries: Vec<(String, Entry)>) -> Result<(), JournalError> {
        if entries.is_empty() {
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        self.queue.send_timeout(Request { entries, done }, self.patience).await.map_err(|error| match error {
            mpsc::error::SendTimeoutError::Timeout(_) => JournalError::Full,
            mpsc::error::SendTimeoutError::Closed(_) => JournalError::Stopped,
        })?;
        Ok(answer.await.map_err(|_| JournalError::Stopped)??)
    }
}
