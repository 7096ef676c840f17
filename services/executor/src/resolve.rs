//! A person says what became of a launch that no machine can know about. It is checked as far as it can be, put on
//! record with its reason, and taken for true.

use std::sync::Arc;

use runwarden_kit::audit::{Bell, Outbox};
use runwarden_kit::clock::Clock;
use runwarden_kit::{Error, ErrorReason, Result};

use crate::attempt::{Attempt, Patience};
use crate::breaker::Breaker;
use crate::controllers::Controllers;
use crate::failpoint::{At, Failpoint};
use crate::job::{Job, JobState, Run};
use crate::live::Live;
use crate::ports::Templates;
use crate::protocol::{self, Resolution};
use crate::reconcile::moment;
use crate::records;
use crate::store::{Effects, JobStore};
use crate::work::WorkBell;

/// The longest reason, characters.
const LONGEST_REASON: usize = 1000;

/// What a person found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It became the run with this id.
    Bind(i64),
    /// It was not launched.
    Retry,
    /// Nobody will find out.
    GiveUp,
}

/// Takes what persons say.
pub struct Resolver {
    /// Where jobs live.
    pub store: Arc<dyn JobStore>,
    /// The same store's audit entries.
    pub outbox: Outbox,
    /// Where controllers are.
    pub templates: Arc<dyn Templates>,
    /// Clients for them.
    pub controllers: Arc<Controllers>,
    /// Which controllers are left alone.
    pub breaker: Breaker,
    /// How long absence proves nothing.
    pub patience: Patience,
    /// Where a test has the process die.
    pub failpoint: Failpoint,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Who waits for jobs.
    pub live: Live,
    /// Rings when a job was bound.
    pub watch: WorkBell,
    /// Rings when a job is due.
    pub work: WorkBell,
    /// Rings when audit entries wait.
    pub bell: Bell,
}

impl Resolver {
    /// Takes what a person says about a job they may decide about.
    ///
    /// # Errors
    /// `CONFLICT` when the job waits for no such word; `VALIDATION_FAILED` for a reason or run that cannot be;
    /// `UNAVAILABLE` or `CONTROLLER_UNREACHABLE` when the run cannot be looked at.
    pub async fn resolve(&self, job: &Job, said: Said, reason: &str) -> Result<Job> {
        let reason = checked_reason(reason)?;
        let attempt = self.store.last_attempt(&job.id).await?.filter(|attempt| attempt.is_open());
        let attempt = match attempt {
            Some(attempt) if job.state == JobState::Unknown => attempt,
            Some(_) | None => return Err(not_unknown(job)),
        };
        self.outbox.check_room(&job.tenant).await?;
        let resolution = match said {
            Said::Bind(run) => Resolution::Bind(self.run(job, &attempt, run).await?),
            Said::Retry => Resolution::Retry,
            Said::GiveUp => Resolution::GiveUp,
        };
        self.write(job, &attempt, resolution, reason).await
    }

    /// The run an operator names, as the controller tells of it.
    async fn run(&self, job: &Job, attempt: &Attempt, id: i64) -> Result<Run> {
        let wrong = |detail: String| Error::invalid("/run", detail);
        if id < 1 {
            return Err(wrong("must be the id of a run on the controller".into()));
        }
        let controller = self.templates.controller(&job.tenant, &job.controller).await?;
        let controller = controller.filter(|controller| controller.installation() == attempt.installation);
        let Some(controller) = controller else {
            return Err(Error::new(
                ErrorReason::Conflict,
                format!(
                    "The launch went to {}, which no controller of this name leads to any more.",
                    attempt.installation
                ),
            ));
        };
        let client = self.controllers.client(&controller, &format!("resolve {}", job.id)).await?;
        let found = client.find(id).await;
        self.breaker.note(&(controller.tenant.clone(), controller.name.clone()), &found);
        let Some(row) = found.map_err(Error::from)? else {
            return Err(wrong("the controller has no such run, or hides it from Runwarden's account".into()));
        };
        if row.unified_job_template != Some(attempt.controller_template) {
            return Err(wrong(format!(
                "is not a run of template {}, which the launch went to",
                attempt.controller_template
            )));
        }
        if row.created.is_some_and(|created| moment(created) < self.patience.earliest(attempt)) {
            return Err(wrong("was there before the launch was sent".into()));
        }
        if !self.store.bound(&attempt.installation, &[id]).await?.is_empty() {
            return Err(wrong("is another job's".into()));
        }
        Ok(Run { installation: attempt.installation.clone(), kind: row.run.kind.as_str().into(), id })
    }

    async fn write(&self, job: &Job, attempt: &Attempt, resolution: Resolution, reason: String) -> Result<Job> {
        let now = self.clock.now();
        let (number, clock) = (attempt.number, self.clock.clone());
        // Built here, where the caller is known; the change runs inside the store.
        let entry = records::resolve(&*self.clock, job, number, &resolution, &reason);
        let change = move |job: &mut Job, last: Option<Attempt>| {
            let Some(mut attempt) = last.filter(|attempt| attempt.number == number) else {
                return Err(not_unknown(job));
            };
            if !protocol::resolved(job, &mut attempt, resolution, &reason, now)? {
                return Err(not_unknown(job));
            }
            let mut effects = Effects::told().with_entry(entry).with_entry(records::attempt(&*clock, job, &attempt));
            if job.state.is_end() {
                effects = effects.with_entry(records::finish(&*clock, job));
            }
            Ok(Some(effects.with_attempt(attempt)))
        };
        self.failpoint.pass(At::ResolveBefore);
        let after = self.store.update(&job.id, now, Box::new(change)).await?;
        self.failpoint.pass(At::ResolveAfter);
        self.live.ring(&job.id);
        self.bell.ring();
        self.watch.ring();
        self.work.ring_ended();
        after.ok_or_else(|| Error::not_found("job"))
    }
}

fn checked_reason(reason: &str) -> Result<String> {
    let reason = reason.trim();
    let fine = (1..=LONGEST_REASON).contains(&reason.chars().count()) && !reason.chars().any(|c| c == '\0');
    if fine {
        return Ok(reason.to_owned());
    }
    Err(Error::invalid("/reason", format!("must be 1 to {LONGEST_REASON} characters: it goes on record")))
}

fn not_unknown(job: &Job) -> Error {
    Error::new(
        ErrorReason::Conflict,
        format!("Only a job that is `unknown` can be resolved; it {}.", job.state.in_words()),
    )
}
