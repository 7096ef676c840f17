//! Decisions from the policy service: on behalf of the caller whose token travels along, or of a principal whose job
//! is about to begin.

use async_trait::async_trait;
use runwarden_kit::caller::Caller;
use runwarden_kit::mesh::{MeshChannel, Service};
use runwarden_kit::{Error, Result};
use runwarden_proto::policy::v1::decision_service_client::DecisionServiceClient;
use runwarden_proto::policy::v1::policy_service_client::PolicyServiceClient;
use runwarden_proto::policy::v1::{self as wire, DecideForRequest, DecideRequest, DecideResponse};

use crate::launch::authority::ACTION;
use crate::launch::authority::Principal;
use crate::ports::{Decision, Evaluation, Policies, Question};

/// Asks the policy service over the mesh.
pub(crate) struct MeshPolicies {
    callers: PolicyServiceClient<MeshChannel>,
    principals: DecisionServiceClient<MeshChannel>,
}

impl MeshPolicies {
    /// Over a channel to the policy service.
    pub(crate) fn new(channel: MeshChannel) -> Self {
        Self { callers: PolicyServiceClient::new(channel.clone()), principals: DecisionServiceClient::new(channel) }
    }
}

#[async_trait]
impl Policies for MeshPolicies {
    async fn decide(&self, _: &Caller, question: Question) -> Result<Decision> {
        let answer =
            self.callers.clone().decide(request(question)).await.map_err(|s| Error::from_peer(Service::Policy, &s))?;
        Ok(decision(answer.into_inner()))
    }

    async fn decide_for(&self, principal: &Principal, question: Question) -> Result<Evaluation> {
        let principal = principal.clone();
        let request = DecideForRequest {
            principal: Some(wire::Principal {
                id: principal.id,
                name: principal.name,
                client_id: principal.client_id,
                tenant: principal.tenant.map(String::from).unwrap_or_default(),
                authenticated_by: principal.authenticated_by,
                grants: principal.grants.into_iter().map(Into::into).collect(),
            }),
            question: Some(request(question)),
        };
        let answer =
            self.principals.clone().decide_for(request).await.map_err(|s| Error::from_peer(Service::Policy, &s))?;
        let answer = answer.into_inner();
        let decided = answer
            .decision
            .ok_or_else(|| Error::internal(anyhow::anyhow!("the policy service answered without a decision")))?;
        let decision = decision(decided);
        // Whatever else it says: only a yes is one.
        Ok(if answer.failed && !decision.allowed {
            Evaluation::Failed(decision)
        } else {
            Evaluation::Decided(decision)
        })
    }
}

fn request(question: Question) -> DecideRequest {
    DecideRequest {
        tenant: question.tenant.into(),
        project: question.project,
        action: ACTION.name().into(),
        template: question.template,
        controller: question.controller,
        parameters_json: question.parameters.to_string(),
    }
}

fn decision(answer: DecideResponse) -> Decision {
    let mut reasons = answer.reasons;
    if !answer.allowed && reasons.is_empty() {
        reasons.push("The policy refused this.".into());
    }
    Decision {
        allowed: answer.allowed,
        reasons,
        id: answer.decision_id,
        policy_digest: answer.policy_digest,
        input_digest: answer.input_digest,
    }
}
