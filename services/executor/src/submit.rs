//! Accepting a job: resolved, validated, decided on, sealed, and then one transaction. Nothing is launched that is
//! not on disk, nothing is answered that is not recorded.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runwarden_kit::audit::{Bell, OutboxStore, Outcome, Recorder};
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::context::RequestContext;
use runwarden_kit::{Error, ErrorReason, FieldError, Result, SecretString, id, json, telemetry};
use serde_json::{Map, Value};

use crate::failpoint::{At, Failpoint};
use crate::job::{AT_ONCE, Job, JobState, Lease};
use crate::limits::Known;
use crate::parameters::{Parameters, Schemas};
use crate::ports::{Decision, Policies, Question, Seals, Template, Templates};
use crate::queue::Priority;
use crate::records;
use crate::store::{Acceptance, Accepted, IdempotencyClaim, JobStore, Room};
use crate::work::WorkBell;

/// The action that a role must grant and policies decide on.
const ACTION: &str = "jobs.submit";

/// How far ahead a job may be scheduled.
const FARTHEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// The longest limit of a run's time that can be asked for, seconds: what the longest of a template's is.
const LONGEST_RUN: i64 = 7 * 24 * 3600;

/// When and how a job shall be begun; nothing set is at once, normally, for as long as its template says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Which of the tenant's waiting jobs goes first.
    pub priority: Priority,
    /// Not to be begun before this.
    pub start_at: Option<Moment>,
    /// Not to be begun after this.
    pub start_by: Option<Moment>,
    /// How many seconds the run may take; 0 for what the template says.
    pub max_duration_seconds: i64,
}

/// Accepts jobs.
pub struct Submitter {
    /// Where jobs live.
    pub store: Arc<dyn JobStore>,
    /// The same store's audit entries.
    pub outbox: Arc<dyn OutboxStore>,
    /// What may be run.
    pub templates: Arc<dyn Templates>,
    /// What may be done.
    pub policies: Arc<dyn Policies>,
    /// Sealing.
    pub seals: Arc<dyn Seals>,
    /// Records refusals.
    pub recorder: Arc<dyn Recorder>,
    /// Compiled schemas.
    pub schemas: Schemas,
    /// How many jobs of a tenant may wait, where it has no number of its own.
    pub queue_limit: u32,
    /// What limits templates.
    pub known: Arc<Known>,
    /// Where a test has the process die.
    pub failpoint: Failpoint,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Tells the launcher.
    pub work: WorkBell,
    /// Tells who hands over audit entries.
    pub bell: Bell,
    /// Requests with an idempotency key that are being answered.
    pub in_progress: InProgress,
}

/// An accepted job.
pub struct Submitted {
    /// The job.
    pub job: Job,
    /// Whether an earlier request made it.
    pub replayed: bool,
}

impl Submitter {
    /// Accepts a job, or finds the one that the same request made before.
    ///
    /// # Errors
    /// Whatever stands in the way, for the caller to read. Then nothing has happened that is not on record.
    pub async fn submit(
        &self,
        caller: &Caller,
        context: &RequestContext,
        template: &str,
        parameters: Map<String, Value>,
        wishes: Wishes,
    ) -> Result<Submitted> {
        let tenant = caller.require_tenant()?;
        let template = self.resolve(caller, tenant, template).await?;
        self.known.learn(tenant, &template.name, template.limits);
        let _answering = match &context.idempotency_key {
            Some(key) => Some(self.in_progress.begin(tenant, &caller.principal, key)?),
            None => None,
        };
        let parameters = self.schemas.validate(&template, parameters)?;
        let job_id = id::new("job");
        // Sealing comes first of all that leaves this process: from here on nobody sees the values.
        let (sealed, keyed_hash) = self.seal(tenant, &job_id, &parameters).await?;
        let asked = parameters.for_digest(keyed_hash.as_deref());
        // What asks for nothing more has the digest it always had.
        let body = if wishes == Wishes::default() {
            serde_json::json!({"template": template.name, "parameters": asked})
        } else {
            serde_json::json!({"template": template.name, "parameters": asked, "wishes": wishes.told()})
        };
        let payload_digest = json::digest(&body);
        let idempotency = context.idempotency_key.as_ref().map(|key| IdempotencyClaim {
            principal: caller.principal.clone(),
            key_hash: json::sha256_hex(key.as_bytes()),
            body_digest: payload_digest.clone(),
        });
        if let Some(earlier) = self.earlier(tenant, idempotency.as_ref()).await? {
            return Ok(earlier);
        }
        wishes.check(&template, self.clock.now())?;
        let decision = self.decide(tenant, &template, &parameters).await?;
        let job = self.assemble(caller, context, &template, &parameters, job_id, sealed, payload_digest, &decision);
        let job = wishes.fulfilled(job, &template);
        if !decision.allowed {
            return Err(self.refuse(&job, decision).await);
        }
        self.outbox.check_room().await?;
        let entries = vec![records::submit(&*self.clock, &job, Outcome::Success, &decision.reasons)];
        let room = Room {
            of_tenant: if template.room.of_tenant > 0 { template.room.of_tenant } else { self.queue_limit },
            ..template.room
        };
        self.failpoint.pass(At::SubmitBeforeCommit);
        match self.store.accept(Acceptance { job: job.clone(), idempotency, entries, room }).await? {
            Accepted::New => self.failpoint.pass(At::SubmitAfterCommit),
            Accepted::QueueFull { of, pace } => return Err(queue_full(of, pace)),
            Accepted::Replayed(earlier) => return Ok(Submitted { job: earlier.as_accepted(), replayed: true }),
            Accepted::KeyReused => return Err(key_reused()),
        }
        metrics::counter!("runwarden_jobs_accepted_total", "tenant" => job.tenant.clone()).increment(1);
        tracing::info!(job = job.id, template = job.template, "job accepted");
        self.bell.ring();
        self.work.ring();
        Ok(Submitted { job, replayed: false })
    }

