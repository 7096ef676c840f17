//! Asking for a job to be stopped.

use runwarden_kit::Result;
use runwarden_kit::access::{Guarded as _, right};

use super::{AuthorizedJob, JobAccess};
use crate::job::Job;
use crate::records;
use crate::store::{Effects, News};

impl JobAccess {
    /// Asks for a job to be stopped, and answers it as it is then. One that waits ends at once.
    ///
    /// # Errors
    /// `CONFLICT` when it is over; when the store or the audit log takes nothing.
    pub async fn cancel(&self, job: AuthorizedJob<right::JobsCancel>) -> Result<Job> {
        let shared = &self.shared;
        self.outbox.check_room(&job.tenant).await?;
        let now = shared.clock.now();
        // Built here, where the caller is known; the change runs inside the store.
        let entry = records::cancel(now, &job);
        let change = |job: &mut Job, _, _| {
            let repeated = job.cancel_requested && !job.state.is_end();
            job.request_cancel(now)?;
            if repeated {
                return Ok(None);
            }
            let effects = Effects::announced().with_entry(entry.clone());
            if job.state.is_end() {
                return Ok(Some(effects.finished(records::finish(now, job))));
            }
            if job.due_at.is_some() {
                job.look_now();
                return Ok(Some(effects.with_news(News::Due)));
            }
            Ok(Some(effects.with_news(News::ToStop)))
        };
        let job = shared.change(&job.id, now, None, &change).await?.ok_or_else(Job::missing)?.job;
        self.as_known(job).await
    }
}
