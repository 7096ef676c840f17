//! Entries: what a service says happened.

use runwarden_proto::audit::v1 as wire;
use serde::{Deserialize, Serialize};

use super::{Details, Timestamp};

runwarden_kit::mirror! {
    /// How an action went.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Outcome = wire::Outcome {
        /// It is about to happen.
        Intent,
        /// It happened.
        Success,
        /// It was refused by permission or policy.
        Denied,
        /// It was tried and failed.
        Failed,
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// The principal's id; empty when unknown.
    pub principal: String,
    /// Its name, for people.
    pub name: String,
    /// How it proved itself.
    pub authenticated_by: String,
    /// The OAuth client, where there is one.
    pub client_id: String,
    /// The tenant it belongs to; empty for a principal of the platform.
    pub home_tenant: String,
}

/// One thing to record. Empty texts mean that there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Chosen by the service that hands it over.
    pub entry_id: String,
    /// When it happened, by that service's clock.
    pub occurred_at: Timestamp,
    /// The service that saw it happen.
    pub service: String,
    /// Who.
    pub actor: Actor,
    /// What, as `noun.verb`.
    pub action: String,
    /// The kind of thing it was done to.
    pub object_type: String,
    /// Which one.
    pub object_id: String,
    /// How it went.
    pub outcome: Outcome,
    /// The decision behind it.
    pub decision_id: String,
    /// The digest of the policies that decided.
    pub policy_digest: String,
    /// The digest of the canonical request.
    pub payload_digest: String,
    /// Further details.
    pub details: Details,
    /// Where the request came from.
    pub source_address: String,
    /// The request's id.
    pub request_id: String,
    /// The trace's id.
    pub trace_id: String,
}

/// The action with which an operator accepts that a log was restored from a copy. No service may hand it over.
pub const ACCEPT_RESTORE: &str = "audit.accept_restore";

impl Entry {
    /// Whether it accepts that its log was restored from a copy.
    #[must_use]
    pub fn accepts_restore(&self) -> bool {
        self.action == ACCEPT_RESTORE
    }

    /// The job it is about: the object itself, or the one its details name.
    #[must_use]
    pub fn job(&self) -> Option<&str> {
        if self.object_type == "job" { Some(&self.object_id) } else { self.details.text("job") }
    }
}
