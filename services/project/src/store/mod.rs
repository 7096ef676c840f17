//! The catalog: what exists.

pub(crate) mod key;
mod revision;

use std::ops::Deref;
use std::sync::Arc;

use runwarden_engines::catalog;
pub(crate) use runwarden_engines::catalog::{Stored, put};
use runwarden_engines::config::Change;
use runwarden_engines::idempotency::{self, Idempotency, Request, Ticket};
pub(crate) use runwarden_engines::idempotency::{Begun, Repeat};
use runwarden_kit::Result;
use runwarden_kit::audit::EntryBuilder;
use runwarden_kit::caller::Caller;
use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::mesh::Service;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use revision::retire_revision;

/// The service's state: a catalogue of records, with its clock and the answers it gave.
#[derive(Clone)]
pub struct Catalog {
    records: catalog::Catalog,
    idempotency: Idempotency,
    clock: Arc<dyn Clock>,
}

impl Deref for Catalog {
    type Target = catalog::Catalog;

    fn deref(&self) -> &catalog::Catalog {
        &self.records
    }
}

impl Catalog {
    /// Over these records.
    pub fn new(records: catalog::Catalog, idempotency: Idempotency, clock: Arc<dyn Clock>) -> Self {
        Self { records, idempotency, clock }
    }

    /// Now.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Finds out whether a creating request came before.
    pub(crate) async fn begin<T: DeserializeOwned>(
        &self,
        caller: &Caller,
        operation: &str,
        repeat: &Repeat,
    ) -> Result<Begun<T>> {
        self.idempotency.judge(Request::of(caller, operation, repeat), self.now(), idempotency::json).await
    }

    /// An audit entry of this service about something in a tenant.
    pub(crate) fn entry(&self, tenant: &str, action: &str, object_type: &str, object_id: &str) -> EntryBuilder {
        EntryBuilder::new(&*self.clock, Service::Project, action, object_type, object_id).tenant(tenant)
    }
}

/// Keeps what was made as the answer to repeats.
pub(crate) fn keep<T: Serialize>(ticket: &Ticket, change: &mut Change, made: &T) -> Result<()> {
    Ok(ticket.keep(change, &catalog::encode(made)?)?)
}
