//! CheckJob: says whether a job would be accepted.

use runwarden_kit::rpc;
use runwarden_proto::executor::v1::{CheckJobRequest, CheckJobResponse, JobOrigin};
use tonic::{Request, Status};

use super::JobRpc;
use super::submit_job::{origin, parse};
use crate::accept::options::Options;
use crate::accept::repeats::Asked;

pub(super) async fn handle(jobs: &JobRpc, request: Request<CheckJobRequest>) -> Result<CheckJobResponse, Status> {
    let caller = rpc::caller(&request)?;
    let CheckJobRequest { template, parameters_json, reference } = request.into_inner();
    let parameters = parse(&parameters_json)?;
    // By nobody's hook: a check names no delivery.
    let origin = origin(Some(JobOrigin { reference, ..JobOrigin::default() }), false)?;
    let options = Options::default();
    let asked = Asked { template: &template, parameters: &parameters, options, origin: origin.as_ref() };
    let decision = jobs.submitter.check(&caller, asked).await?;
    Ok(CheckJobResponse { allowed: decision.allowed, reasons: decision.reasons, policy_digest: decision.policy_digest })
}
