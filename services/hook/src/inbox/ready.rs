//! Hooks with what is needed to verify their requests. Keys are read once and kept until the hook changes, so requests
//! that prove nothing neither cost a read nor fill the audit log with reads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runwarden_kit::{Error, Result, SecretString};
use runwarden_webhooks::Receiver;
use tokio::time::Instant;

use super::refusals::Place;
use crate::hook::Hook;
use crate::ports::Keys;

/// Hooks that are kept ready at a time. Beyond that, the one that was made ready first goes.
const MOST: usize = 10_000;
/// After this a key that was not there is looked for again.
const MISSING_KEPT: Duration = Duration::from_secs(30);

/// A hook that is ready to verify requests.
pub(super) struct Ready {
    pub(super) hook: Hook,
    pub(super) receiver: Receiver,
    /// The newest first: it is the one that stays.
    pub(super) keys: Vec<SecretString>,
    since: Instant,
}

impl Ready {
    fn serves(&self, hook: &Hook) -> bool {
        let same = (&self.hook.id, self.hook.revision) == (&hook.id, hook.revision);
        let whole = self.keys.len() == hook.keys.len();
        same && (whole || self.since.elapsed() < MISSING_KEPT)
    }
}

/// Hooks that are ready, by tenant and name.
#[derive(Default)]
pub(super) struct ReadyHooks {
    ready: Mutex<HashMap<Place, Arc<Ready>>>,
    /// Those whose keys are being read: whoever else needs them waits for that.
    reading: Mutex<HashMap<Place, Arc<tokio::sync::Mutex<()>>>>,
}

impl ReadyHooks {
    /// A hook with its keys; none if they would have to be read and whoever has them is known to be away.
    ///
    /// # Errors
    /// When its settings or keys cannot be read now.
    pub(super) async fn of(
        &self,
        hook: Hook,
        keys: &dyn Keys,
        is_away: impl Fn() -> bool + Send + Sync,
    ) -> Result<Option<Arc<Ready>>> {
        let place = (hook.tenant.clone(), hook.name.clone());
        if let Some(ready) = self.kept(&place, &hook) {
            return Ok(Some(ready));
        }
        let turn = Arc::clone(locked(&self.reading).entry(place.clone()).or_default());
        let read = {
            let _turn = turn.lock().await;
            match self.kept(&place, &hook) {
                Some(ready) => Ok(Some(ready)),
                None if is_away() => Ok(None),
                None => self.read(&place, hook, keys).await.map(Some),
            }
        };
        let mut reading = locked(&self.reading);
        // This map's and our own: nobody else waits.
        if reading.get(&place).is_some_and(|turn| Arc::strong_count(turn) <= 2) {
            reading.remove(&place);
        }
        read
    }

    async fn read(&self, place: &Place, hook: Hook, keys: &dyn Keys) -> Result<Arc<Ready>> {
        let receiver =
            hook.receiver().map_err(|error| Error::internal(anyhow::anyhow!("hook {}: {error}", hook.id)))?;
        let mut found = Vec::with_capacity(hook.keys.len());
        for key in hook.keys.iter().rev() {
            found.extend(keys.read(&hook.tenant, &hook.id, &key.id).await?);
        }
        let made = Arc::new(Ready { hook, receiver, keys: found, since: Instant::now() });
        let mut ready = locked(&self.ready);
        if ready.len() >= MOST && !ready.contains_key(place) {
            let first = ready.iter().min_by_key(|(_, ready)| ready.since).map(|(place, _)| place.clone());
            first.map(|first| ready.remove(&first));
        }
        ready.insert(place.clone(), Arc::clone(&made));
        Ok(made)
    }

    fn kept(&self, place: &Place, hook: &Hook) -> Option<Arc<Ready>> {
        locked(&self.ready).get(place).filter(|ready| ready.serves(hook)).map(Arc::clone)
    }

    /// Forgets a hook that is gone, with its keys.
    pub(super) fn forget(&self, place: &Place) {
        locked(&self.ready).remove(place);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
