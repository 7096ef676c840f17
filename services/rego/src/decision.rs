//! How a decision is put together, wherever it is made: role permissions first, then the platform's policies, then the
//! tenant's. Anything but a plain yes from all of them is a no.

use std::time::Instant;

use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::clock::Moment;
use runwarden_kit::text::capitalized;
use runwarden_kit::{Result, id, json};
use serde_json::{Map, Value, json};

use crate::engine::Verdict;
use crate::question::Question;
use crate::set::{Named, Owner};

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// `dec_…`.
    pub id: String,
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why, for the caller to read; never empty on a no.
    pub reasons: Vec<String>,
    /// Whether it is a no only because policies could not be evaluated.
    pub failed: bool,
    /// The digest of the roles and modules that decided.
    pub policy_digest: String,
    /// The digest of what they decided on.
    pub input_digest: String,
}

/// A no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    reasons: Vec<String>,
    /// Whether policies could not be evaluated: nobody said no.
    failed: bool,
}

impl Refusal {
    /// What a set says against a request; `None` when it allows it. Why it failed is for the log.
    #[must_use]
    pub fn of(owner: &Owner, verdict: Verdict) -> Option<Self> {
        match verdict {
            Verdict::Allowed => None,
            Verdict::Denied { mut reasons } => {
                if reasons.is_empty() {
                    reasons.push(format!("{} policies do not allow this.", capitalized(owner.possessive())));
                }
                Some(Self { reasons, failed: false })
            }
            Verdict::Failed { problem } => {
                tracing::warn!(
                    owner = owner.key(),
                    module = problem.module,
                    line = problem.line,
                    problem = problem.detail,
                    "a policy failed"
                );
                Some(Self::failed(owner))
            }
        }
    }

    /// A no because a set could not be evaluated.
    #[must_use]
    pub fn failed(owner: &Owner) -> Self {
        let whose = capitalized(owner.possessive());
        let reason = format!("{whose} policies could not be evaluated for this request, so the answer is no.");
        Self { reasons: vec![reason], failed: true }
    }
}

/// A decision in the making: what is asked by whom, and which policies were consulted so far.
pub struct Inquiry<'a> {
    caller: &'a Caller,
    question: &'a Question,
    input: String,
    policies: Map<String, Value>,
    begun: Instant,
}

impl<'a> Inquiry<'a> {
    /// Begins to decide.
    ///
    /// # Errors
    /// When the question makes no sense.
    pub fn begin(caller: &'a Caller, question: &'a Question, now: Moment) -> Result<Self> {
        question.check()?;
        let begun = Instant::now();
        let input = json::canonical(&question.input(caller, now));
        let policies = Map::from_iter([("roles".to_owned(), json!(roles(caller, &question.scope())))]);
        Ok(Self { caller, question, input, policies, begun })
    }

    /// The input document, as canonical JSON.
    #[must_use]
    pub fn input(&self) -> &str {
        &self.input
    }

    /// The refusal of a caller whose roles do not permit it, which no policy needs to be asked about.
    #[must_use]
    pub fn refused_by_roles(&self) -> Option<Refusal> {
        let Question { action, project, .. } = self.question;
        (!self.caller.holds(*action, &self.question.scope())).then(|| {
            let reason = format!("None of your roles permits {action} in project {project}.");
            Refusal { reasons: vec![reason], failed: false }
        })
    }

    /// Notes that an owner's modules are asked.
    pub fn consult(&mut self, owner: &Owner, modules: &[Named]) {
        let whose = match owner {
            Owner::Platform => "platform",
            Owner::Tenant(_) => "tenant",
        };
        self.policies.insert(whose.to_owned(), json!(modules));
    }

    /// The decision: a yes unless there is a refusal.
    #[must_use]
    pub fn end(self, refusal: Option<Refusal>) -> Decision {
        let result = if refusal.is_none() { "allowed" } else { "denied" };
        metrics::counter!("runwarden_policy_decisions_total", "result" => result).increment(1);
        metrics::histogram!("runwarden_policy_decision_seconds").record(self.begun.elapsed());
        Decision {
            id: id::new("dec"),
            allowed: refusal.is_none(),
            failed: refusal.as_ref().is_some_and(|refusal| refusal.failed),
            reasons: refusal.map(|refusal| refusal.reasons).unwrap_or_default(),
            policy_digest: json::digest(&Value::Object(self.policies)),
            input_digest: json::sha256_hex(self.input.as_bytes()),
        }
    }
}

/// The roles that hold at a scope, each with a digest of what it permits, in one order.
fn roles(caller: &Caller, scope: &Scope) -> Vec<Value> {
    let mut roles: Vec<(String, String)> = caller
        .grants
        .iter()
        .filter(|grant| Scope::from(grant.scope.clone()).covers(scope))
        .map(|grant| {
            let digest = json::digest(&json!({
                "tenant": grant.scope.tenant,
                "project": grant.scope.project,
                "permissions": grant.permissions,
            }));
            (grant.role.clone(), digest)
        })
        .collect();
    roles.sort();
    roles.dedup();
    roles.into_iter().map(|(name, digest)| json!({"name": name, "digest": digest})).collect()
}
