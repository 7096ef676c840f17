//! ListAttempts: each try at launching a job, with what a person needs to find it on the controller.

use runwarden_kit::clock::Moment;
use runwarden_kit::rpc;
use runwarden_proto::executor::v1::{self as wire, ListAttemptsRequest, ListAttemptsResponse};
use tonic::{Request, Status};

use super::Jobs;
use crate::job::{Attempt, AttemptState};

pub(super) async fn handle(jobs: &Jobs, request: Request<ListAttemptsRequest>) -> Result<ListAttemptsResponse, Status> {
    let caller = rpc::caller(&request)?;
    let job = jobs.access.authorize(&caller, &request.into_inner().id).await?;
    let attempts = jobs.access.attempts(&job).await?;
    Ok(ListAttemptsResponse { attempts: attempts.into_iter().map(convert).collect() })
}

fn convert(attempt: Attempt) -> wire::Attempt {
    let (state, detail, run, candidates) = match attempt.state {
        AttemptState::Intent => (wire::AttemptState::Intent, String::new(), None, Vec::new()),
        AttemptState::Bound { run_id } => (wire::AttemptState::Bound, String::new(), Some(run_id), Vec::new()),
        AttemptState::NotLaunched { why } => (wire::AttemptState::NotLaunched, why, None, Vec::new()),
        AttemptState::Unresolved { why } => (wire::AttemptState::Unresolved, why, None, Vec::new()),
        AttemptState::Ambiguous { candidates } => (wire::AttemptState::Ambiguous, String::new(), None, candidates),
        AttemptState::GivenUp { why } => (wire::AttemptState::GivenUp, why, None, Vec::new()),
    };
    wire::Attempt {
        number: i32::try_from(attempt.number).unwrap_or(i32::MAX),
        state: state.into(),
        detail,
        installation: attempt.installation.key(),
        controller_address: attempt.installation.address().to_owned(),
        controller_template_id: attempt.controller_template,
        account_id: attempt.account,
        sent_at: Some(attempt.sent_at.to_proto()),
        controller_time: attempt.controller_time.map(Moment::to_proto),
        marker: attempt.marker,
        marker_placement: attempt.placement,
        run_id: run.or(attempt.named).unwrap_or(0),
        candidates,
    }
}
