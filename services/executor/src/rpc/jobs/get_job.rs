//! GetJob: reads a job, waiting for its end if asked to.

use std::time::Duration;

use runwarden_kit::{Error, rpc};
use runwarden_proto::executor::v1::{self as wire, GetJobRequest, GetJobResponse};
use tokio::time::Instant;
use tonic::{Request, Status};

use super::JobRpc;
use crate::access::View;
use crate::job::JobState;

/// The longest wait, seconds.
const MAX_WAIT: i32 = 60;

pub(super) async fn handle(jobs: &JobRpc, request: Request<GetJobRequest>) -> Result<GetJobResponse, Status> {
    let caller = rpc::caller(&request)?;
    let body = request.into_inner();
    let wait = u64::try_from(body.wait_seconds)
        .ok()
        .filter(|_| body.wait_seconds <= MAX_WAIT)
        .ok_or_else(|| Error::invalid("/wait", format!("must be between 0 and {MAX_WAIT} seconds")))?;
    let until = Instant::now() + Duration::from_secs(wait);
    let _seat = if wait > 0 { Some(jobs.streams.take(&caller)?) } else { None };
    let mut waiter = (wait > 0).then(|| jobs.access.wait_for(&body.id));
    loop {
        let job = jobs.access.authorize(&caller, &body.id).await?;
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
            _ => return Ok(GetJobResponse { job: Some(convert_view(&jobs.access.view(job).await?)?) }),
        }
    }
}

fn convert_view(view: &View) -> Result<wire::Job, Error> {
    Ok(wire::Job { queue: view.place.as_ref().map(Into::into), ..(&view.job).try_into()? })
}
