//! Where run tasks are kept that are owed a result.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::audit::Entry;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use runwarden_webhooks::run_task::Sequence;

/// A run task that is owed a result.
#[derive(Clone, Debug, PartialEq)]
pub struct RunTask {
    /// Its delivery.
    pub delivery: String,
    /// The delivery's tenant.
    pub tenant: TenantId,
    /// Where it stands; none before anything was done.
    pub sequence: Option<Sequence>,
    /// Grows with every change.
    pub version: i64,
}

/// Keeps run tasks. A delivery with an access token of Terraform's becomes one in its own transaction.
#[async_trait]
pub trait RunTaskStore: Send + Sync + 'static {
    /// The tenants with tasks that are due by now.
    async fn tenants_due(&self, now: Moment) -> Result<Vec<TenantId>>;

    /// Tasks of a tenant that are due by now, the longest first.
    async fn due(&self, tenant: &TenantId, now: Moment, limit: usize) -> Result<Vec<RunTask>>;

    /// The task of a delivery, unless it never had one or there is nothing left to say.
    async fn get(&self, tenant: &TenantId, delivery: &str) -> Result<Option<RunTask>>;

    /// Writes a task over, with audit entries, if it still is at the version it was read at; it is due again then, or
    /// never. Answers whether it was.
    async fn save(&self, task: RunTask, due_at: Option<Moment>, entries: Vec<Entry>) -> Result<bool>;
}
