//! Accepting a job: resolved, validated, decided on, sealed, and then one transaction. Nothing is launched that is
//! not on disk, nothing is answered that is not recorded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runwarden_kit::access::{Authorized, Guarded as _, right};
use runwarden_kit::audit::{Outbox, Outcome, Recorder};
use runwarden_kit::caller::Caller;
use runwarden_kit::context::RequestContext;
use runwarden_kit::contract::RequestInfo;
use runwarden_kit::schema::WriteOnly;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::trust::Trust;
use runwarden_kit::{Error, ErrorReason, Result, id, idempotency, request_info, telemetry};

use crate::accept::parameters::{Parameters, Schemas};
use crate::accept::repeats::{Asked, Digested, InProgress, Key};
use crate::job::Priority;
use crate::job::{AT_ONCE, AskedWith, Job, JobState, Lease, Origin};
use crate::launch::authority::{self, Shown};
use crate::ports::{self, Decision, Policies, Question, Seals, Template};
use crate::records;
use crate::shared::Shared;
use crate::store::{Acceptance, Accepted, IdempotencyClaim, Room};

/// How many parameters are looked at that were not validated yet.
const MOST_NAMES: usize = 1000;

/// A template and the proof that its caller may run it.
type Allowed = Authorized<Arc<Template>, right::JobsSubmit>;

/// Accepts jobs.
pub struct Submitter {
    /// What everybody works with.
    pub shared: Shared,
    /// The same store's audit entries.
    pub outbox: Outbox,
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
    /// Requests with an idempotency key that are being answered.
    pub in_progress: InProgress,
    /// What callers are verified by.
    pub trust: Arc<Trust>,
    /// Jobs whose authority was proven a moment ago.
    pub shown: Arc<Shown>,
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
    /// Why it was not accepted, for the caller to read. In that case nothing has happened that is not recorded.
    pub async fn submit(&self, caller: &Caller, context: &RequestContext, asked: Asked<'_>) -> Result<Submitted> {
        // The caller's token was verified a moment ago, and news of at most this age says nothing against it.
        let arrived = Instant::now();
        let shown = self.trust.is_recent(authority::NEWS) && !self.trust.has_revoked(caller);
        let tenant = caller.require_tenant()?;
        let key = context.idempotency_key.as_ref().map(|key| Key::of(caller, key));
        let _answering = key.as_ref().map(|key| self.in_progress.begin(key.within(tenant))).transpose()?;
        // Before all that may have changed since the first answer.
        if let Some(key) = &key
            && let Some(job) = asked.earlier(&*self.shared.store, &*self.seals, tenant, key).await?
        {
            return Ok(Submitted { job, replayed: true });
        }
        let (template, parameters) = self.judged(caller, tenant, &asked).await?;
        self.shared.known.learn(tenant, &template.name, template.limits);
        let job_id = id::new("job");
        // Sealing comes before anything leaves this process: from here on the values cannot be read.
        let digested = asked.digested(&*self.seals, tenant, &job_id, &parameters).await?;
        let decision = self.decide(caller, tenant, &template, &parameters).await?;
        let job = self.assemble(caller, context, &template, &parameters, job_id, digested, &decision);
        let job = asked.options.apply(Job { origin: asked.origin.cloned(), ..job }, &template);
        if !decision.allowed {
            return Err(self.refuse(&job, decision).await);
        }
        self.outbox.check_room(tenant).await?;
        let entries = vec![records::submit(self.shared.clock.now(), &job, Outcome::Success, &decision.reasons)];
        let room = Room {
            of_tenant: if template.room.of_tenant > 0 { template.room.of_tenant } else { self.queue_limit },
            ..template.room
        };
        let idempotency = key.map(|key| IdempotencyClaim {
            principal: key.principal,
            key_hash: key.hash,
            body_digest: job.payload_digest.clone(),
        });
        if shown {
            self.shown.note(&job.id, arrived);
        }
        match self.shared.accept(Acceptance { job: job.clone(), idempotency, entries, room }).await? {
            Accepted::New(_) => Ok(Submitted { job, replayed: false }),
            Accepted::QueueFull { of, pace } => Err(queue_full(of, pace)),
            Accepted::Replayed(earlier) => Ok(Submitted { job: earlier.as_accepted(), replayed: true }),
            Accepted::KeyReused => Err(idempotency::reused()),
        }
    }

    /// Says whether a job would be accepted, as far as template, schema and policies decide that. Nothing is kept.
    ///
    /// # Errors
    /// Why it would not be accepted, other than for the policies.
    pub async fn check(&self, caller: &Caller, asked: Asked<'_>) -> Result<Decision> {
        let tenant = caller.require_tenant()?;
        let (template, parameters) = self.judged(caller, tenant, &asked).await?;
        self.decide(caller, tenant, &template, &parameters).await
    }

