//! What a caller is told of a job beside what is stored: where it waits and what for, or that nothing is known of its run.

use runwarden_kit::Result;
use runwarden_kit::access::right;

use super::{AuthorizedJob, JobAccess, silence};
use crate::job::{Job, JobState};
use crate::wait::place::{BLOCKED, Place};

/// A job as a caller is told of it.
#[derive(Clone, Debug)]
pub struct View {
    /// The job, with its progress as it is now.
    pub job: Job,
    /// Where it stands, while it waits.
    pub place: Option<Place>,
}

impl JobAccess {
    /// The job, and while it waits, where it stands and what for.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn view(&self, job: AuthorizedJob<right::JobsRead>) -> Result<View> {
        let mut job = job.into_inner();
        if job.state != JobState::New {
            return Ok(View { job: self.as_known(job).await?, place: None });
        }
        let shared = &self.shared;
        let limits = shared.known.of(&job.tenant, &job.template);
        let place = shared.store.place(&job, &limits, shared.clock.now()).await?;
        if let Some(why) = shared.breaker.why(&(job.tenant.clone(), job.controller.clone())) {
            job.progress = format!("waiting for the controller: {why}");
        } else if let Some(scope) = place.held_by {
            job.progress = scope.waits_for().into();
        } else if place.blocked {
            job.progress = BLOCKED.into();
        }
        Ok(View { job, place: Some(place) })
    }

    /// The job; if nothing is known of its run at present, with that instead of what was last noted.
    pub(super) async fn as_known(&self, mut job: Job) -> Result<Job> {
        let tenant = job.tenant.clone();
        silence::admit(&*self.shared.store, &tenant, std::slice::from_mut(&mut job)).await?;
        Ok(job)
    }
}
