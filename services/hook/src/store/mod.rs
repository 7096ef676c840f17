//! Where hooks and deliveries are kept: hooks in a catalog, deliveries in tables of their own.

#[cfg(test)]
pub(crate) mod conformance;
mod engine;
mod kernel;
pub(crate) mod key;
pub mod messages;
mod opened;
mod room;
pub mod run_tasks;
mod sqlite;

use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;
use runwarden_engines::catalog;
pub(crate) use runwarden_engines::catalog::{Stored, put};
use runwarden_engines::config::Change;
use runwarden_engines::idempotency::{self, Begun, Idempotency, IdempotencyError, Repeat, Request, Ticket};
use runwarden_kit::audit::{Entry, EntryBuilder};
use runwarden_kit::caller::Caller;
use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::mesh::Service;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use opened::Stores;

use crate::inbox::delivery::{Arrival, Content, Delivery, DeliveryState};

/// Hooks, with the clock and the answers that were given.
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

    /// Finds out whether a request came before.
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
        EntryBuilder::new(&*self.clock, Service::Hook, action, object_type, object_id).tenant(tenant)
    }
}

/// Keeps what was made as the answer to repeats.
pub(crate) fn keep<T: Serialize>(ticket: &Ticket, change: &mut Change, made: &T) -> Result<()> {
    Ok(ticket.keep(change, &catalog::encode(made)?)?)
}

/// What a refused change means: the repeat lost, the name is taken, or something was changed meanwhile.
pub(crate) fn creation(ticket: &Ticket, refused: &str, own_key: &str, what: &str, name: &str) -> Error {
    if ticket.lost(refused) {
        IdempotencyError::InProgress.into()
    } else if refused == own_key {
        let detail = format!("There is already a {what} named {name}.");
        Error::new(ErrorReason::AlreadyExists, detail).with_field("/name", "is taken")
    } else {
        Error::changed(what)
    }
}

/// How much of a tenant may be kept. The last eighth is for hooks that hold little, and of the bytes the eighth before that
/// for parameters that mappings make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// How many deliveries may wait to be worked on.
    pub waiting: i64,
    /// How many deliveries.
    pub kept: i64,
    /// How many bytes, of them and of what they contain.
    pub bytes: i64,
    /// What arrived before this and is done with may go to make room.
    pub forget_before: Moment,
}

/// What became of what arrived in one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    /// All of it is durable: each as a new delivery, or as the repeat of an earlier one.
    Kept(Vec<Kept>),
    /// One has the id of an earlier delivery, and other content. Nothing of the request was kept.
    Conflict(Box<Delivery>),
    /// There is no room. Nothing of the request was kept.
    Full,
}

/// What became of a delivery that was mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// What it asks for is durable.
    Kept,
    /// It is not at the version any more that it was read at.
    Elsewhere,
    /// There is no room for its parameters now.
    Full,
}

/// A delivery that is durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The delivery.
    pub delivery: Delivery,
    /// Whether it was there before.
    pub repeat: bool,
}

/// Which deliveries of a hook to list.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// Only these states; empty for all.
    pub states: Vec<DeliveryState>,
    /// Only those before this id, for paging.
    pub before: Option<String>,
    /// How many.
    pub limit: usize,
}

/// Keeps deliveries.
///
/// Each call that writes is one transaction: all of it happens or nothing, and all if it answers `Ok`. A call that fails
/// may have happened: whoever made it looks, or does it again. What every engine promises is what `conformance` checks.
#[async_trait]
pub trait InboxStore: Send + Sync + 'static {
    /// Makes what arrived in one request durable, with its audit entries for what is new; or finds what an earlier one
    /// made. Of requests with the same id that race, one makes its delivery.
    async fn take(&self, arrivals: Vec<Arrival>, room: Room) -> Result<Taken>;

    /// Reads a delivery of a tenant.
    async fn get(&self, tenant: &TenantId, id: &str) -> Result<Option<Delivery>>;

    /// What a delivery of a tenant contains.
    async fn content(&self, tenant: &TenantId, id: &str) -> Result<Option<Content>>;

    /// Lists deliveries of a hook, by its id, newest first.
    async fn list(&self, tenant: &TenantId, hook: &str, filter: DeliveryFilter) -> Result<Vec<Delivery>>;

    /// The tenants with deliveries that wait.
    async fn tenants_waiting(&self) -> Result<Vec<TenantId>>;

    /// Deliveries of a tenant that are due by now, the longest first.
    async fn due(&self, tenant: &TenantId, now: Moment, limit: usize) -> Result<Vec<Delivery>>;

    /// Writes a delivery over, with audit entries, if it still is at the version it was read at. Answers whether it was.
    async fn advance(&self, delivery: Delivery, entries: Vec<Entry>) -> Result<bool>;

    /// As [`InboxStore::advance`] for a delivery that was mapped, if there is room for its parameters.
    async fn map(&self, delivery: Delivery, room: Room) -> Result<Mapped>;

    /// Forgets old deliveries where more is kept than there is room for, at most so many. Answers how many.
    async fn tidy(&self, room: Room, limit: usize) -> Result<usize>;

    /// Drops the parameters of deliveries that an earlier version finished, of at most so many. Answers of how many.
    async fn drop_parameters(&self, limit: usize) -> Result<usize>;

    /// Forgets deliveries that arrived before this and are done with, at most so many. Answers how many.
    async fn forget(&self, before: Moment, limit: usize) -> Result<usize>;

    /// Makes audit entries durable that belong to no delivery.
    async fn note(&self, entries: Vec<Entry>) -> Result<()>;
}
