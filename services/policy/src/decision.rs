//! Deciding: role permissions first, then the platform's policies, then the tenant's. Anything but
//! a plain yes from all of them is a no.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::clock::Clock;
use runwarden_kit::text::capitalized;
use runwarden_kit::{Error, Result, id, json};
use serde_json::{Value, json};

use crate::judge::Judge;
use crate::module::{Named, Owner};
use crate::store::ModuleStore;
use crate::worker::{ModuleText, Trouble};
use runwarden_rego::Verdict;
use runwarden_rego::question::Question;

/// So many owners' modules are kept in memory.
const MAX_KEPT: usize = 256;

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
struct Refusal {
    reasons: Vec<String>,
    /// Whether policies could not be evaluated: nobody said no.
    failed: bool,
}

/// An owner's modules as they decide.
#[derive(Debug)]
struct Set {
    digest: String,
    named: Vec<Named>,
    texts: Vec<ModuleText>,
}

/// Decides.
pub struct Decider {
    store: Arc<dyn ModuleStore>,
    judge: Arc<dyn Judge>,
    clock: Arc<dyn Clock>,
    kept: Mutex<HashMap<Owner, Arc<Set>>>,
}

impl Decider {
    /// With these modules, this engine and this clock.
    pub fn new(store: Arc<dyn ModuleStore>, judge: Arc<dyn Judge>, clock: Arc<dyn Clock>) -> Self {
        Self { store, judge, clock, kept: Mutex::default() }
    }

    /// Says whether `caller` may do exactly this.
    ///
    /// # Errors
    /// When the question makes no sense, or nothing can be decided now. Policies that fail are no
    /// error but a no.
    pub async fn decide(&self, caller: &Caller, question: &Question) -> Result<Decision> {
        question.check()?;
        let begun = Instant::now();
        let scope = question.scope();
        let input = question.input(caller, self.clock.now());
        let input_text = json::canonical(&input);
        let mut policies = json!({"roles": roles(caller, &scope)});

        let mut refusal = None;
        if caller.holds(question.action, &scope) {
            for owner in [Owner::Platform, Owner::Tenant(question.tenant.clone())] {
                let Some(set) = self.set(&owner).await? else {
                    continue;
                };
                if let Some(policies) = policies.as_object_mut() {
                    let whose = match owner {
                        Owner::Platform => "platform",
                        Owner::Tenant(_) => "tenant",
                    };
                    policies.insert(whose.to_owned(), json!(set.named));
                }
                refusal = self.ask(question, &owner, &set, &input_text).await?;
                if refusal.is_some() {
                    break;
                }
            }
        } else {
            let reason = format!("None of your roles permits {} in project {}.", question.action, question.project);
            refusal = Some(Refusal { reasons: vec![reason], failed: false });
        }

        let result = if refusal.is_none() { "allowed" } else { "denied" };
        metrics::counter!("runwarden_policy_decisions_total", "result" => result).increment(1);
        metrics::histogram!("runwarden_policy_decision_seconds").record(begun.elapsed());
        Ok(Decision {
            id: id::new("dec"),
            allowed: refusal.is_none(),
            failed: refusal.as_ref().is_some_and(|refusal| refusal.failed),
            reasons: refusal.map(|refusal| refusal.reasons).unwrap_or_default(),
            policy_digest: json::digest(&policies),
            input_digest: json::sha256_hex(input_text.as_bytes()),
        })
    }

    /// Why this owner's policies refuse; `None` when they allow.
    async fn ask(&self, question: &Question, owner: &Owner, set: &Set, input: &str) -> Result<Option<Refusal>> {
        let key = format!("{}@{}", owner.key(), set.digest);
        let failed = || {
            let whose = capitalized(owner.possessive());
            let reason = format!("{whose} policies could not be evaluated for this request, so the answer is no.");
            Some(Refusal { reasons: vec![reason], failed: true })
        };
        let answer = self.judge.decide(&question.tenant, &key, &set.texts, input).await;
        match answer {
            Ok(Verdict::Allowed) => Ok(None),
            Ok(Verdict::Denied { mut reasons }) => {
                if reasons.is_empty() {
                    reasons.push(format!("{} policies do not allow this.", capitalized(owner.possessive())));
                }
                Ok(Some(Refusal { reasons, failed: false }))
            }
            Ok(Verdict::Failed { problem }) => {
                tracing::warn!(
                    owner = owner.key(),
                    module = problem.module,
                    line = problem.line,
                    problem = problem.detail,
                    "a policy failed"
                );
                Ok(failed())
            }
            Err(trouble @ (Trouble::Died(_) | Trouble::TimedOut | Trouble::OutOfTurn)) => {
                metrics::counter!("runwarden_policy_workers_lost_total").increment(1);
                tracing::warn!(owner = owner.key(), error = %trouble, "a policy made its worker fail");
                Ok(failed())
            }
            Err(trouble @ (Trouble::Busy | Trouble::Start(_))) => {
                Err(Error::unavailable("No policy worker is free to decide this now.").with_cause(trouble))
            }
        }
    }

    /// The modules of an owner as they are now; `None` if there are none.
    async fn set(&self, owner: &Owner) -> Result<Option<Arc<Set>>> {
        let head = self.store.head(owner).await?;
        if head.modules.is_empty() {
            return Ok(None);
        }
        let digest = head.digest();
        if let Some(set) = self.kept().get(owner)
            && set.digest == digest
        {
            return Ok(Some(Arc::clone(set)));
        }
        let shelf = self.store.shelf(owner).await?;
        if shelf.modules.is_empty() {
            return Ok(None);
        }
        let set = Arc::new(Set { digest: shelf.digest(), named: shelf.named(), texts: shelf.texts() });
        let mut kept = self.kept();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(owner.clone(), Arc::clone(&set));
        Ok(Some(set))
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<Owner, Arc<Set>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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
