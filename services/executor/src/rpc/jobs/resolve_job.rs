//! ResolveJob: a person says what became of a launch that no machine can know about.

use runwarden_kit::{Error, rpc};
use runwarden_proto::executor::v1::resolve_job_request::Resolution;
use runwarden_proto::executor::v1::{self as wire, ResolveJobRequest, ResolveJobResponse};
use tonic::{Request, Status};

use super::JobRpc;
use crate::launch::resolver::Said;

pub(super) async fn handle(jobs: &JobRpc, request: Request<ResolveJobRequest>) -> Result<ResolveJobResponse, Status> {
    let caller = rpc::caller(&request)?;
    let body = request.into_inner();
    let job = jobs.access.authorize(&caller, &body.id).await?;
    let said = match body.resolution {
        Some(Resolution::Bind(bind)) => Said::Bind(bind.run_id),
        Some(Resolution::Retry(_)) => Said::Retry,
        Some(Resolution::GiveUp(_)) => Said::GiveUp,
        None => return Err(Error::invalid("/resolution", "must be `bind`, `retry` or `give_up`").into()),
    };
    let job = jobs.access.resolve(&job, said, &body.reason).await?;
    Ok(ResolveJobResponse { job: Some(wire::Job::try_from(&job)?) })
}
