//! Whether who asked for a job could still ask for it. A job may wait for weeks; before each attempt it is asked again
//! what its client holds, and what the policies say now. Whatever keeps that from being answered makes the job wait:
//! nothing begins on an authority that was not shown, and nothing accepted ends because a service is away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use runwarden_kit::caller::Grant;
use runwarden_kit::contract::Lapse;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::text::shortened;
use runwarden_kit::{Error, Result};
use serde_json::{Map, Value, json};

use crate::job::{Job, JobState, reason};
use crate::launch::halt::Halt;
use crate::launch::protocol::Stop;
use crate::ports::{Decision, Evaluation, Policies, Question, Standings};

/// How long a proven authority is reused, by the monotonic clock.
///
/// A revocation holds within 5 s: a copy of the trust state is at most [`NEWS`] old, which `auth` itself put together at
/// most 0.5 s before; what was decided then holds for this long; and a launch is sent within 2 s of its intent
/// ([`crate::launch::protocol::SEND_WITHIN`]).
pub const SHOWN_FOR: Duration = Duration::from_secs(1);
/// How old the trust state may be by which a caller was verified, for the verification to count here.
pub const NEWS: Duration = Duration::from_millis(1500);
/// The action that a role must grant and policies decide on.
pub(crate) const ACTION: Permission = Permission::JobsSubmit;
/// How many jobs are remembered; others are asked about.
const MOST: usize = 4096;
/// The most bytes of reasons that a job shows.
const MOST_WORDS: usize = 2048;

/// What a principal holds now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// The principal.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The OAuth client.
    pub client_id: String,
    /// The tenant it belongs to; none for the platform's own.
    pub tenant: Option<TenantId>,
    /// How it proved itself when it asked.
    pub authenticated_by: String,
    /// What it may, where.
    pub grants: Vec<Grant>,
}

impl Principal {
    /// As decisions know it.
    pub(crate) fn into_rego(self) -> runwarden_rego::principal::Principal {
        runwarden_rego::principal::Principal {
            id: self.id,
            name: self.name,
            client_id: self.client_id,
            tenant: self.tenant.map(String::from).unwrap_or_default(),
            authenticated_by: self.authenticated_by,
            grants: self.grants,
        }
    }
}

/// Whether a client could ask now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It could.
    Holds(Principal),
    /// It could not.
    Lapsed(Lapse),
}

/// Jobs whose authority was proven a moment ago: by their caller's token and a decision, or by asking again.
#[derive(Debug)]
pub struct Shown {
    at: Mutex<HashMap<String, Instant>>,
    lasting: Duration,
}

impl Default for Shown {
    fn default() -> Self {
        Self::lasting(SHOWN_FOR)
    }
}

impl Shown {
    /// What counts for so long.
    #[must_use]
    pub fn lasting(lasting: Duration) -> Self {
        Self { at: Mutex::default(), lasting }
    }

    /// A job's authority was shown at a moment.
    pub fn note(&self, job: &str, at: Instant) {
        let mut shown = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.len() >= MOST {
            shown.retain(|_, at| at.elapsed() < self.lasting);
        }
        if shown.len() < MOST {
            shown.insert(job.to_owned(), at);
        }
    }

    /// Whether it still counts.
    #[must_use]
    pub fn holds(&self, job: &str) -> bool {
        let shown = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        shown.get(job).is_some_and(|at| at.elapsed() < self.lasting)
    }
}

/// A no, for the job and for the record.
#[derive(Clone, Debug)]
pub struct Denial {
    /// Why, for programs.
    pub reason: &'static str,
    /// Why, for people.
    pub detail: String,
    /// The decision, where policies decided.
    pub decision: Option<Decision>,
}

impl Denial {
    /// The job's end.
    #[must_use]
    pub fn stop(&self) -> Stop {
        Stop::End(JobState::Error, self.reason, self.detail.clone())
    }
}

/// Asks whether jobs may still begin.
pub struct Authority {
    /// Who holds what: auth.
    pub standings: Arc<dyn Standings>,
    /// What may be done: policy.
    pub policies: Arc<dyn Policies>,
    /// What need not be asked again yet.
    pub shown: Arc<Shown>,
}

impl Authority {
    /// Demands that a job may still begin. The answer is the decision that was made for it, or none if the last one is
    /// recent enough.
    ///
    /// # Errors
    /// [`Halt::Denied`] if it may not; a stop for later if that is not known now.
    pub async fn demand(&self, job: &Job) -> Result<Option<Decision>, Halt> {
        if self.shown.holds(&job.id) {
            return Ok(None);
        }
        let asked_at = Instant::now();
        let standing = self.standings.standing(job, ACTION).await;
        let principal = match standing.map_err(|error| wait("whether its client may still run it", &error))? {
            Standing::Holds(principal) => principal,
            Standing::Lapsed(lapse) => return Err(Halt::Denied(Box::new(lapsed(lapse, job)))),
        };
        let decided = self.policies.decide_for(&principal, question(job)).await;
        match decided.map_err(|error| wait("whether policies still allow it", &error))? {
            Evaluation::Decided(decision) if decision.allowed => {
                self.shown.note(&job.id, asked_at);
                Ok(Some(decision))
            }
            Evaluation::Decided(decision) => Err(Halt::Denied(Box::new(refused(decision)))),
            Evaluation::Failed(decision) => {
                // A policy that fails allows nothing. But it says nothing of this job either.
                Err(Stop::Later(format!("waiting because policies cannot be evaluated: {}", words(&decision))).into())
            }
        }
    }
}

fn wait(what: &str, error: &Error) -> Halt {
    error.log();
    Stop::Later(format!("waiting: {what} cannot be asked right now")).into()
}

fn words(decision: &Decision) -> String {
    shortened(decision.reasons.join(" "), MOST_WORDS)
}

fn refused(decision: Decision) -> Denial {
    let detail = format!("Policies no longer allow this, so it was not launched: {}", words(&decision));
    Denial { reason: reason::POLICY_DENIED, detail, decision: Some(decision) }
}

fn lapsed(lapse: Lapse, job: &Job) -> Denial {
    let (reason, detail) = match lapse {
        Lapse::Gone => {
            (reason::AUTHORITY_REVOKED, "The client that submitted it was deleted before it was launched.".into())
        }
        Lapse::Disabled => {
            (reason::AUTHORITY_REVOKED, "The client that submitted it was disabled before it was launched.".into())
        }
        Lapse::Expired => {
            (reason::AUTHORITY_REVOKED, "The client that submitted it expired before it was launched.".into())
        }
        Lapse::TenantClosed => (reason::TENANT_DISABLED, "The tenant was disabled before the job was launched.".into()),
        Lapse::NotPermitted => (
            reason::AUTHORITY_REVOKED,
            format!("The client that submitted it no longer holds {ACTION} in project {}.", job.project),
        ),
    };
    Denial { reason, detail, decision: None }
}

/// The question that was decided on when the job was accepted.
fn question(job: &Job) -> Question {
    let shown = |(name, value): (&String, &Value)| {
        let value = if job.is_sealed(name) { json!("<set>") } else { value.clone() };
        (name.clone(), value)
    };
    Question {
        tenant: job.tenant.clone(),
        project: job.project.clone(),
        template: job.template.clone(),
        controller: job.controller.clone(),
        parameters: Value::Object(job.parameters.iter().map(shown).collect::<Map<_, _>>()),
    }
}

#[cfg(test)]
mod tests;
