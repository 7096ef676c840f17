//! What this service needs of others: somebody who keeps credentials, and somebody who can talk to controllers.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::contract::TemplateKind;
use runwarden_kit::tenant::TenantId;

use crate::controller::{Controller, Credential};

/// Keeps credentials sealed.
#[async_trait]
pub trait SecretKeeper: Send + Sync + 'static {
    /// Stores a value under a name in a tenant.
    async fn put(&self, tenant: &TenantId, name: &str, value: &[u8]) -> Result<()>;
    /// Removes it for good. A name that is not there is no failure.
    async fn delete(&self, tenant: &TenantId, name: &str) -> Result<()>;
}

/// With which credential a controller is addressed.
#[derive(Debug)]
pub enum Login<'a> {
    /// With one that is not stored yet.
    Given(&'a Credential),
    /// With the stored one of this name.
    Stored(&'a str),
}

/// Who we are at a controller, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// What it calls itself.
    pub product: String,
    /// Its version.
    pub version: String,
    /// Our user's id.
    pub id: i64,
    /// Our user's name.
    pub name: String,
}

/// A template as its controller offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its kind.
    pub kind: TemplateKind,
    /// Its id there.
    pub id: i64,
    /// Its name there.
    pub name: String,
    /// Its description there.
    pub description: String,
    /// The launch fields it prompts for.
    pub prompts: Vec<String>,
    /// Whether a survey is on.
    pub survey_enabled: bool,
    /// The survey as a JSON Schema of the parameters.
    pub survey_schema: String,
    /// What makes it what it is, hashed.
    pub fingerprint: String,
    /// The parts behind the fingerprint, a JSON object.
    pub fingerprint_parts: String,
    /// What is wrong with it, all of it.
    pub problems: Vec<String>,
    /// What of that keeps it from being launched.
    pub obstacles: Vec<String>,
    /// The organization it is of; empty when it has none.
    pub organization: String,
    /// Which of the variables about a request its survey asks for.
    pub request_questions: Vec<String>,
    /// Which of these questions cannot take what a run would be told, in words.
    pub request_misfits: Vec<String>,
}

/// What a mapping wants to know of a controller's template.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look<'a> {
    /// The values that are to be fixed, a JSON object.
    pub fixed: &'a str,
    /// The fingerprint that was pinned; empty for none.
    pub fingerprint: &'a str,
    /// The parts behind it, a JSON object.
    pub fingerprint_parts: &'a str,
}

/// A template as its controller has it, and how that goes with a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The template.
    pub offer: Offer,
    /// What the controller takes for each launch field it prompts for: JSON Schemas by the field's name.
    pub taken: String,
    /// What the controller would refuse of the fixed values: name and reason.
    pub fixed_problems: Vec<(String, String)>,
    /// What has changed since it was pinned, in words.
    pub drift: Vec<String>,
}

/// A page of what a controller offers.
#[derive(Clone, Debug, Default)]
pub struct Offers {
    /// The templates.
    pub items: Vec<Offer>,
    /// Where the next page begins; empty on the last.
    pub next: String,
}

/// Talks to controllers.
#[async_trait]
pub trait ControllerAccess: Send + Sync + 'static {
    /// Tries an address and a credential.
    async fn check(&self, controller: &Controller, login: Login<'_>) -> Result<Account>;
    /// Lists what the controller offers.
    async fn browse(&self, controller: &Controller, size: i32, token: &str) -> Result<Offers>;
    /// Reads one template there.
    async fn describe(
        &self,
        controller: &Controller,
        kind: TemplateKind,
        id: i64,
        look: Look<'_>,
    ) -> Result<Description>;
}
