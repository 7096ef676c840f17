//! Keeping up with an owner: one question after the other, each from where the last answer ended.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runwarden_proto::watch::v1::watch_service_client::WatchServiceClient;

use super::{News, Question, STALE, present};
use crate::context::{self, RequestContext};
use crate::error::{Error, Result};
use crate::id;
use crate::lifecycle::Shutdown;
use crate::mesh::MeshChannel;
use crate::revoked::Present;

/// The first pause after a question that was not answered; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Who keeps answers of an owner.
pub trait Follower: Send + Sync + 'static {
    /// Forgets what has changed, and relies on the rest from when the question was `asked`.
    fn heard(&self, asked: Present, news: &News);
    /// A question was not answered: nothing is relied on until one is.
    fn not_heard(&self);
    /// What it is called in logs.
    fn name(&self) -> &'static str;
}

/// An owner, as far as it says what has changed.
#[async_trait]
pub trait WatchSource: Send + Sync + 'static {
    /// Waits for a change, for a while.
    ///
    /// # Errors
    /// When it cannot be asked.
    async fn watch(&self, question: Question) -> Result<News>;
}

struct Mesh(WatchServiceClient<MeshChannel>);

#[async_trait]
impl WatchSource for Mesh {
    async fn watch(&self, question: Question) -> Result<News> {
        let mut client = self.0.clone();
        let answer = context::scope(RequestContext::default(), async move { client.watch(question).await });
        answer.await.map(tonic::Response::into_inner).map_err(|status| Error::from_status(&status))
    }
}

/// Lets followers keep up with the owner behind a channel until shutdown: a task of its own.
pub async fn follow(channel: MeshChannel, followers: Vec<Arc<dyn Follower>>, shutdown: Shutdown) {
    follow_source(Mesh(WatchServiceClient::new(channel)), followers, shutdown).await;
}

/// As [`follow`], with any source.
pub async fn follow_source(source: impl WatchSource, followers: Vec<Arc<dyn Follower>>, shutdown: Shutdown) {
    let names = followers.iter().map(|follower| follower.name()).collect::<Vec<_>>().join(", ");
    let watcher = id::new("watcher");
    let mut version = String::new();
    let mut pause = FIRST_PAUSE;
    let mut broken = false;
    loop {
        let asked = present();
        let question = Question { watcher: watcher.clone(), known_version: version.clone() };
        // An answer that comes later would be of no use.
        let answer = tokio::select! {
            answer = tokio::time::timeout(STALE, source.watch(question)) => answer,
            () = shutdown.begun() => return,
        };
        let error = match answer {
            Ok(Ok(news)) => {
                for follower in &followers {
                    follower.heard(asked, &news);
                }
                if std::mem::take(&mut broken) {
                    tracing::info!(names, "changes are heard of again");
                }
                version = news.version;
                pause = FIRST_PAUSE;
                continue;
            }
            Ok(Err(error)) => error,
            Err(_) => Error::unavailable("The owner took too long to answer."),
        };
        for follower in &followers {
            follower.not_heard();
        }
        if !std::mem::replace(&mut broken, true) {
            tracing::warn!(%error, names, "changes cannot be heard of; the owner is asked each time");
        }
        if shutdown.sleep(pause).await.is_err() {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
