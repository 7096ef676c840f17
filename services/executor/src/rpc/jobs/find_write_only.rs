//! FindWriteOnly: says which parameters of a template are write-only.

use runwarden_kit::rpc;
use runwarden_proto::executor::v1::{FindWriteOnlyRequest, FindWriteOnlyResponse};
use tonic::{Request, Status};

use super::JobRpc;

pub(super) async fn handle(
    jobs: &JobRpc,
    request: Request<FindWriteOnlyRequest>,
) -> Result<FindWriteOnlyResponse, Status> {
    let caller = rpc::caller(&request)?;
    let FindWriteOnlyRequest { template, names } = request.into_inner();
    let names = jobs.submitter.write_only(&caller, &template, names).await?;
    Ok(FindWriteOnlyResponse { names })
}
