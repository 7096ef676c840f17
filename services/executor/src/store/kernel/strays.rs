//! Runs that should not be.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::audit::Entry;
use runwarden_kit::clock::Moment;

use super::Kernel;
use crate::job::Stray;
use crate::store::engine::{Engine, Rows as _, Serialise, StrayRows as _};
use crate::store::{Effects, StrayRuns};

#[async_trait]
impl<E: Engine> StrayRuns for Kernel<E> {
    async fn strays(&self, now: Moment, limit: usize) -> Result<Vec<Stray>> {
        self.engine.read().await?.strays(now, limit).await
    }

    async fn count_strays(&self) -> Result<usize> {
        self.engine.read().await?.count_strays().await
    }

    async fn take_stray(&self, stray: &Stray, until: Moment) -> Result<bool> {
        self.engine.write().await?.defer_stray(stray, until).await
    }

    async fn keep_stray(&self, stray: &Stray) -> Result<()> {
        self.engine.write().await?.save_stray(stray).await
    }

    async fn settle_stray(&self, stray: &Stray, entry: Entry) -> Result<Option<Effects>> {
        let mut rows = self.engine.begin().await?;
        rows.serialise(Serialise::Job(stray.job.clone())).await?;
        if !rows.remove_stray(stray).await? {
            return Ok(None);
        }
        let effects = Effects::default().with_entry(entry);
        rows.put_entries(&effects.entries).await?;
        rows.commit().await?;
        Ok(Some(effects))
    }
}