    /// Which of these parameters of a template are write-only.
    ///
    /// # Errors
    /// When the caller may not run the template, or names more than anybody sends.
    pub async fn write_only(&self, caller: &Caller, template: &str, names: Vec<String>) -> Result<Vec<String>> {
        let tenant = caller.require_tenant()?;
        runwarden_kit::slug::check("/template", template)?;
        if names.len() > MOST_NAMES {
            let detail = format!("There are more than {MOST_NAMES} parameters.");
            return Err(Error::new(ErrorReason::ParametersInvalid, detail));
        }
        let judge = |found: Option<Arc<Template>>| -> Result<Allowed> {
            caller.authorize(found.ok_or_else(Template::missing)?)
        };
        let template = ports::judged(&*self.shared.templates, tenant, template, judge).await?;
        let write_only = WriteOnly::of(&template.schema);
        Ok(names.into_iter().filter(|name| write_only.is(name)).collect())
    }

    /// Finds the template, and checks that the caller may run it and may ask this of it.
    async fn judged(&self, caller: &Caller, tenant: &TenantId, asked: &Asked<'_>) -> Result<(Allowed, Parameters)> {
        runwarden_kit::slug::check("/template", asked.template)?;
        let judge = |template| self.judge(caller, template, asked);
        ports::judged(&*self.shared.templates, tenant, asked.template, judge).await
    }

    /// What the caller may not even see does not exist.
    fn judge(
        &self,
        caller: &Caller,
        template: Option<Arc<Template>>,
        asked: &Asked<'_>,
    ) -> Result<(Allowed, Parameters)> {
        let template: Allowed = caller.authorize(template.ok_or_else(Template::missing)?)?;
        if template.tenant_disabled {
            return Err(Error::new(ErrorReason::TenantDisabled, "This tenant is disabled."));
        }
        let parameters = self.schemas.validate(&template, asked.parameters.clone())?;
        asked.options.check(&template, self.shared.clock.now())?;
        check_reference(&template, asked.origin)?;
        Ok((template, parameters))
    }

    async fn decide(
        &self,
        caller: &Caller,
        tenant: &TenantId,
        template: &Template,
        parameters: &Parameters,
    ) -> Result<Decision> {
        let question = Question {
            tenant: tenant.clone(),
            project: template.project.clone(),
            template: template.name.clone(),
            controller: template.controller.name.clone(),
            parameters: parameters.for_policies(),
        };
        self.policies.decide(caller, question).await
    }

    /// Puts a denial on the record, and then answers it.
    async fn refuse(&self, job: &Job, decision: Decision) -> Error {
        let entry = records::submit(self.shared.clock.now(), job, Outcome::Denied, &decision.reasons);
        if let Err(error) = self.recorder.record(entry).await {
            return error;
        }
        metrics::counter!("runwarden_jobs_denied_total", "tenant" => job.tenant.to_string()).increment(1);
        let mut error = Error::new(ErrorReason::PolicyDenied, decision.reasons.join(" "));
        error = error.with_metadata("decision_id", decision.id);
        decision.reasons.into_iter().fold(error, |error, reason| error.with_field("", reason))
    }

    #[expect(clippy::too_many_arguments, reason = "each is one part of the job and none belongs to another")]
    fn assemble(
        &self,
        caller: &Caller,
        context: &RequestContext,
        template: &Allowed,
        parameters: &Parameters,
        id: String,
        digested: Digested,
        decision: &Decision,
    ) -> Job {
        let now = self.shared.clock.now();
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
            write_only: parameters.write_only.keys().cloned().collect(),
            sealed_parameters: digested.sealed,
            payload_digest: digested.digest,
            requested_by: caller.principal.clone(),
            requested_by_name: caller.name.clone(),
            client_id: caller.client_id.clone(),
            asked_with: AskedWith {
                authenticated_by: caller.authenticated_by.clone(),
                permissions: caller.permissions_at(&template.scope()).into_iter().map(str::to_owned).collect(),
            },
            request_id: context.request_id.clone(),
            trace_id: context.trace_id.clone(),
            trace_parent: telemetry::traceparent_of(&tracing::Span::current()),
            decision_id: decision.id.clone(),
            policy_digest: decision.policy_digest.clone(),
            origin: None,
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

/// A reference comes from outside, so where it becomes a variable it must not be able to become more than a text.
fn check_reference(template: &Template, origin: Option<&Origin>) -> Result<()> {
    let reference = origin.map(|origin| origin.reference.as_str()).unwrap_or_default();
    if template.request_info != RequestInfo::Variables {
        return Ok(());
    }
    if reference == request_info::USE_DEFAULT {
        let detail = "must not be `$encrypted$`: this template hands it to its playbook, and AWX takes that for \"use the \
                      default\"";
        return Err(Error::invalid("/reference", detail));
    }
    if request_info::may_be_template(reference) {
        let detail = "must not contain `{{`, `}}`, `{%`, `%}`, `{#` or `#}`: this template hands it to its playbook, where \
                      they could be read as a Jinja template";
        return Err(Error::invalid("/reference", detail));
    }
    Ok(())
}

fn queue_full(of: &str, pace: Option<Duration>) -> Error {
    let error = Error::new(
        ErrorReason::QueueFull,
        format!("The queue of this {of} is full. Try again when some of its jobs have started."),
    );
    match pace {
        Some(pace) => error.with_retry_after(pace.clamp(Duration::from_secs(1), Duration::from_secs(300))),
        None => error,
    }
}

#[cfg(test)]
mod tests;
