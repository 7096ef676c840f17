//! GetJob: reads a job, waiting for its end if asked to.

use std::time::Duration;

use runwarden_kit::permission::Permission;
use runwarden_kit::{Error, rpc};
use runwarden_proto::executor::v1::{self as wire, GetJobRequest, GetJobResponse};
use tokio::time::Instant;
use tonic::{Request, Status};

use super::{Jobs, convert, silence};
use crate::job::{Job, JobState};
use crate::wait::place::BLOCKED;

/// The longest wait, seconds.
const MAX_WAIT: i32 = 60;

pub(super) async fn handle(jobs: &Jobs, request: Request<GetJobRequest>) -> Result<GetJobResponse, Status> {
    let caller = rpc::caller(&request)?;
    let body = request.into_inner();
    let wait = u64::try_from(body.wait_seconds)
        .ok()
        .filter(|_| body.wait_seconds <= MAX_WAIT)
        .ok_or_else(|| Error::invalid("/wait", format!("must be between 0 and {MAX_WAIT} seconds")))?;
    let until = Instant::now() + Duration::from_secs(wait);
    let _seat = if wait > 0 { Some(jobs.streams.take(&caller)?) } else { None };
    let mut waiter = (wait > 0).then(|| jobs.shared.live.wait_for(&body.id));
    loop {
        let job = jobs.visible(&caller, &body.id, Permission::JobsRead).await?;
        // Who waits for the end is not made to wait for a person.
        let settled = job.state.is_end() || job.state == JobState::Unknown;
        match &mut waiter {
            Some(waiter) if !settled && Instant::now() < until && !jobs.shutdown.has_begun() => {
                tokio::select! {
                    () = waiter.changed() => {}
                    () = tokio::time::sleep_until(until) => {}
                    () = jobs.shutdown.begun() => {}
                }
            }
            _ => return Ok(GetJobResponse { job: Some(told(jobs, job).await?) }),
        }
    }
}

/// The job, and while it waits, where it stands and what for.
async fn told(jobs: &Jobs, mut job: Job) -> Result<wire::Job, Error> {
    if job.state != JobState::New {
        let tenant = job.tenant.clone();
        silence::admit(&*jobs.shared.store, &tenant, std::slice::from_mut(&mut job)).await?;
        return convert::job(&job);
    }
    let limits = jobs.shared.known.of(&job.tenant, &job.template);
    let place = jobs.shared.store.place(&job, &limits, jobs.shared.clock.now()).await?;
    if let Some(why) = jobs.shared.breaker.why(&(job.tenant.clone(), job.controller.clone())) {
        job.progress = format!("waiting for the controller: {why}");
    } else if let Some(scope) = place.held_by {
        job.progress = scope.waits_for().into();
    } else if place.blocked {
        job.progress = BLOCKED.into();
    }
    Ok(wire::Job { queue: Some(convert::place(&place)), ..convert::job(&job)? })
}
