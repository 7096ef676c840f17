//! Executors that share the store.

use async_trait::async_trait;
use runwarden_kit::Result;

use super::Kernel;
use crate::job::AT_ONCE;
use crate::store::engine::{Engine, Serialise};
use crate::store::{Beat, Executors};

#[async_trait]
impl<E: Engine> Executors for Kernel<E> {
    async fn resume(&self, holder: &str) -> Result<u64> {
        let resume = self.engine.transaction(holder.to_owned(), |holder, rows| {
            Box::pin(async move {
                rows.serialise(Serialise::Holder(holder.clone())).await?;
                rows.take_away(holder, AT_ONCE).await
            })
        });
        resume.await
    }

    async fn beat(&self, holder: &str) -> Result<()> {
        self.engine.transaction(holder.to_owned(), |holder, rows| rows.beat(holder)).await
    }

    async fn beats(&self, holder: &str) -> Result<Vec<Beat>> {
        self.engine.read().await?.beats(holder).await
    }

    async fn free(&self, gone: &Beat) -> Result<Option<u64>> {
        let free = self.engine.transaction(gone.clone(), |gone, rows| {
            Box::pin(async move {
                rows.serialise(Serialise::Holder(gone.holder.clone())).await?;
                if !rows.remove_executor(gone).await? {
                    return Ok(None);
                }
                let freed = rows.take_away(&gone.holder, AT_ONCE).await?;
                rows.remove_follower(&gone.holder).await?;
                Ok(Some(freed))
            })
        });
        free.await
    }
}
