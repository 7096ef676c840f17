//! Whether anything is known of a controller's runs. While a controller does not answer, or refuses the credential,
//! what was last noted of its runs is stale, and callers are told so. One row for a controller, however many its runs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use runwarden_kit::Result;
use runwarden_kit::clock::Moment;

use super::followed::Key;
use super::round::Looked;
use crate::store::{JobStore, Silence};

/// How long a controller may fail to answer before the last known state counts as stale.
const LONG: Duration = Duration::from_secs(10);

/// Since when looks at controllers fail, as far as this executor saw.
#[derive(Default)]
pub(super) struct Silences(Mutex<HashMap<Key, Moment>>);

impl Silences {
    /// Notes what a look at all runs of a controller came to.
    pub(super) async fn note(&self, store: &dyn JobStore, key: &Key, look: &Looked, now: Moment) -> Result<()> {
        let (why, at_once) = match look {
            Looked::Done { .. } => return self.heard(store, key).await,
            Looked::NotAsked(unasked) => (unasked.why().to_owned(), false),
            // A refused credential stays refused until an operator replaces it.
            Looked::Failed(error) => (error.to_string(), error.is_credential()),
        };
        let since = self.with(|failing| *failing.entry(key.clone()).or_insert(now));
        if !at_once && now.since(since) < LONG {
            return Ok(());
        }
        let noted = noted(store, key).await?;
        if noted.as_ref().is_some_and(|noted| noted.why == why) {
            return Ok(());
        }
        let since = noted.map_or(since, |noted| noted.since);
        store.silent(&key.0, &Silence { controller: key.1.clone(), since, why }).await
    }

    async fn heard(&self, store: &dyn JobStore, key: &Key) -> Result<()> {
        self.with(|failing| failing.remove(key));
        // Another executor, or an earlier life of this one, may have found it silent.
        match noted(store, key).await? {
            Some(_) => store.heard(&key.0, &key.1).await,
            None => Ok(()),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Key, Moment>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn noted(store: &dyn JobStore, key: &Key) -> Result<Option<Silence>> {
    Ok(store.silences(&key.0).await?.into_iter().find(|silence| silence.controller == key.1))
}

#[cfg(test)]
mod tests {
    use runwarden_awx::AwxError;

    use super::super::round::Unasked;
    use super::*;
    use crate::store::Watches as _;
    use crate::store::sqlite::SqliteJobs;
    use runwarden_kit::tenant::TenantId;

    #[tokio::test]
    async fn a_refused_credential_is_told_at_once_and_an_outage_when_it_is_long() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap();
        let (silences, key) = (Silences::default(), (TenantId::trusted("acme"), "awx".to_owned()));
        let at = |seconds| Moment::from_micros(1_000_000).plus(Duration::from_secs(seconds));
        let told = async || store.silences(&TenantId::trusted("acme")).await.unwrap();
        let (good, away) = (Looked::Done { changed: false }, Looked::Failed(AwxError::Timeout));
        let refused = Looked::Failed(AwxError::Unauthorized);

        silences.note(&store, &key, &away, at(0)).await.unwrap();
        silences.note(&store, &key, &Looked::NotAsked(Unasked::Credential), at(5)).await.unwrap();
        assert_eq!(told().await, [], "short trouble is no news");
        silences.note(&store, &key, &away, at(10)).await.unwrap();
        let [silence] = told().await.try_into().unwrap();
        assert_eq!((silence.since, silence.why.as_str()), (at(0), "the controller did not answer in time"));

        // Another reason, but the same silence, whichever executor looks.
        let other = Silences::default();
        other.note(&store, &key, &refused, at(20)).await.unwrap();
        let [silence] = told().await.try_into().unwrap();
        assert!(silence.since == at(0) && silence.why.contains("401"), "{silence:?}");
        assert_eq!(store.silences(&TenantId::trusted("other")).await.unwrap(), [], "another tenant's controller");

        other.note(&store, &key, &good, at(21)).await.unwrap();
        assert_eq!(told().await, []);
        silences.note(&store, &key, &good, at(22)).await.unwrap();
        silences.note(&store, &key, &away, at(23)).await.unwrap();
        assert_eq!(told().await, [], "it begins anew");
    }
}
