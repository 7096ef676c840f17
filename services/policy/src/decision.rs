//! Deciding, with the modules as they are at this moment and the engine in worker processes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use runwarden_kit::caller::Caller;
use runwarden_kit::clock::Clock;
use runwarden_kit::{Error, Result};
use runwarden_rego::decision::{Decision, Inquiry, Refusal};
use runwarden_rego::question::{self, Question};
use runwarden_rego::set::Set;

use crate::config::InProcess;
use crate::judge::Judge;
use crate::module::Owner;
use crate::store::ModuleStore;
use crate::worker::Trouble;

/// So many owners' modules are kept in memory.
const MAX_KEPT: usize = 256;

/// Decides.
pub struct Decider {
    store: Arc<dyn ModuleStore>,
    judge: Arc<dyn Judge>,
    clock: Arc<dyn Clock>,
    kept: Mutex<HashMap<Owner, Arc<Set>>>,
    in_process: InProcess,
}

impl Decider {
    /// With these modules, this engine and this clock.
    pub fn new(store: Arc<dyn ModuleStore>, judge: Arc<dyn Judge>, clock: Arc<dyn Clock>) -> Self {
        Self { store, judge, clock, kept: Mutex::default(), in_process: InProcess::default() }
    }

    /// The same, handing out the modules of these owners.
    #[must_use]
    pub fn handing_out(self, in_process: InProcess) -> Self {
        Self { in_process, ..self }
    }

    /// Says whether `caller` may do exactly this.
    ///
    /// # Errors
    /// When the question makes no sense, or nothing can be decided now. Policies that fail are no
    /// error but a no.
    pub async fn decide(&self, caller: &Caller, question: &Question) -> Result<Decision> {
        let mut inquiry = Inquiry::begin(caller, question, self.clock.now())?;
        let mut refusal = inquiry.refused_by_roles();
        for owner in [Owner::Platform, Owner::Tenant(question.tenant.clone())] {
            if refusal.is_some() {
                break;
            }
            if let Some(set) = self.set(&owner).await? {
                inquiry.consult(&owner, &set.named);
                refusal = self.ask(question, &owner, &set, inquiry.input()).await?;
            }
        }
        Ok(inquiry.end(refusal))
    }

    /// The modules of an owner as they are now, if they may be evaluated outside of a worker. An owner without modules
    /// has nothing to evaluate, so that is always fine.
    ///
    /// # Errors
    /// When that cannot be said now.
    pub async fn vetted(&self, owner: &Owner) -> Result<Option<Arc<Set>>> {
        let Some(set) = self.set(owner).await? else {
            return Ok(Some(Arc::new(Set::of(Vec::new()))));
        };
        if !self.in_process.includes(owner) {
            return Ok(None);
        }
        let sample = question::sample(owner.tenant(), self.clock.now());
        let vetted = self.judge.vet(&set.texts, &sample).await.map_err(|trouble| {
            Error::unavailable("No policy worker is free to try the modules now.").with_cause(trouble)
        })?;
        Ok(vetted.then_some(set))
    }

    /// Why this owner's policies refuse; `None` when they allow.
    async fn ask(&self, question: &Question, owner: &Owner, set: &Set, input: &str) -> Result<Option<Refusal>> {
        let key = format!("{}@{}", owner.key(), set.digest);
        match self.judge.decide(&question.tenant, &key, &set.texts, input).await {
            Ok(verdict) => Ok(Refusal::of(owner, verdict)),
            Err(trouble @ (Trouble::Died(_) | Trouble::TimedOut | Trouble::OutOfTurn)) => {
                metrics::counter!("runwarden_policy_workers_lost_total").increment(1);
                tracing::warn!(owner = owner.key(), error = %trouble, "a policy made its worker fail");
                Ok(Some(Refusal::failed(owner)))
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
        let set = Arc::new(shelf.set());
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