    /// Finds the template and checks that the caller may run it. What the caller may not even see does not exist.
    async fn resolve(&self, caller: &Caller, tenant: &str, name: &str) -> Result<Template> {
        runwarden_kit::slug::check("/template", name)?;
        let unknown = || Error::not_found("template").with_field("/template", "there is no such template");
        let template = self.templates.template(tenant, name).await?.ok_or_else(unknown)?;
        let scope = Scope::project(tenant, &template.project);
        if !caller.holds("templates.read", &scope) && !caller.holds(ACTION, &scope) {
            return Err(unknown());
        }
        caller.require(ACTION, &scope)?;
        if template.tenant_disabled {
            return Err(Error::new(ErrorReason::TenantDisabled, "This tenant is disabled."));
        }
        Ok(template)
    }

    async fn seal(&self, tenant: &str, job: &str, parameters: &Parameters) -> Result<(Option<String>, Option<String>)> {
        if parameters.write_only.is_empty() {
            return Ok((None, None));
        }
        let text = json::canonical(&Value::Object(parameters.write_only.clone()));
        let sealed = self.seals.seal(tenant, job, &SecretString::from(text)).await?;
        Ok((Some(STANDARD.encode(sealed.bytes)), Some(sealed.keyed_hash)))
    }

    async fn earlier(&self, tenant: &str, claim: Option<&IdempotencyClaim>) -> Result<Option<Submitted>> {
        let Some(claim) = claim else { return Ok(None) };
        match self.store.find_by_key(tenant, &claim.principal, &claim.key_hash).await? {
            Some((digest, job)) if digest == claim.body_digest => {
                Ok(Some(Submitted { job: job.as_accepted(), replayed: true }))
            }
            Some(_) => Err(key_reused()),
            None => Ok(None),
        }
    }

    async fn decide(&self, tenant: &str, template: &Template, parameters: &Parameters) -> Result<Decision> {
        self.policies
            .decide(Question {
                tenant: tenant.to_owned(),
                project: template.project.clone(),
                template: template.name.clone(),
                controller: template.controller.name.clone(),
                parameters: parameters.for_policies(),
            })
            .await
    }

    /// Puts a denial on the record, and then answers it.
    async fn refuse(&self, job: &Job, decision: Decision) -> Error {
        let entry = records::submit(&*self.clock, job, Outcome::Denied, &decision.reasons);
        if let Err(error) = self.recorder.record(entry).await {
            return error;
        }
        metrics::counter!("runwarden_jobs_denied_total", "tenant" => job.tenant.clone()).increment(1);
        let mut error = Error::new(ErrorReason::PolicyDenied, decision.reasons.join(" "));
        error = error.with_metadata("decision_id", decision.id);
        decision.reasons.into_iter().fold(error, |error, reason| error.with_field("", reason))
    }

