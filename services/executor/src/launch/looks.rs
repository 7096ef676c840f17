//! What controllers' templates are when they are launched: one look at a template serves all jobs that wait for it.
//!
//! A look serves a job that was accepted before the look was begun, for [`SERVES`]. So whoever changes a template at the
//! controller and then asks for a job is not answered by what was there before, as far as the clocks of executors agree;
//! and whatever they say, a job is launched by what was there at most that long ago. A look that is not a job's own never
//! ends it: what it would refuse is looked at again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use runwarden_awx::{Client, TemplateKind, TemplateView};
use runwarden_kit::clock::Moment;
use tokio::sync::watch;

/// For how long a look serves others, from its beginning.
pub const SERVES: Duration = Duration::from_secs(1);
/// How many templates are remembered. One that is forgotten is only looked at again.
const MOST: usize = 1000;

/// Which template: of the controller that a client leads to, of a kind, with an id.
type Key = (usize, TemplateKind, i64);
/// What a look found; none until then. It is kept by the launches that use it, and by nothing else: a view holds a part of
/// the memory that its tenant has for controllers' answers.
type Found = watch::Receiver<Option<Weak<TemplateView>>>;

/// When a look was begun. Acceptance is known by the wall clock only, and that may be set.
#[derive(Clone, Copy, Debug)]
struct Begun {
    wall: Moment,
    steady: Instant,
}

impl Begun {
    fn serves(self, accepted: Moment) -> bool {
        self.wall > accepted && self.steady.elapsed() < SERVES
    }
}

struct Last {
    /// Another client may come to lie where this one was.
    client: Weak<Client>,
    begun: Begun,
    found: Found,
}

/// The last look at each template.
#[derive(Default)]
pub struct Looks {
    last: Mutex<HashMap<Key, Last>>,
}

impl Looks {
    /// What another job's look found, or will have found in a moment, if that look serves a job that was accepted at this
    /// time.
    pub(super) async fn shared(
        &self,
        client: &Arc<Client>,
        (kind, id): (TemplateKind, i64),
        accepted: Moment,
    ) -> Option<Arc<TemplateView>> {
        let (begun, mut found) = {
            let last = self.last();
            let last = last.get(&(Arc::as_ptr(client).addr(), kind, id))?;
            let is_the_same = last.client.upgrade().is_some_and(|of| Arc::ptr_eq(&of, client));
            (is_the_same && last.begun.serves(accepted)).then(|| (last.begun, last.found.clone()))?
        };
        // It fails if that look did, or was given up.
        let view = found.wait_for(Option::is_some).await.ok()?.as_ref().and_then(Weak::upgrade);
        view.filter(|_| begun.serves(accepted))
    }

    /// Looks, for a job and for the others that wait. If it fails, each of them looks for itself.
    ///
    /// # Errors
    /// Those of the look.
    pub(super) async fn own<E>(
        &self,
        client: &Arc<Client>,
        (kind, id): (TemplateKind, i64),
        now: Moment,
        look: impl Future<Output = Result<TemplateView, E>>,
    ) -> Result<Arc<TemplateView>, E> {
        let (tell, found) = watch::channel(None);
        let begun = Begun { wall: now, steady: Instant::now() };
        self.begin((Arc::as_ptr(client).addr(), kind, id), Last { client: Arc::downgrade(client), begun, found });
        let view = Arc::new(look.await?);
        tell.send_replace(Some(Arc::downgrade(&view)));
        Ok(view)
    }

    /// How many views something still keeps.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        let is_kept = |last: &Last| last.found.borrow().as_ref().is_some_and(|view| view.strong_count() > 0);
        self.last().values().filter(|last| is_kept(last)).count()
    }

    fn begin(&self, key: Key, look: Last) {
        let mut last = self.last();
        last.retain(|_, last| last.begun.steady.elapsed() < SERVES);
        if last.len() < MOST || last.contains_key(&key) {
            last.insert(key, look);
        }
    }

    fn last(&self) -> MutexGuard<'_, HashMap<Key, Last>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
