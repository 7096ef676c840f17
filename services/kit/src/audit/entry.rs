//! Entries, built the same way everywhere.

use runwarden_proto::audit::v1::{Actor, Entry, Outcome};
use serde_json::Value;

use crate::caller::Caller;
use crate::clock::Clock;
use crate::context;
use crate::id;
use crate::mesh::Service;

/// Builds an entry: `EntryBuilder::new(Service::Executor, "job.submit", "job", id).…build()`.
#[derive(Clone, Debug)]
pub struct EntryBuilder(Entry);

impl EntryBuilder {
    /// What was done to what. Ids, trace, address and caller are taken from the request being served.
    #[must_use]
    pub fn new(clock: &dyn Clock, service: Service, action: &str, object_type: &str, object_id: &str) -> Self {
        let context = context::current();
        let mut entry = Entry {
            entry_id: id::new("rec"),
            occurred_at: Some(clock.now().to_proto()),
            service: service.name().into(),
            action: action.into(),
            object_type: object_type.into(),
            object_id: object_id.into(),
            outcome: Outcome::Success.into(),
            source_address: context.source_address.clone(),
            request_id: context.request_id.clone(),
            trace_id: context.trace_id.clone(),
            details_json: "{}".into(),
            ..Entry::default()
        };
        entry.actor = Some(match &context.caller {
            Some(caller) => actor_of(caller),
            None => Actor {
                principal: format!("service:{}", service.name()),
                name: service.name().into(),
                authenticated_by: "mesh".into(),
                ..Actor::default()
            },
        });
        entry.tenant = context.caller.as_ref().and_then(|c| c.tenant()).map(ToString::to_string).unwrap_or_default();
        Self(entry)
    }

    /// The tenant whose log it goes into; empty for the platform's.
    #[must_use]
    pub fn tenant(mut self, tenant: &str) -> Self {
        tenant.clone_into(&mut self.0.tenant);
        self
    }

    /// Who did it, when that is not the caller of the request being served.
    #[must_use]
    pub fn actor(mut self, actor: Actor) -> Self {
        self.0.actor = Some(actor);
        self
    }

    /// How it went; success unless said.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome.into();
        self
    }

    /// The decision behind it.
    #[must_use]
    pub fn decision(mut self, decision_id: &str, policy_digest: &str) -> Self {
        decision_id.clone_into(&mut self.0.decision_id);
        policy_digest.clone_into(&mut self.0.policy_digest);
        self
    }

    /// The digest of the canonical request.
    #[must_use]
    pub fn payload_digest(mut self, digest: &str) -> Self {
        digest.clone_into(&mut self.0.payload_digest);
        self
    }

    /// The request and trace it belongs to, when that is not the request being served.
    #[must_use]
    pub fn request(mut self, request_id: &str, trace_id: &str) -> Self {
        request_id.clone_into(&mut self.0.request_id);
        trace_id.clone_into(&mut self.0.trace_id);
        self
    }

    /// What else is worth knowing: a JSON object without secrets. Anything else is left out, and what is longer than
    /// [`MAX_DETAILS`](super::MAX_DETAILS) is cut.
    #[must_use]
    pub fn details(mut self, details: &Value) -> Self {
        if details.is_object() {
            self.0.details_json = super::details::fitted(details);
        }
        self
    }

    /// The entry.
    #[must_use]
    pub fn build(self) -> Entry {
        self.0
    }
}

/// The actor that a caller is in a record.
#[must_use]
pub fn actor_of(caller: &Caller) -> Actor {
    Actor {
        principal: caller.principal.clone(),
        name: caller.name.clone(),
        authenticated_by: caller.authenticated_by.clone(),
        client_id: caller.client_id.clone(),
        home_tenant: caller.home_tenant.clone().map(String::from).unwrap_or_default(),
    }
}
