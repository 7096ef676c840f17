//! Tells services that keep answers of ours which of them no longer hold: the owner's side of
//! [`runwarden_kit::watched`], over any config store.
//!
//! [`watched`] wraps a store. Every commit of this process is noted with the tenants it concerns. The revision of a
//! store grows by one with each commit, so a watcher is told of tenants only if all revisions since it last asked were
//! noted here; if one is missing (another process wrote it, or the history does not reach back that far), it is told
//! that everything may have changed. So no change is missed, whoever made it and whether it wrote or deleted.
//!
//! A commit that concerns somebody is answered only when every watcher has come back for more, which says that it has
//! heeded the change, or may not use any more what it keeps. Whoever made a change and then asks a watcher for
//! something finds the change in force.

mod history;
#[cfg(test)]
mod tests;
mod watchers;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use runwarden_kit::watched::{HEARTBEAT, News, Question};
use runwarden_kit::{Error, id};
use runwarden_proto::watch::v1::watch_service_server::{WatchService, WatchServiceServer};
use runwarden_proto::watch::v1::{WatchRequest, WatchResponse};
use tokio::sync::Notify;
use tonic::{Request, Response, Status};

use crate::config::{Change, Commit, ConfigEntry, ConfigStore, Write, Written};
use crate::{Result, StoreError, idempotency, outbox};
use history::{Changed, History};
use watchers::Watchers;

/// How long a commit of this process may take from being visible in the store to being noted here.
const GRACE: Duration = Duration::from_millis(20);
/// Of more tenants that changed at once no list is sent.
const MOST_TENANTS: usize = 1000;

/// Who has to hear that a key was written or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern<'key> {
    /// Nobody: nothing that others keep depends on it.
    Nobody,
    /// Those who keep something of this tenant.
    Tenant(&'key str),
    /// Everybody.
    Everyone,
}

/// Makes a store watched. `concern` says whom a key of the service concerns; one that it does not know concerns
/// everyone. Audit entries and answers kept for repeats, which are in the same store, concern nobody. Everything that
/// changes the store in this process must do so through the store that is answered.
#[must_use]
pub fn watched(
    store: Arc<dyn ConfigStore>,
    concern: impl Fn(&str) -> Concern<'_> + Send + Sync + 'static,
) -> (Arc<dyn ConfigStore>, Watch) {
    let watch = Watch(Arc::new(Inner {
        store,
        concern: Box::new(concern),
        epoch: id::new("epoch"),
        history: Mutex::default(),
        watchers: Watchers::default(),
        noted: Notify::new(),
    }));
    (Arc::new(WatchedStore(watch.clone())), watch)
}

/// What has changed in a store, for those who keep something of it. Serves `WatchService`.
#[derive(Clone)]
pub struct Watch(Arc<Inner>);

struct Inner {
    store: Arc<dyn ConfigStore>,
    concern: Box<dyn Fn(&str) -> Concern<'_> + Send + Sync>,
    /// Names this life of the process. A store that was restored from a backup meanwhile may have used a revision twice.
    epoch: String,
    history: Mutex<History>,
    watchers: Watchers,
    /// Wakes those who wait for a change.
    noted: Notify,
}

impl Watch {
    /// As the generated server.
    #[must_use]
    pub fn into_server(self) -> WatchServiceServer<Self> {
        WatchServiceServer::new(self)
    }

    /// What has changed since the version that the asker knows: at once if something has, else when something does, and
    /// after [`HEARTBEAT`] in any case. The store was looked at for it.
    ///
    /// # Errors
    /// When the store cannot be read, or there are too many watchers.
    pub async fn news(&self, question: &Question) -> Result<News, Error> {
        let inner = &self.0;
        let known = inner.known(&question.known_version);
        inner.watchers.came(&question.watcher, known)?;
        let noted = inner.noted.notified();
        tokio::pin!(noted);
        // From here on no change is missed.
        noted.as_mut().enable();
        let news = inner.look(known).await?;
        if news.everything || !news.changed_tenants.is_empty() {
            return Ok(news);
        }
        let _either = tokio::time::timeout(HEARTBEAT, noted).await;
        Ok(inner.look(known).await?)
    }

    async fn commit(&self, change: Change) -> Result<Commit> {
        let mut changed = Changed::default();
        for key in change.writes().iter().map(Write::key).filter(|key| !is_bookkeeping(key)) {
            changed.add((self.0.concern)(key));
        }
        let inner = Arc::clone(&self.0);
        // In a task of its own: a caller who hangs up does not keep a change from being noted.
        let commit = async move {
            let commit = inner.store.commit(change).await?;
            if let Commit::Done { revision } = commit {
                let concerns_somebody = !changed.is_nothing();
                inner.history().note(revision, changed);
                if concerns_somebody {
                    inner.noted.notify_waiters();
                    inner.watchers.heeded(revision).await;
                }
            }
            Ok(commit)
        };
        tokio::spawn(commit).await.map_err(StoreError::failed)?
    }
}

fn is_bookkeeping(key: &str) -> bool {
    outbox::is_of_outbox(key) || key.starts_with(idempotency::PREFIX)
}

impl Inner {
    fn history(&self) -> MutexGuard<'_, History> {
        // A revision is noted or not.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn version(&self, revision: i64) -> String {
        format!("{}.{revision}", self.epoch)
    }

    /// The revision of a version of this life.
    fn known(&self, version: &str) -> Option<i64> {
        let (epoch, revision) = version.rsplit_once('.')?;
        revision.parse().ok().filter(|_| epoch == self.epoch)
    }

    async fn look(&self, known: Option<i64>) -> Result<News> {
        let head = self.store.revision().await?;
        let changed = match known {
            None => None,
            Some(known) => {
                let noted = self.history().between(known, head);
                if noted.is_none() {
                    // Perhaps a commit of our own that is being noted at this moment.
                    tokio::time::sleep(GRACE).await;
                    self.history().between(known, head)
                } else {
                    noted
                }
            }
        };
        let version = self.version(head);
        Ok(match changed {
            Some(changed) if !changed.everyone && changed.tenants.len() <= MOST_TENANTS => {
                News { version, everything: false, changed_tenants: changed.tenants.into_iter().collect() }
            }
            _ => News { version, everything: true, changed_tenants: Vec::new() },
        })
    }
}

#[tonic::async_trait]
impl WatchService for Watch {
    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<WatchResponse>, Status> {
        Ok(Response::new(self.news(request.get_ref()).await?))
    }
}

/// The store, with its commits noted.
struct WatchedStore(Watch);

impl std::fmt::Debug for WatchedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WatchedStore").field(&self.0.0.store).finish()
    }
}

#[async_trait]
impl ConfigStore for WatchedStore {
    async fn get(&self, key: &str) -> Result<Option<ConfigEntry>> {
        self.0.0.store.get(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ConfigEntry>> {
        self.0.0.store.list(prefix, after, limit).await
    }

    async fn count(&self, prefix: &str) -> Result<u64> {
        self.0.0.store.count(prefix).await
    }

    async fn commit(&self, change: Change) -> Result<Commit> {
        self.0.commit(change).await
    }

    async fn revision(&self) -> Result<i64> {
        self.0.0.store.revision().await
    }

    async fn written_since(&self, prefix: &str, after: i64) -> Result<Written> {
        self.0.0.store.written_since(prefix, after).await
    }
}
