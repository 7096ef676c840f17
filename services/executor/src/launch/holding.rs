//! A claimed job in hand. An executor that lives keeps what it claimed, so whatever happens to who works on it, and to
//! the store meanwhile, the job is let go in the end.

use std::sync::Arc;
use std::time::Duration;

use crate::job::Job;
use crate::store::JobStore;

/// How soon to try again to let go when the store did not take it.
const AGAIN: Duration = Duration::from_secs(1);

/// A job that this executor claimed.
pub(crate) struct Holding {
    store: Arc<dyn JobStore>,
    job: String,
    fence: i64,
    in_hand: bool,
}

impl Holding {
    /// Of a job that was just claimed.
    #[must_use]
    pub(crate) fn of(job: &Job, store: Arc<dyn JobStore>) -> Self {
        Self { store, job: job.id.clone(), fence: job.lease.fence, in_hand: true }
    }

    /// The work is done. What let go already is not held any more, and nothing happens.
    pub(crate) async fn let_go(mut self) {
        self.in_hand = false;
        release(&*self.store, &self.job, self.fence).await;
    }
}

async fn release(store: &dyn JobStore, job: &str, fence: i64) {
    while let Err(error) = store.release(job, fence).await {
        error.log();
        tokio::time::sleep(AGAIN).await;
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        // Who worked on it broke down.
        if let (true, Ok(runtime)) = (self.in_hand, tokio::runtime::Handle::try_current()) {
            let (store, job, fence) = (self.store.clone(), std::mem::take(&mut self.job), self.fence);
            runtime.spawn(async move { release(&*store, &job, fence).await });
        }
    }
}
