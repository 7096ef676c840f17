//! What this service needs of others.

use async_trait::async_trait;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Result, SecretString};
use serde_json::{Map, Value};

use crate::inbox::delivery::{Content, Delivery};

/// Keeps keys of hooks, and seals what was delivered in confidence.
#[async_trait]
pub trait Keys: Send + Sync + 'static {
    /// Stores a key of a hook, on behalf of the caller of the request being served.
    async fn put(&self, place: KeyPlace<'_>, key: &SecretString) -> Result<()>;
    /// Reads a key; `None` if it is not there.
    async fn read(&self, tenant: &TenantId, hook: &str, key: &str) -> Result<Option<SecretString>>;
    /// Whether keys could be read now. It belongs to no tenant, and nothing of it is recorded.
    async fn probe(&self) -> Result<()>;
    /// Removes a key for good, on behalf of the caller of the request being served.
    async fn delete(&self, place: KeyPlace<'_>) -> Result<()>;
    /// Opens what was sealed for a delivery.
    async fn open(&self, tenant: &TenantId, delivery: &str, sealed: &[u8]) -> Result<SecretString>;
    /// Seals a value for a delivery.
    async fn seal(&self, tenant: &TenantId, delivery: &str, value: &SecretString) -> Result<Vec<u8>>;
}

/// Which key of which hook.
#[derive(Clone, Copy, Debug)]
pub struct KeyPlace<'a> {
    /// The hook's tenant.
    pub tenant: &'a TenantId,
    /// The hook's project.
    pub project: &'a str,
    /// The hook's id.
    pub hook: &'a str,
    /// The key's id.
    pub key: &'a str,
}

/// What a module makes of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Made {
    /// It is wanted.
    Wanted {
        /// The parameters.
        parameters: Map<String, Value>,
        /// What the sender calls it; empty if the module does not say.
        reference: String,
    },
    /// It is not.
    Unwanted,
    /// The module cannot be evaluated over it, and never will be.
    Failed(String),
}

/// Evaluates modules of hooks.
#[async_trait]
pub trait Modules: Send + Sync + 'static {
    /// What keeps a module from being used; nothing if it can be.
    async fn check(&self, module: &str) -> Result<Vec<String>>;
    /// What a module makes of an event, a JSON text.
    async fn run(&self, tenant: &TenantId, module: &str, event: &str) -> Result<Made>;
}

/// A token of a service account.
#[derive(Clone)]
pub struct Token {
    /// The token.
    pub token: SecretString,
    /// When it expires.
    pub expires_at: Moment,
}

/// Whose service account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Account<'a> {
    /// The tenant of hook and client.
    pub tenant: &'a TenantId,
    /// The client.
    pub client_id: &'a str,
    /// The hook's project.
    pub project: &'a str,
    /// The hook's name, for the record.
    pub hook: &'a str,
}

/// Knows service accounts.
#[async_trait]
pub trait Identities: Send + Sync + 'static {
    /// Whether the caller of the request being served may let a hook of a project act as a client.
    async fn check(&self, client_id: &str, project: &str) -> Result<()>;
    /// A token of the service account that a hook names.
    async fn token(&self, account: Account<'_>) -> Result<Token>;
}

/// A job to ask for.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The template.
    pub template: &'a str,
    /// The parameters.
    pub parameters: &'a Map<String, Value>,
    /// What asks for it. Of a job that is only checked, the reference counts.
    pub origin: Option<Origin<'a>>,
    /// It is not begun after this.
    pub start_by: Option<Moment>,
}

/// What asks for a job.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The hook, by name.
    pub hook: &'a str,
    /// The delivery.
    pub delivery: &'a str,
    /// What the sender calls it; empty if the mapping does not say.
    pub reference: &'a str,
}

/// What policies say of a job that was not asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why.
    pub reasons: Vec<String>,
}

/// A job as far as a delivery shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView {
    /// Its state, by name.
    pub state: String,
    /// Why, in words; empty while nothing went wrong.
    pub detail: String,
    /// When the controller answered the launch.
    pub launched_at: Option<Moment>,
    /// When it ended.
    pub finished_at: Option<Moment>,
}

/// What a run printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The text.
    pub text: String,
    /// Whether it is all of it.
    pub complete: bool,
}

/// Runs jobs. What it is asked is asked as whoever the context of the request being served says.
#[async_trait]
pub trait Jobs: Send + Sync + 'static {
    /// Asks for a job, and answers its id.
    async fn submit(&self, order: Order<'_>) -> Result<String>;
    /// Whether a job would be accepted. What template and schema refuse is an error.
    async fn check(&self, order: Order<'_>) -> Result<Verdict>;
    /// Which of these parameters of a template are write-only.
    async fn write_only(&self, template: &str, names: Vec<String>) -> Result<Vec<String>>;
    /// What a job's run printed, its last bytes if there are more than so many; `None` if the caller may not see it.
    async fn output(&self, id: &str, most: usize) -> Result<Option<Output>>;
    /// A job; `None` if the caller may not see it.
    async fn view(&self, id: &str) -> Result<Option<JobView>>;
}

/// Reads plans of Terraform runs.
#[async_trait]
pub trait Plans: Send + Sync + 'static {
    /// The plan that a run task is about, one JSON object as it was written; `None` if there is none at its stage.
    async fn plan(&self, delivery: &Delivery, content: &Content) -> Result<Option<String>>;
}

/// Knows projects.
#[async_trait]
pub trait Projects: Send + Sync + 'static {
    /// Whether a tenant has a project.
    async fn exists(&self, tenant: &TenantId, project: &str) -> Result<bool>;
}
