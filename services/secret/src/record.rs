//! What is recorded of secrets in the audit log: who, which, why and which version. Never a value, or a hash of one.

use std::sync::Arc;

use runwarden_engines::vault::{RotationNote, SecretName};
use runwarden_kit::audit::{Actor, Entry, EntryBuilder, Outcome};
use runwarden_kit::clock::Clock;
use runwarden_kit::mesh::{Peer, Service};
use runwarden_kit::tenant::TenantId;
use serde_json::json;

/// How a value was revealed, or not.
pub(crate) enum Reveal {
    /// It was, in this version.
    Version(i64),
    /// It did not open.
    Failed,
}

/// Makes the entries of this service.
#[derive(Clone)]
pub(crate) struct Records {
    clock: Arc<dyn Clock>,
}

impl Records {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }

    /// A value was stored.
    pub(crate) fn put(&self, tenant: &TenantId, name: &SecretName, version: i64) -> Entry {
        self.of_secret("secret.put", tenant, name).details(&json!({ "version": version })).build()
    }

    /// A value was removed.
    pub(crate) fn delete(&self, tenant: &TenantId, name: &SecretName, version: i64) -> Entry {
        self.of_secret("secret.delete", tenant, name).details(&json!({ "version": version })).build()
    }

    /// A value is about to be revealed to a service, or could not be.
    pub(crate) fn read(
        &self,
        by: &Peer,
        tenant: &TenantId,
        name: &SecretName,
        purpose: &str,
        reveal: &Reveal,
    ) -> Entry {
        let entry = self.of_secret("secret.read", tenant, name).actor(actor(by));
        match reveal {
            Reveal::Version(version) => entry.details(&json!({ "purpose": purpose, "version": version })),
            Reveal::Failed => entry.outcome(Outcome::Failed).details(&json!({ "purpose": purpose })),
        }
        .build()
    }

    /// A sealed value is about to be revealed to a service, or did not open.
    pub(crate) fn open(&self, by: &Peer, tenant: &TenantId, context: &str, purpose: &str, opened: bool) -> Entry {
        EntryBuilder::new(&*self.clock, Service::Secret, "secret.open", "sealed_value", context)
            .tenant(tenant)
            .actor(actor(by))
            .outcome(if opened { Outcome::Success } else { Outcome::Failed })
            .details(&json!({ "purpose": purpose }))
            .build()
    }

    /// A rotation of the master key began or is done.
    pub(crate) fn rotation(&self, note: RotationNote) -> Entry {
        let entry = |key_id: &str| {
            // The platform's log, whatever tenant the caller acts for.
            EntryBuilder::new(&*self.clock, Service::Secret, "master_key.rotate", "master_key", key_id).tenant("")
        };
        match note {
            RotationNote::Begun { from, to } => {
                entry(&to).outcome(Outcome::Intent).details(&json!({ "from": from })).build()
            }
            RotationNote::Done { key_id, rewrapped } => {
                entry(&key_id).details(&json!({ "rewrapped": rewrapped })).build()
            }
        }
    }

    fn of_secret(&self, action: &str, tenant: &TenantId, name: &SecretName) -> EntryBuilder {
        EntryBuilder::new(&*self.clock, Service::Secret, action, "secret", name.as_str()).tenant(tenant)
    }
}

/// The service that reads. Its callers have gone; what it reads for is in the purpose.
fn actor(by: &Peer) -> Actor {
    let name = by.name();
    Actor {
        principal: format!("service:{name}"),
        name: name.to_owned(),
        authenticated_by: "mesh".to_owned(),
        ..Actor::default()
    }
}
