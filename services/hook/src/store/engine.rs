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

/// How much is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stock {
    /// Deliveries that wait.
    pub(crate) waiting: i64,
    /// All deliveries.
    pub(crate) kept: i64,
    /// Bytes of all that is kept of them.
    pub(crate) bytes: i64,
}

impl Stock {
    /// With more; with less where it is negative.
    pub(crate) fn plus(self, more: Self) -> Self {
        Self { waiting: self.waiting + more.waiting, kept: self.kept + more.kept, bytes: self.bytes + more.bytes }
    }
}

/// How much is kept of a tenant, and of one of its hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stocks {
    /// Of all hooks of the tenant.
    pub(crate) tenant: Stock,
    /// Of the hook.
    pub(crate) hook: Stock,
}

impl Stocks {
    /// With more of the hook's; with less where it is negative.
    pub(crate) fn plus(self, more: Stock) -> Self {
        Self { tenant: self.tenant.plus(more), hook: self.hook.plus(more) }
    }
}

/// A delivery that may be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Old {
    /// Its id.
    pub(crate) id: String,
    /// Its tenant.
    pub(crate) tenant: TenantId,
    /// Its hook's id.
    pub(crate) hook: String,
    /// Its size.
    pub(crate) size: i64,
}

/// Whose deliveries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Of<'a> {
    /// All.
    All,
    /// A tenant's.
    Tenant(&'a TenantId),
    /// Those of a tenant's hook.
    Hook(&'a TenantId, &'a str),
}

/// A way to all rows.
#[async_trait]
pub(crate) trait Rows: Send {
    /// From here to the end of this transaction no other that asks for the same tenant goes on.
    async fn serialise(&mut self, tenant: &TenantId) -> Result<()>;
    /// How much is kept of a tenant and of a hook of it. Serialised on the tenant.
    async fn stocks(&mut self, tenant: &TenantId, hook: &str) -> Result<Stocks>;
    /// Writes that down.
    async fn put_stocks(&mut self, tenant: &TenantId, hook: &str, stocks: Stocks) -> Result<()>;
    /// The delivery of a hook that carries this mark. Serialised on its tenant.
    async fn by_mark(&mut self, tenant: &TenantId, hook: &str, mark: &str) -> Result<Option<Delivery>>;
    /// Adds a delivery of this size.
    async fn insert(&mut self, delivery: &Delivery, content: &Content, size: i64) -> Result<()>;
    /// Writes a delivery over that grew by so many bytes.
    async fn save(&mut self, delivery: &Delivery, grew: i64) -> Result<()>;
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
    /// The oldest that are done with and arrived before this.
    async fn old(&mut self, of: Of<'_>, before: Moment, limit: usize) -> Result<Vec<Old>>;
    /// The tenants of which more is kept than this.
    async fn over(&mut self, kept: i64, bytes: i64) -> Result<Vec<TenantId>>;
    /// How much is kept of each hook of a tenant. Serialised on the tenant.
    async fn hooks(&mut self, tenant: &TenantId) -> Result<Vec<(String, Stock)>>;
    /// Deliveries that an earlier version finished and left parameters with.
    async fn parameters_left(&mut self, limit: usize) -> Result<Vec<(TenantId, String)>>;
    /// This is none of them any more.
    async fn none_left(&mut self, id: &str) -> Result<()>;
    /// Removes a delivery.
    async fn remove(&mut self, id: &str) -> Result<()>;
    /// Puts audit entries into the outbox, in their order.
    async fn put_entries(&mut self, entries: &[Entry]) -> Result<()>;
}
