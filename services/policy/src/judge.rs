//! Who runs policies for us, seen from the domain.

use async_trait::async_trait;

use crate::worker::{ModuleText, Pool, Tried, Trouble};
use runwarden_kit::tenant::TenantId;
use runwarden_rego::Verdict;

/// Evaluates and tries sets of modules. Trouble is never a yes.
#[async_trait]
pub trait Judge: Send + Sync + 'static {
    /// What a set says about an input, on behalf of a tenant. The same key is the same set.
    async fn decide(
        &self,
        tenant: &TenantId,
        key: &str,
        modules: &[ModuleText],
        input: &str,
    ) -> Result<Verdict, Trouble>;

    /// Whether a set can be used, and what there is to say about it.
    async fn check(&self, modules: &[ModuleText], input: &str) -> Result<Tried, Trouble>;

    /// Whether a set may be evaluated outside of a worker.
    async fn vet(&self, modules: &[ModuleText], input: &str) -> Result<bool, Trouble>;
}

#[async_trait]
impl Judge for Pool {
    async fn decide(
        &self,
        tenant: &TenantId,
        key: &str,
        modules: &[ModuleText],
        input: &str,
    ) -> Result<Verdict, Trouble> {
        Self::decide(self, tenant, key, modules, input).await
    }

    async fn check(&self, modules: &[ModuleText], input: &str) -> Result<Tried, Trouble> {
        Self::check(self, modules, input).await
    }

    async fn vet(&self, modules: &[ModuleText], input: &str) -> Result<bool, Trouble> {
        Self::vet(self, modules, input).await
    }
}
