//! Executors that share the store.

use async_trait::async_trait;
use runwarden_kit::Result;

use super::Kernel;
use crate::job::AT_ONCE;
use crate::store::engine::{Engine, ExecutorRows as _, Rows as _, Serialise, WatchRows as _};
use crate::store::{Beat, Executors};

#[async_trait]
impl<E: Engine> Executors for Kernel<E> {
    async fn resume(&self, holder: &str) -> Result<u64> {
        let mut rows = self.engine.begin().await?;
        rows.serialise(Serialise::Holder(holder.to_owned())).await?;
        let freed = rows.take_away(holder, AT_ONCE).await?;
        rows.commit().await?;
        Ok(freed)
    }

    async fn beat(&self, holder: &str) -> Result<()> {
        self.engine.write().await?.beat(holder).await
    }

    async fn beats(&self, holder: &str) -> Result<Vec<Beat>> {
        self.engine.read().await?.beats(holder).await
    }

    async fn free(&self, gone: &Beat) -> Result<Option<u64>> {
        let mut rows = self.engine.begin().await?;
        rows.serialise(Serialise::Holder(gone.holder.clone())).await?;
        if !rows.remove_executor(gone).await? {
            return Ok(None);
        }
        let freed = rows.take_away(&gone.holder, AT_ONCE).await?;
        rows.remove_follower(&gone.holder).await?;
        rows.commit().await?;
        Ok(Some(freed))
    }
}
