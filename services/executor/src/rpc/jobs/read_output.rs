//! ReadOutput: what a run printed, from a byte offset on.

use runwarden_kit::{Error, rpc};
use runwarden_proto::executor::v1::{ReadOutputRequest, ReadOutputResponse};
use tonic::{Request, Status};

use super::JobRpc;

/// The largest piece. A proxy that copies output for slow readers holds a few of them for each.
const PIECE: usize = 256 * 1024;

pub(super) async fn handle(jobs: &JobRpc, request: Request<ReadOutputRequest>) -> Result<ReadOutputResponse, Status> {
    let caller = rpc::caller(&request)?;
    let body = request.into_inner();
    let offset = u64::try_from(body.offset).map_err(|_| Error::invalid("/offset", "must not be negative"))?;
    // The job first: what it reports about its output is then covered by what is read after it.
    let job = jobs.access.authorize(&caller, &body.id).await?;
    let content = jobs.access.output(&job, offset, PIECE).await?;
    let next = offset.min(job.output_bytes).saturating_add(content.len() as u64);
    Ok(ReadOutputResponse {
        content,
        next_offset: i64::try_from(next).map_err(Error::internal)?,
        complete: job.state.is_end() && next >= job.output_bytes,
        truncated: job.output_truncated,
        incomplete: job.may_lack_output(),
    })
}
