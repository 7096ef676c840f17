//! ListAttempts: each try at launching a job, with what an operator needs to find it on the controller.

use runwarden_kit::rpc;
use runwarden_proto::executor::v1::{ListAttemptsRequest, ListAttemptsResponse};
use tonic::{Request, Status};

use super::JobRpc;

pub(super) async fn handle(
    jobs: &JobRpc,
    request: Request<ListAttemptsRequest>,
) -> Result<ListAttemptsResponse, Status> {
    let caller = rpc::caller(&request)?;
    let job = jobs.access.authorize(&caller, &request.into_inner().id).await?;
    let attempts = jobs.access.attempts(&job).await?;
    Ok(ListAttemptsResponse { attempts: attempts.into_iter().map(Into::into).collect() })
}
