//! Decisions where they are needed: with the policies in memory if they may be evaluated here, by the policy service in
//! all other cases.
//!
//! Only a yes is decided here, and only with modules that their owner vouches for, as they are now. A no, whatever it
//! comes from, is the policy service's to say, with its reasons.

use std::sync::Arc;

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::caller::Caller;
use runwarden_rego::local::Local;
use runwarden_rego::question::Question as Asked;
use runwarden_rego::set::{Owner, Set};
use serde_json::Value;

use crate::launch::authority::{ACTION, Principal};
use crate::ports::{Decision, Evaluation, Policies, PolicySets, Question};

/// Decides here what can be decided here.
pub(crate) struct Decides {
    pub(crate) local: Local,
    pub(crate) sets: Arc<dyn PolicySets>,
    pub(crate) elsewhere: Arc<dyn Policies>,
}

impl Decides {
    /// A yes, if it can be said here.
    async fn allows(&self, caller: &Caller, question: &Question) -> Option<Decision> {
        let decision = self.decide_here(caller, question).await;
        let by = if decision.is_some() { "executor" } else { "policy" };
        metrics::counter!("runwarden_executor_decisions_total", "by" => by).increment(1);
        decision
    }

    async fn decide_here(&self, caller: &Caller, question: &Question) -> Option<Decision> {
        let Value::Object(parameters) = &question.parameters else { return None };
        let owners = [Owner::Platform, Owner::Tenant(question.tenant.clone())];
        let mut sets: Vec<(Owner, Arc<Set>)> = Vec::with_capacity(owners.len());
        for owner in owners {
            // Whoever cannot say which modules there are is asked for the decision.
            let set = self.sets.vetted(&owner).await.ok()??;
            sets.push((owner, set));
        }
        let asked = Asked {
            tenant: question.tenant.clone(),
            project: question.project.clone(),
            action: ACTION,
            template: question.template.clone(),
            controller: question.controller.clone(),
            parameters: parameters.clone(),
        };
        let decided = self.local.allows(caller, &asked, &sets)?;
        Some(Decision {
            allowed: decided.allowed,
            reasons: decided.reasons,
            id: decided.id,
            policy_digest: decided.policy_digest,
            input_digest: decided.input_digest,
        })
    }
}

#[async_trait]
impl Policies for Decides {
    async fn decide(&self, caller: &Caller, question: Question) -> Result<Decision> {
        match self.allows(caller, &question).await {
            Some(decision) => Ok(decision),
            None => self.elsewhere.decide(caller, question).await,
        }
    }

    async fn decide_for(&self, principal: &Principal, question: Question) -> Result<Evaluation> {
        let caller = principal.clone().into_rego().as_caller_in(&question.tenant);
        if let Ok(caller) = caller
            && let Some(decision) = self.allows(&caller, &question).await
        {
            return Ok(Evaluation::Decided(decision));
        }
        self.elsewhere.decide_for(principal, question).await
    }
}

#[cfg(test)]
mod tests;
