//! Accepting a job: resolved, validated, decided on, sealed, and then one transaction. Nothing is launched that is
//! not on disk, nothing is answered that is not recorded.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runwarden_kit::audit::{Bell, OutboxStore, Outcome, Recorder};
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::clock::Clock;
use runwarden_kit::context::RequestContext;
use runwarden_kit::{Error, ErrorReason, Result, SecretString, id, json, telemetry};
use serde_json::{Map, Value};

use crate::job::{Job, JobState, Lease};
use crate::parameters::{Parameters, Schemas};
use crate::ports::{Decision, Policies, Question, Seals, Template, Templates};
use crate::records;
use crate::store::{Acceptance, Accepted, IdempotencyClaim, JobStore};
use crate::work::WorkBell;

/// The action that a role must grant and policies decide on.
const ACTION: &str = "jobs.submit";

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
    ) -> Result<Submitted> {
        let tenant = caller.require_tenant()?;
        let template = self.resolve(caller, tenant, template).await?;
        let _answering = match &context.idempotency_key {
            Some(key) => Some(self.in_progress.begin(tenant, &caller.principal, key)?),
            None => None,
        };
        let parameters = self.schemas.validate(&template, parameters)?;
        let job_id = id::new("job");
        // Sealing comes first of all that leaves this process: from here on nobody sees the values.
        let (sealed, keyed_hash) = self.seal(tenant, &job_id, &parameters).await?;
        let body = serde_json::json!({
            "template": template.name, "parameters": parameters.for_digest(keyed_hash.as_deref()),
        });
        let payload_digest = json::digest(&body);
        let idempotency = context.idempotency_key.as_ref().map(|key| IdempotencyClaim {
            principal: caller.principal.clone(),
            key_hash: json::sha256_hex(key.as_bytes()),
            body_digest: payload_digest.clone(),
        });
        if let Some(earlier) = self.earlier(tenant, idempotency.as_ref()).await? {
            return Ok(earlier);
        }
        let decision = self.decide(tenant, &template, &parameters).await?;
        let job = self.assemble(caller, context, &template, &parameters, job_id, sealed, payload_digest, &decision);
        if !decision.allowed {
            return Err(self.refuse(&job, decision).await);
        }
        self.outbox.check_room().await?;
        let entries = vec![records::submit(&*self.clock, &job, Outcome::Success, &decision.reasons)];
        match self.store.accept(Acceptance { job: job.clone(), idempotency, entries }).await? {
            Accepted::New => {}
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
            due_at: Some(now),
            lease: Lease::default(),
            setbacks: 0,
            attempts: 0,
            output_cursor: String::new(),
            output_bytes: 0,
            output_truncated: false,
            missing_since: None,
            ended_since: None,
            last_event: 0,
            max_duration_seconds: template.max_duration_seconds,
        }
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
