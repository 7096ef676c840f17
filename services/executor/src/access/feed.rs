//! What became of all jobs, for the service that sends results on.

use std::time::Duration;

use runwarden_kit::Result;
use tokio::time::Instant;

use crate::job::Job;
use crate::shared::Shared;

/// Another executor may have changed a job: look again after this long in any case.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Lists jobs by their last changes. It needs no caller, so it is given to the one service that may ask.
#[derive(Clone)]
pub struct JobFeed {
    shared: Shared,
}

/// Some of what changed.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Jobs as they stand, in the order of their last changes, each with the number of that.
    pub jobs: Vec<(i64, Job)>,
    /// Where to go on.
    pub last: i64,
    /// Whether this begins from the first change, since the number to go on from was never given out.
    pub starts_over: bool,
}

impl JobFeed {
    /// Over what everybody works with.
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        Self { shared }
    }

    /// The jobs that changed after a number, at most so many; if there is none, it waits for one until then. Without a
    /// number it says from which one to go on.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn after(&self, after: Option<i64>, limit: usize, until: Instant) -> Result<Changes> {
        let store = &self.shared.store;
        let version = store.version().await?;
        let Some(after) = after else { return Ok(Changes { jobs: Vec::new(), last: version, starts_over: false }) };
        let starts_over = after > version;
        let after = if starts_over { 0 } else { after };
        let mut bell = self.shared.live.wait_for_any();
        loop {
            bell.mark_unchanged();
            let jobs = store.changed_jobs(after, limit).await?;
            if !jobs.is_empty() || starts_over || Instant::now() >= until {
                let last = jobs.last().map_or(after, |(number, _)| *number);
                return Ok(Changes { jobs, last, starts_over });
            }
            let look_again = until.min(Instant::now() + LOOK_AGAIN);
            let _either = tokio::time::timeout_at(look_again, bell.changed()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::job::tests::example;
    use crate::store::sqlite::SqliteJobs;
    use crate::store::{Acceptance, JobStore as _, Watches as _};
    use crate::test_doubles::{NoTemplates, shared};

    async fn opened() -> (tempfile::TempDir, Arc<SqliteJobs>, JobFeed) {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap());
        let feed = JobFeed::new(shared(store.clone(), Arc::new(NoTemplates)));
        (folder, store, feed)
    }

    fn in_a_minute() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_a_change_at_once_and_goes_on_from_it() {
        let (_folder, store, feed) = opened().await;
        store.accept(Acceptance::of(example())).await.unwrap();
        let start = feed.after(None, 10, in_a_minute()).await.unwrap();
        assert!(start.jobs.is_empty() && !start.starts_over, "what was before is not told");
        let job = example();
        let (heard, accepted) = tokio::join!(
            feed.after(Some(start.last), 10, in_a_minute()),
            feed.shared.accept(Acceptance::of(job.clone()))
        );
        accepted.unwrap();
        let heard = heard.unwrap();
        assert_eq!(heard.jobs.iter().map(|(_, heard)| heard.id.as_str()).collect::<Vec<_>>(), [job.id.as_str()]);
        let nothing = feed.after(Some(heard.last), 10, Instant::now()).await.unwrap();
        assert_eq!((nothing.jobs.len(), nothing.last), (0, heard.last));
    }

    #[tokio::test]
    async fn a_number_from_another_life_of_the_store_starts_over() {
        let (_folder, store, feed) = opened().await;
        let job = example();
        store.accept(Acceptance::of(job)).await.unwrap();
        let version = store.version().await.unwrap();
        let over = feed.after(Some(version + 7), 10, in_a_minute()).await.unwrap();
        assert_eq!((over.jobs.len(), over.last, over.starts_over), (1, version, true));
    }
}
