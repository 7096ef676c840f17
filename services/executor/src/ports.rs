//! The other services, as the executor's domain needs them.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use runwarden_awx::{Credential, Target, TemplateKind};
use runwarden_kit::access::Guarded;
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::contract::RequestInfo;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ExposeSecret as _, Result, SecretString, json};
use runwarden_rego::set::{Owner, Set};
use serde_json::{Map, Value};

use crate::job::Job;
use crate::launch::authority::{Principal, Standing};
use crate::store::Room;
use crate::wait::limits::Limits;

/// A controller, as far as a launch needs it.
#[derive(Clone, Debug)]
pub struct Controller {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// Grows with every change: anything built from an older one is rebuilt.
    pub revision: i64,
    /// How to reach it.
    pub target: Target,
    /// Our account there.
    pub account: i64,
    /// What its credential is called in the secret service.
    pub secret_name: String,
}

impl Controller {
    /// Whether another leads to the same place, as the same account.
    #[must_use]
    pub fn leads_where(&self, other: &Self) -> bool {
        let told = |it: &Self| (it.name.clone(), it.target.clone(), it.account, it.secret_name.clone());
        told(self) == told(other)
    }
}

/// The JSON Schema of a template's parameters, with its digest, which is computed once.
#[derive(Clone, Debug)]
pub struct Schema {
    value: Value,
    digest: OnceLock<String>,
}

impl Schema {
    /// Equal for equal schemas only.
    pub fn digest(&self) -> &str {
        self.digest.get_or_init(|| json::digest(&self.value))
    }
}

impl From<Value> for Schema {
    fn from(value: Value) -> Self {
        Self { value, digest: OnceLock::new() }
    }
}

impl Deref for Schema {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

/// A template, as far as validation and launch need it.
#[derive(Clone, Debug)]
pub struct Template {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// Its project.
    pub project: String,
    /// Grows with every change.
    pub revision: i64,
    /// The controller it runs on.
    pub controller: Controller,
    /// The kind of the controller's template.
    pub kind: TemplateKind,
    /// The id of the controller's template.
    pub controller_template: i64,
    /// The JSON Schema of its parameters.
    pub schema: Schema,
    /// What callers cannot set.
    pub fixed: Map<String, Value>,
    /// What limits the beginning of its jobs.
    pub limits: Limits,
    /// How many of its jobs, and of its tenant's, may wait; 0 for no limit of their own.
    pub room: Room,
    /// How many seconds its jobs may wait; 0 for no limit.
    pub max_wait_seconds: i64,
    /// How many seconds a run may take; 0 for no limit.
    pub max_duration_seconds: i64,
    /// How its runs learn which request they answer.
    pub request_info: RequestInfo,
    /// Whether a drifted template is refused.
    pub refuse_drift: bool,
    /// The pinned fingerprint.
    pub fingerprint: String,
    /// What was pinned.
    pub fingerprint_parts: Value,
    /// What has been seen to have changed.
    pub drift: Vec<String>,
    /// What matters to a launch, digested.
    pub launch_digest: String,
    /// Whether its tenant is disabled.
    pub tenant_disabled: bool,
}

impl Guarded for Template {
    const SEEN_WITH: Permission = Permission::TemplatesRead;

    fn scope(&self) -> Scope {
        Scope::project(&self.tenant, &self.project)
    }

    fn missing() -> Error {
        Error::not_found("template").with_field("/template", "there is no such template")
    }
}

/// What may be run: the project service.
#[async_trait]
pub trait Templates: Send + Sync + 'static {
    /// Finds a template; `None` if the tenant has none with that name. What is found may be as old as
    /// [`STALE`](runwarden_kit::watched::STALE); that there is none is never old.
    async fn template(&self, tenant: &TenantId, name: &str) -> Result<Option<Arc<Template>>>;
    /// Finds a template as it is now.
    async fn template_now(&self, tenant: &TenantId, name: &str) -> Result<Option<Arc<Template>>> {
        self.template(tenant, name).await
    }
    /// Finds a controller; as old as a template may be.
    async fn controller(&self, tenant: &TenantId, name: &str) -> Result<Option<Controller>>;
    /// Says that the controller's template has changed, or is as it was mapped again.
    async fn report_drift(&self, template: &Template, drift: &[String]) -> Result<()>;
}

