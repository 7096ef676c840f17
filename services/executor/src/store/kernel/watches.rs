//! What is followed.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::tenant::TenantId;

use super::Kernel;
use crate::job::Job;
use crate::store::engine::Engine;
use crate::store::{Changed, Silence, Watches};

#[async_trait]
impl<E: Engine> Watches for Kernel<E> {
    async fn version(&self) -> Result<i64> {
        self.engine.read().await?.version().await
    }

    async fn running(&self, after: &str, limit: usize) -> Result<Vec<Job>> {
        self.engine.read().await?.running(after, limit).await
    }

    async fn changed(&self, after: i64, limit: usize) -> Result<Vec<Changed>> {
        self.engine.read().await?.changed(after, limit).await
    }

    async fn changed_jobs(&self, after: i64, limit: usize) -> Result<Vec<(i64, Job)>> {
        self.engine.read().await?.changed_jobs(after, limit).await
    }

    async fn watch(&self, tenant: &TenantId, controller: &str, holder: &str) -> Result<bool> {
        let follower = self.engine.read().await?.follower(tenant, controller).await?;
        if let Some(follower) = follower {
            return Ok(follower == holder);
        }
        let with = (tenant.to_string(), controller.to_owned(), holder.to_owned());
        let follow = self.engine.transaction(with, |(tenant, controller, holder), rows| {
            Box::pin(async move {
                rows.put_follower(tenant, controller, holder).await?;
                Ok(rows.follower(tenant, controller).await?.is_some_and(|follower| follower == *holder))
            })
        });
        follow.await
    }

    async fn unwatch(&self, holder: &str) -> Result<()> {
        self.engine.transaction(holder.to_owned(), |holder, rows| rows.remove_follower(holder)).await
    }

    async fn silences(&self, tenant: &TenantId) -> Result<Vec<Silence>> {
        self.engine.read().await?.silences(tenant).await
    }

    async fn silent(&self, tenant: &TenantId, silence: &Silence) -> Result<()> {
        let with = (tenant.to_string(), silence.clone());
        self.engine.transaction(with, |(tenant, silence), rows| rows.put_silence(tenant, silence)).await
    }

    async fn heard(&self, tenant: &TenantId, controller: &str) -> Result<()> {
        let with = (tenant.to_string(), controller.to_owned());
        self.engine.transaction(with, |(tenant, controller), rows| rows.remove_silence(tenant, controller)).await
    }
}
