//! Asking for a job to be stopped.

use runwarden_kit::Result;
use runwarden_kit::access::{Guarded as _, right};

use super::{AuthorizedJob, JobAccess};
use crate::job::Job;
use crate::records;
use crate::store::Effects;

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
        let entry = records::cancel(&*shared.clock, &job);
        let clock = shared.clock.clone();
        let change = move |job: &mut Job, _| {
            let repeated = job.cancel_requested && !job.state.is_end();
            job.request_cancel(now)?;
            if repeated {
                return Ok(None);
            }
            if !job.state.is_end() && job.due_at.is_some() {
                job.look_now();
            }
            let mut effects = Effects::told().with_entry(entry);
            if job.state.is_end() {
                effects = effects.with_entry(records::finish(&*clock, job));
            }
            Ok(Some(effects))
        };
        let job = shared.store.update(&job.id, now, Box::new(change)).await?.ok_or_else(Job::missing)?;
        shared.live.ring(&job.id);
        shared.watch.ring();
        shared.work.ring();
        shared.bell.ring();
        self.as_known(job).await
    }
}
