//! Hooks: configured ways in for foreign senders.

mod keys;
mod manage;
mod text;

use runwarden_kit::access::Guarded;
use runwarden_kit::caller::Scope;
use runwarden_kit::clock::Moment;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result, SecretString};
use runwarden_webhooks::{KeyFrom, Problem, Receiver, Weakness};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use manage::{HookUpdate, Hooks, NewHook, WithKey};

/// How many keys a hook may have: one, and another while one replaces the other.
pub const MAX_KEYS: usize = 2;

/// A configured way in for a foreign sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// A slug, unique in its tenant.
    pub name: String,
    /// Its id, `hook_…`: another hook of the same name has another one.
    pub id: String,
    /// Its tenant.
    pub tenant: TenantId,
    /// The project that it belongs to.
    pub project: String,
    /// What it is for.
    pub description: String,
    /// The template that its deliveries run.
    pub template: String,
    /// The kind of its sender.
    pub kind: String,
    /// What the kind wants to know: a JSON object without secrets.
    pub settings: Map<String, Value>,
    /// The OAuth client of the service account that its jobs run as.
    pub client_id: String,
    /// The Rego module that filters and maps its deliveries; empty to accept all, with no parameters.
    pub module: String,
    /// Whether it takes no deliveries.
    pub disabled: bool,
    /// Its keys, oldest first. The values are with the secret service.
    pub keys: Vec<HookKey>,
    /// When it was made.
    pub created_at: Moment,
    /// When it was last changed.
    pub updated_at: Moment,
    /// Grows with every change.
    pub revision: i64,
}

/// A key of a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookKey {
    /// Its id, `key_…`.
    pub id: String,
    /// When it was added.
    pub created_at: Moment,
    /// Whether it is so short that it can be found by trying.
    #[serde(default)]
    pub weak: bool,
}

impl Hook {
    /// What reads its sender's requests.
    ///
    /// # Errors
    /// When the settings do not fit the kind: of a stored hook, an earlier version took them.
    pub fn receiver(&self) -> Result<Receiver> {
        receiver(&self.kind, &self.settings)
    }

    /// What its sender's proof does not prevent. A weak key is one for as long as it is there, whatever the settings say.
    pub fn weaknesses(&self) -> Vec<Weakness> {
        // One that an earlier version took and this one does not is still shown.
        let mut found = self.receiver().map(|receiver| receiver.weaknesses()).unwrap_or_default();
        if self.has_weak_key() && !found.contains(&Weakness::WeakKey) {
            found.push(Weakness::WeakKey);
        }
        found
    }

    /// Whether one of its keys is weak.
    pub(crate) fn has_weak_key(&self) -> bool {
        self.keys.iter().any(|key| key.weak)
    }

    fn place(&self) -> Scope {
        Scope::project(&self.tenant, &self.project)
    }
}

impl Guarded for Hook {
    const SEEN_WITH: Permission = Permission::HooksRead;

    fn scope(&self) -> Scope {
        self.place()
    }

    fn missing() -> Error {
        Error::not_found("hook")
    }
}

/// What reads the requests of a kind's senders, with these settings.
pub(crate) fn receiver(kind: &str, settings: &Map<String, Value>) -> Result<Receiver> {
    Receiver::parse(kind, settings).map_err(|problem| refused("/settings", &problem))
}

/// Whether a key will do for a hook.
fn check_key(receiver: &Receiver, key: &SecretString, from: KeyFrom) -> Result<()> {
    receiver.check_key_from(key, from).map_err(|problem| Error::invalid("/key", problem.detail))
}

/// A problem with settings, at its place in the request.
fn refused(under: &str, problem: &Problem) -> Error {
    let pointer = match problem.field.as_str() {
        "" => under.to_owned(),
        "kind" => "/kind".to_owned(),
        field => format!("{under}/{}", field.replace('.', "/")),
    };
    Error::invalid(pointer, problem.detail.clone())
}