/// Judges a template as it is known, and as it is now before it is refused: old news refuses nothing.
pub(crate) async fn judged<T, E: From<Error>>(
    templates: &dyn Templates,
    tenant: &TenantId,
    name: &str,
    judge: impl Fn(Option<Arc<Template>>) -> Result<T, E> + Send,
) -> Result<T, E> {
    let known = templates.template(tenant, name).await?;
    let is_known = known.is_some();
    match judge(known) {
        Err(_) if is_known => {}
        judged => return judged,
    }
    judge(templates.template_now(tenant, name).await?)
}

/// What is to be decided.
#[derive(Clone, Debug)]
pub struct Question {
    /// The tenant it would happen in.
    pub tenant: TenantId,
    /// The project.
    pub project: String,
    /// The template.
    pub template: String,
    /// The controller.
    pub controller: String,
    /// The parameters, write-only ones as `<set>`.
    pub parameters: Value,
}

/// What was decided.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why, for the caller.
    pub reasons: Vec<String>,
    /// Its id.
    pub id: String,
    /// The digest of the policies that decided.
    pub policy_digest: String,
    /// The digest of the input that was decided on.
    pub input_digest: String,
}

/// What policies say of a principal that is not there to ask.
#[derive(Clone, Debug)]
pub enum Evaluation {
    /// Yes or no.
    Decided(Decision),
    /// They could not be evaluated, so it is a no for now.
    Failed(Decision),
}

/// What may be done: the policy service.
#[async_trait]
pub trait Policies: Send + Sync + 'static {
    /// Decides on behalf of the caller of the request being served.
    async fn decide(&self, caller: &Caller, question: Question) -> Result<Decision>;
    /// Decides for a principal whose request was accepted earlier, by what it holds now.
    async fn decide_for(&self, principal: &Principal, question: Question) -> Result<Evaluation>;
}

/// The modules that decide: the policy service.
#[async_trait]
pub trait PolicySets: Send + Sync + 'static {
    /// An owner's modules as they are now; `None` if only the policy service may evaluate them.
    async fn vetted(&self, owner: &Owner) -> Result<Option<Arc<Set>>>;
}

/// Who holds what now: the auth service.
#[async_trait]
pub trait Standings: Send + Sync + 'static {
    /// Whether who asked for a job could ask for it now.
    async fn standing(&self, job: &Job, permission: Permission) -> Result<Standing>;
}

/// A sealed value.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// What can be kept.
    pub bytes: Vec<u8>,
    /// Equal for equal values, and of no use for guessing them.
    pub keyed_hash: String,
}

/// Sealing and opening: the secret service.
#[async_trait]
pub trait Seals: Send + Sync + 'static {
    /// Seals a value for a context.
    async fn seal(&self, tenant: &TenantId, context: &str, value: &SecretString) -> Result<Sealed>;
    /// Opens a sealed value; on the record.
    async fn open(&self, tenant: &TenantId, context: &str, sealed: &[u8], purpose: &str) -> Result<SecretString>;
}

/// Where controllers' credentials are kept: the secret service. Every read is on the record there, with its purpose.
#[async_trait]
pub trait CredentialSource: Send + Sync + 'static {
    /// Reads the credential stored under a name in a tenant. `purpose` says what for: `launch job_…`.
    async fn read(&self, tenant: &TenantId, secret_name: &str, purpose: &str) -> Result<Credential>;
}

/// Reads an opened JSON object.
///
/// # Errors
/// `INTERNAL` if it is not one: it was written by this service.
pub fn opened_object(value: &SecretString) -> Result<Map<String, Value>> {
    serde_json::from_str(value.expose_secret())
        // The error would quote what it read.
        .map_err(|_| runwarden_kit::Error::internal(anyhow::anyhow!("sealed parameters are no JSON object")))
}
