//! What controllers' templates are as they are launched: one look serves all jobs that wait for the same template.
//!
//! A look serves a job if it was begun after the job was accepted, and at most [`SERVES`] ago. So whoever changes a
//! template at the controller and then asks for a job is never answered by what was there before; and a job that has
//! waited is launched by what was there at most that long before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use runwarden_awx::{Client, Installation, TemplateKind, TemplateView};
use runwarden_kit::clock::Moment;
use tokio::sync::watch;

use crate::launch::halt::Halt;

/// For how long a look serves others, from its beginning.
pub const SERVES: Duration = Duration::from_secs(1);
/// How many templates are remembered. To forget one only has it looked at again.
const MOST: usize = 1000;

/// One template, as a look found it.
#[derive(Debug)]
pub(super) struct Look {
    /// Where it is.
    pub(super) here: Installation,
    /// What it is there.
    pub(super) view: TemplateView,
}

/// Which template: at what is reached by a client, of a kind, with an id.
type Key = (usize, TemplateKind, i64);

/// When a look was begun, by both clocks: acceptance is known by the wall clock only, and that may be set.
#[derive(Clone, Copy, Debug)]
struct Begun {
    at: Moment,
    by: Instant,
}

impl Begun {
    fn serves(self, accepted: Moment) -> bool {
        self.at > accepted && self.by.elapsed() < SERVES
    }
}

struct Last {
    /// Keys name it by its address, which is another's once it is gone.
    client: Weak<Client>,
    begun: Begun,
    /// None until it has come to something.
    found: watch::Receiver<Option<Arc<Look>>>,
}

/// The last look at each template.
#[derive(Default)]
pub struct Looks {
    last: Mutex<HashMap<Key, Last>>,
}

impl Looks {
    /// What a template is, for a job that was accepted at this time: by a look that serves it, if there is one or one is
    /// under way, and else by this one.
    ///
    /// # Errors
    /// Those of the look. Nobody else is told of them: who waited for it looks for itself.
    pub(super) async fn at<F>(
        &self,
        client: &Arc<Client>,
        (kind, id): (TemplateKind, i64),
        accepted: Moment,
        now: Moment,
        look: impl FnOnce() -> F,
    ) -> Result<Arc<Look>, Halt>
    where
        F: Future<Output = Result<Look, Halt>>,
    {
        let key = (Arc::as_ptr(client).addr(), kind, id);
        if let Some(mut found) = self.serving(key, client, accepted) {
            // Fails if whoever looked found nothing, or went away.
            if let Ok(look) = found.wait_for(Option::is_some).await
                && let Some(look) = &*look
            {
                return Ok(Arc::clone(look));
            }
        }
        let (tell, found) = watch::channel(None);
        self.begin(key, Last { client: Arc::downgrade(client), begun: Begun { at: now, by: Instant::now() }, found });
        let look = Arc::new(look().await?);
        tell.send_replace(Some(Arc::clone(&look)));
        Ok(look)
    }

    fn serving(&self, key: Key, client: &Arc<Client>, accepted: Moment) -> Option<watch::Receiver<Option<Arc<Look>>>> {
        let last = self.last();
        let last = last.get(&key).filter(|last| last.begun.serves(accepted))?;
        let is_the_same = last.client.upgrade().is_some_and(|of| Arc::ptr_eq(&of, client));
        is_the_same.then(|| last.found.clone())
    }

    fn begin(&self, key: Key, look: Last) {
        let mut last = self.last();
        if last.len() >= MOST {
            last.retain(|_, last| last.begun.by.elapsed() < SERVES);
        }
        if last.len() < MOST || last.contains_key(&key) {
            last.insert(key, look);
        }
    }

    fn last(&self) -> MutexGuard<'_, HashMap<Key, Last>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
