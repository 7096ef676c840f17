//! What an engine keeps: rows, and small steps over them. The rules are in [`kernel`](super::kernel), once for all
//! engines; it says what must not happen at the same time, and an engine sees to it that it does not.

use async_trait::async_trait;
use futures::future::BoxFuture;
use runwarden_kit::Result;
use runwarden_kit::audit::Entry;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;

use super::DeliveryFilter;
use crate::inbox::delivery::{Content, Delivery};

/// Where rows are kept. What is done through one [`Rows`] is committed together or not at all.
pub(crate) trait Engine: Send + Sync + 'static {
    /// For reading what is committed. It waits for no writer.
    fn read(&self) -> impl Future<Output = Result<Box<dyn Rows>>> + Send;

    /// Makes a transaction: commits what the work did, if it answers `Ok`, before this answers; else leaves nothing. The
    /// work may be called more than once, each time as if it were the first.
    fn transaction<C, T>(&self, with: C, work: Work<C, T>) -> impl Future<Output = Result<T>> + Send
    where
        C: Send + Sync + 'static,
        T: Send + 'static;
}

/// What is done in a transaction: with what it was handed, on the rows. It waits for nothing but the rows.
pub(crate) type Work<C, T> = for<'a> fn(&'a C, &'a mut (dyn Rows + 'a)) -> BoxFuture<'a, Result<T>>;

/// How much is kept of a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stock {
    /// Deliveries that wait.
    pub(crate) waiting: i64,
    /// All deliveries.
    pub(crate) kept: i64,
    /// Bytes of what they contain.
    pub(crate) bytes: i64,
}

/// A delivery that may be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Old {
    /// Its id.
    pub(crate) id: String,
    /// Its tenant.
    pub(crate) tenant: TenantId,
    /// Its size.
    pub(crate) size: i64,
}

/// A way to all rows.
#[async_trait]
pub(crate) trait Rows: Send {
    /// From here to the end of this transaction no other that asks for the same tenant goes on.
    async fn serialise(&mut self, tenant: &TenantId) -> Result<()>;
    /// How much is kept of a tenant. Serialised on it.
    async fn stock(&mut self, tenant: &TenantId) -> Result<Stock>;
    /// Writes that down.
    async fn put_stock(&mut self, tenant: &TenantId, stock: Stock) -> Result<()>;
    /// The delivery of a hook that carries this mark. Serialised on its tenant.
    async fn by_mark(&mut self, tenant: &TenantId, hook: &str, mark: &str) -> Result<Option<Delivery>>;
    /// Adds a delivery.
    async fn insert(&mut self, delivery: &Delivery, content: &Content) -> Result<()>;
    /// Writes a delivery over.
    async fn save(&mut self, delivery: &Delivery) -> Result<()>;
    /// A delivery of a tenant.
    async fn delivery(&mut self, tenant: &TenantId, id: &str) -> Result<Option<Delivery>>;
    /// What it contains.
    async fn content(&mut self, tenant: &TenantId, id: &str) -> Result<Option<Content>>;
    /// Deliveries of a hook, newest first.
    async fn list(&mut self, tenant: &TenantId, hook: &str, filter: &DeliveryFilter) -> Result<Vec<Delivery>>;
    /// The tenants with deliveries that wait.
    async fn tenants_waiting(&mut self) -> Result<Vec<TenantId>>;
    /// Those of a tenant that are due, the longest first.
    async fn due(&mut self, tenant: &TenantId, now: Moment, limit: usize) -> Result<Vec<Delivery>>;
    /// The oldest that are done with and arrived before this: of a tenant, or of all.
    async fn old(&mut self, tenant: Option<&TenantId>, before: Moment, limit: usize) -> Result<Vec<Old>>;
    /// Removes a delivery.
    async fn remove(&mut self, id: &str) -> Result<()>;
    /// Puts audit entries into the outbox, in their order.
    async fn put_entries(&mut self, entries: &[Entry]) -> Result<()>;
}