    #[expect(clippy::too_many_arguments, reason = "each is one part of the job and none belongs to another")]
    fn assemble(
        &self,
        caller: &Caller,
        context: &RequestContext,
        template: &Template,
        parameters: &Parameters,
        id: String,
        sealed_parameters: Option<String>,
        payload_digest: String,
        decision: &Decision,
    ) -> Job {
        let now = self.clock.now();
        Job {
            id,
            tenant: template.tenant.clone(),
            project: template.project.clone(),
            template: template.name.clone(),
            controller: template.controller.name.clone(),
            launch_digest: template.launch_digest.clone(),
            state: JobState::New,
            reason: None,
            reason_detail: None,
            parameters: parameters.shown(),
            sealed_parameters,
            payload_digest,
            requested_by: caller.principal.clone(),
            requested_by_name: caller.name.clone(),
            client_id: caller.client_id.clone(),
            request_id: context.request_id.clone(),
            trace_id: context.trace_id.clone(),
            trace_parent: telemetry::traceparent_of(&tracing::Span::current()),
            decision_id: decision.id.clone(),
            policy_digest: decision.policy_digest.clone(),
            created_at: now,
            launched_at: None,
            finished_at: None,
            outcome: None,
            run: None,
            cancel_requested: false,
            condemned: None,
            cancel_sent_at: None,
            progress: String::new(),
            due_at: Some(AT_ONCE),
            lease: Lease::default(),
            priority: Priority::Normal,
            start_at: None,
            start_by: None,
            begun_at: None,
            setbacks: 0,
            attempts: 0,
            attempt_open: false,
            output_cursor: String::new(),
            output_bytes: 0,
            output_truncated: false,
            output_incomplete: false,
            missing_since: None,
            hidden_since: None,
            ended_since: None,
            last_event: 0,
            max_duration_seconds: template.max_duration_seconds,
        }
    }
}

impl Wishes {
    /// Whether they can be fulfilled.
    fn check(&self, template: &Template, now: Moment) -> Result<()> {
        let mut wrong = Vec::new();
        let mut field = |pointer: &str, detail: String| {
            wrong.push(FieldError { pointer: pointer.to_owned(), detail });
        };
        if self.start_at.is_some_and(|at| at > now.plus(FARTHEST)) {
            field("/start_at", "must be at most 30 days ahead".into());
        }
        if self.start_by.is_some_and(|by| by <= now) {
            field("/start_by", "must be in the future".into());
        } else if self.start_by.zip(self.start_at).is_some_and(|(by, at)| by <= at) {
            field("/start_by", "must be after `start_at`".into());
        }
        let longest = match template.max_duration_seconds {
            0 => LONGEST_RUN,
            limited => limited,
        };
        if !(0..=longest).contains(&self.max_duration_seconds) {
            field("/max_duration_seconds", format!("must be 1 to {longest}, which is what the template allows"));
        }
        match wrong.as_slice() {
            [] => Ok(()),
            [first, ..] => {
                let detail = first.detail.clone();
                Err(Error::new(ErrorReason::ValidationFailed, detail).with_fields(wrong))
            }
        }
    }

    /// The job with them.
    fn fulfilled(self, job: Job, template: &Template) -> Job {
        let waits_from = self.start_at.map_or(job.created_at, |at| at.max(job.created_at));
        let by_template = u64::try_from(template.max_wait_seconds)
            .ok()
            .filter(|seconds| *seconds > 0)
            .map(|seconds| waits_from.plus(Duration::from_secs(seconds)));
        Job {
            priority: self.priority,
            start_at: self.start_at,
            start_by: [self.start_by, by_template].into_iter().flatten().min(),
            max_duration_seconds: match self.max_duration_seconds {
                0 => job.max_duration_seconds,
                asked => asked,
            },
            due_at: self.start_at.filter(|at| *at > job.created_at).or(job.due_at),
            ..job
        }
    }

    /// For the digest of what was asked.
    fn told(self) -> Value {
        serde_json::json!({
            "priority": self.priority.name(),
            "start_at": self.start_at.map(Moment::rfc3339),
            "start_by": self.start_by.map(Moment::rfc3339),
            "max_duration_seconds": self.max_duration_seconds,
        })
    }
}

fn queue_full(of: &str, pace: Option<Duration>) -> Error {
    let error = Error::new(
        ErrorReason::QueueFull,
        format!("As many jobs of this {of} wait to be begun as may. Try again when some have been."),
    );
    match pace {
        Some(pace) => error.with_retry_after(pace.clamp(Duration::from_secs(1), Duration::from_secs(300))),
        None => error,
    }
}

fn key_reused() -> Error {
    Error::new(ErrorReason::IdempotencyKeyReused, "This idempotency key was used for another request.")
}

/// Which requests with an idempotency key are being answered by this process right now.
#[derive(Clone, Default)]
pub struct InProgress(Arc<Mutex<HashSet<(String, String, String)>>>);

/// One of them; gone when it is dropped.
pub struct Answering {
    all: InProgress,
    key: (String, String, String),
}

impl InProgress {
    fn begin(&self, tenant: &str, principal: &str, key: &str) -> Result<Answering> {
        let key = (tenant.to_owned(), principal.to_owned(), key.to_owned());
        let begun = self.0.lock().is_ok_and(|mut all| all.insert(key.clone()));
        if !begun {
            return Err(Error::new(
                ErrorReason::IdempotencyInProgress,
                "The first request with this idempotency key is still being answered.",
            ));
        }
        Ok(Answering { all: self.clone(), key })
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Ok(mut all) = self.all.0.lock() {
            all.remove(&self.key);
        }
    }
}
