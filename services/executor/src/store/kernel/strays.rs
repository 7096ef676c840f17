//! Runs that should not be.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::audit::Entry;
use runwarden_kit::clock::Moment;

use super::Kernel;
use crate::job::Stray;
use crate::store::engine::{Engine, Serialise};
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
        let with = (stray.clone(), until);
        self.engine.transaction(with, |(stray, until), rows| rows.defer_stray(stray, *until)).await
    }

    async fn keep_stray(&self, stray: &Stray) -> Result<()> {
        self.engine.transaction(stray.clone(), |stray, rows| rows.save_stray(stray)).await
    }

    async fn settle_stray(&self, stray: &Stray, entry: Entry) -> Result<Option<Effects>> {
        let with = (stray.clone(), Effects::default().with_entry(entry));
        let settle = self.engine.transaction(with, |(stray, effects), rows| {
            Box::pin(async move {
                rows.serialise(Serialise::Job(stray.job.clone())).await?;
                if !rows.remove_stray(stray).await? {
                    return Ok(None);
                }
                rows.put_entries(&effects.entries).await?;
                Ok(Some(effects.clone()))
            })
        });
        settle.await
    }
}
