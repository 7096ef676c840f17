//! CancelJob: asks for a job to be stopped.

use runwarden_kit::rpc;
use runwarden_proto::executor::v1::{CancelJobRequest, CancelJobResponse};
use tonic::{Request, Status};

use super::{Jobs, convert};

pub(super) async fn handle(jobs: &Jobs, request: Request<CancelJobRequest>) -> Result<CancelJobResponse, Status> {
    let caller = rpc::caller(&request)?;
    let job = jobs.access.authorize(&caller, &request.into_inner().id).await?;
    let job = jobs.access.cancel(job).await?;
    Ok(CancelJobResponse { job: Some(convert::job(&job)?) })
}
