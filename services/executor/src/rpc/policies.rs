//! Decisions from the policy service, on behalf of the caller whose token travels along.

use async_trait::async_trait;
use runwarden_kit::mesh::MeshChannel;
use runwarden_kit::{Error, Result};
use runwarden_proto::policy::v1::DecideRequest;
use runwarden_proto::policy::v1::policy_service_client::PolicyServiceClient;

use crate::ports::{Decision, Policies, Question};

/// Asks the policy service over the mesh.
pub(crate) struct MeshPolicies(PolicyServiceClient<MeshChannel>);

impl MeshPolicies {
    /// Over a channel to the policy service.
    pub(crate) fn new(channel: MeshChannel) -> Self {
        Self(PolicyServiceClient::new(channel))
    }
}

#[async_trait]
impl Policies for MeshPolicies {
    async fn decide(&self, question: Question) -> Result<Decision> {
        let request = DecideRequest {
            tenant: question.tenant,
            project: question.project,
            action: "jobs.submit".into(),
            template: question.template,
            controller: question.controller,
            parameters_json: question.parameters.to_string(),
        };
        let answer = self.0.clone().decide(request).await.map_err(|s| Error::from_status(&s))?.into_inner();
        let mut reasons = answer.reasons;
        if !answer.allowed && reasons.is_empty() {
            reasons.push("The policy refused this.".into());
        }
        Ok(Decision {
            allowed: answer.allowed,
            reasons,
            id: answer.decision_id,
            policy_digest: answer.policy_digest,
            input_digest: answer.input_digest,
        })
    }
}
