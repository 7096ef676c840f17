//! `Decide`.

use runwarden_kit::rpc::caller;
use runwarden_kit::trust::Trust;
use runwarden_kit::{Error, permission};
use runwarden_proto::policy::v1::{DecideRequest, DecideResponse};
use tonic::{Request, Response, Status};

use crate::decision::{Decider, Decision};
use crate::question::{self, Question};

pub(super) async fn decide(
    decider: &Decider,
    trust: &Trust,
    request: Request<DecideRequest>,
) -> Result<Response<DecideResponse>, Status> {
    let caller = caller(&request)?;
    let question = question(request.into_inner())?;
    // The tenant asked about may be another than the one the caller acts for, if it is the platform's.
    trust.require_tenant(&question.tenant).await?;
    let decision = decider.decide(&caller, &question).await?;
    Ok(Response::new(answer(decision)))
}

pub(super) fn question(asked: DecideRequest) -> Result<Question, Error> {
    let question = Question {
        parameters: question::parameters(&asked.parameters_json)?,
        tenant: asked.tenant,
        project: asked.project,
        action: permission::named("/action", &asked.action)?,
        template: asked.template,
        controller: asked.controller,
    };
    question.check()?;
    Ok(question)
}

pub(super) fn answer(decision: Decision) -> DecideResponse {
    DecideResponse {
        allowed: decision.allowed,
        reasons: decision.reasons,
        policy_digest: decision.policy_digest,
        input_digest: decision.input_digest,
        decision_id: decision.id,
    }
}
