//! CancelJob: asks for a job to be stopped.

use runwarden_kit::rpc;
use runwarden_proto::executor::v1::{self as wire, CancelJobRequest, CancelJobResponse};
use tonic::{Request, Status};

use super::JobRpc;

pub(super) async fn handle(jobs: &JobRpc, request: Request<CancelJobRequest>) -> Result<CancelJobResponse, Status> {
    let caller = rpc::caller(&request)?;
    let job = jobs.access.authorize(&caller, &request.into_inner().id).await?;
    let job = jobs.access.cancel(job).await?;
    Ok(CancelJobResponse { job: Some(wire::Job::try_from(&job)?) })
}
