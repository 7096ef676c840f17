//! Hooks with what is needed to verify their requests. Keys are read once and kept until the hook changes, so requests
//! that prove nothing neither cost a read nor fill the audit log with reads. Keys that cannot be used are not read again
//! at once either.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ExposeSecret as _, Result, SecretString};
use runwarden_webhooks::Receiver;
use tokio::time::Instant;

use super::reach::{Reach, WITHIN};
use super::refusals::Place;
use super::together::Together;
use crate::hook::Hook;
use crate::ports::Keys;

/// Hooks that are kept at a time. Beyond that, the one that was used longest ago goes.
const MOST: usize = 10_000;
/// How many bytes are kept of them.
const MOST_BYTES: usize = 64 << 20;
/// What an entry takes beside texts of any length.
const ENTRY_BYTES: usize = 1024;
/// After this a key that was not there, or could not be used, is looked for again.
const MISSING_KEPT: Duration = Duration::from_secs(30);
/// What was not used for this long is forgotten.
const IDLE: Duration = Duration::from_secs(3600);

/// What is needed of a hook to verify its requests and to keep what they bring.
pub(super) struct Facts {
    pub(super) id: String,
    pub(super) tenant: TenantId,
    pub(super) name: String,
    pub(super) project: String,
    pub(super) kind: String,
    /// The ids of its keys, the newest first.
    pub(super) key_ids: Vec<String>,
}

impl Facts {
    fn of(hook: &Hook) -> Self {
        Self {
            id: hook.id.clone(),
            tenant: hook.tenant.clone(),
            name: hook.name.clone(),
            project: hook.project.clone(),
            kind: hook.kind.clone(),
            key_ids: hook.keys.iter().rev().map(|key| key.id.clone()).collect(),
        }
    }
}

/// A hook that is ready to verify requests.
pub(super) struct Ready {
    pub(super) hook: Facts,
    pub(super) receiver: Receiver,
    /// The newest first: it is the one that stays.
    pub(super) keys: Vec<SecretString>,
}

/// What is known of a hook.
#[derive(Clone)]
pub(super) enum Found {
    /// It verifies requests.
    Ready(Arc<Ready>),
    /// It cannot, until somebody changes something; why, for the record.
    Unusable(Arc<Facts>, &'static str),
    /// That cannot be found out now.
    Later,
}

struct Entry {
    hook: String,
    revision: i64,
    found: Found,
    whole: bool,
    bytes: usize,
    since: Instant,
    used: Instant,
}

impl Entry {
    fn serves(&self, hook: &Hook) -> bool {
        let same = (&self.hook, self.revision) == (&hook.id, hook.revision);
        same && (self.whole || self.since.elapsed() < MISSING_KEPT)
    }
}

#[derive(Default)]
struct Entries {
    all: HashMap<Place, Entry>,
    bytes: usize,
}

impl Entries {
    fn remove(&mut self, place: &Place) {
        if let Some(entry) = self.all.remove(place) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }

    fn put(&mut self, place: Place, entry: Entry) {
        self.remove(&place);
        while self.all.len() >= MOST || self.bytes.saturating_add(entry.bytes) > MOST_BYTES {
            let oldest = self.all.iter().min_by_key(|(_, entry)| entry.used).map(|(place, _)| place.clone());
            let Some(oldest) = oldest else { break };
            self.remove(&oldest);
        }
        self.bytes = self.bytes.saturating_add(entry.bytes);
        self.all.insert(place, entry);
    }
}

/// Hooks that are ready, by tenant and name.
pub(super) struct ReadyHooks {
    keys: Arc<dyn Keys>,
    reach: Arc<Reach>,
    entries: Arc<Mutex<Entries>>,
    /// Those whose keys are being read, by id and revision too.
    reading: Together<(Place, String, i64), Found>,
}

impl ReadyHooks {
    pub(super) fn new(keys: Arc<dyn Keys>, reach: Arc<Reach>) -> Self {
        Self { keys, reach, entries: Arc::default(), reading: Together::default() }
    }

    /// What is known of a hook, or can be found out within a short time.
    pub(super) async fn of(&self, hook: Hook) -> Found {
        let place = (hook.tenant.clone(), hook.name.clone());
        if let Some(found) = self.kept(&place, &hook) {
            return found;
        }
        // What is away or failed is not asked by everybody who wants to know.
        if self.reach.is_paused(&place) || !self.reach.is_there().await {
            return Found::Later;
        }
        let key = (place.clone(), hook.id.clone(), hook.revision);
        let (kept, read) = (hook.clone(), (Arc::clone(&self.keys), Arc::clone(&self.reach), Arc::clone(&self.entries)));
        let context = context::current();
        let context = RequestContext {
            request_id: context.request_id.clone(),
            trace_id: context.trace_id.clone(),
            source_address: context.source_address.clone(),
            ..RequestContext::default()
        };
        let work = || context::scope(context, find_out(hook, read));
        self.reading.of(key, || self.kept(&place, &kept), work).await.unwrap_or(Found::Later)
    }

    fn kept(&self, place: &Place, hook: &Hook) -> Option<Found> {
        let mut entries = locked(&self.entries);
        let entry = entries.all.get_mut(place).filter(|entry| entry.serves(hook))?;
        entry.used = Instant::now();
        Some(entry.found.clone())
    }

    /// Forgets a hook that is gone or changed, with its keys.
    pub(super) fn forget(&self, place: &Place) {
        locked(&self.entries).remove(place);
        self.reach.end_trouble(place);
    }

    /// Forgets what was not used for long.
    pub(super) fn forget_idle(&self) {
        let mut entries = locked(&self.entries);
        let idle = entries.all.iter().filter(|(_, entry)| entry.used.elapsed() >= IDLE);
        let idle: Vec<Place> = idle.map(|(place, _)| place.clone()).collect();
        idle.iter().for_each(|place| entries.remove(place));
    }

    /// How many are kept.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        locked(&self.entries).all.len()
    }
}

/// Reads the keys of a hook, and notes what came of it.
async fn find_out(hook: Hook, (keys, reach, entries): (Arc<dyn Keys>, Arc<Reach>, Arc<Mutex<Entries>>)) -> Found {
    let place = (hook.tenant.clone(), hook.name.clone());
    let read = match hook.receiver() {
        Err(error) => Err((error, "settings_unusable")),
        Ok(receiver) => {
            let read = tokio::time::timeout(WITHIN, read(&*keys, &hook)).await;
            let read = read.unwrap_or_else(|_| Err(Error::unavailable("The secret service did not answer in time.")));
            read.map(|found| (receiver, found)).map_err(|error| (error, "keys_unreadable"))
        }
    };
    let facts = Facts::of(&hook);
    let mut bytes =
        ENTRY_BYTES + 2 * hook.settings.iter().map(|(name, value)| name.len() + length(value)).sum::<usize>();
    let (found, whole) = match read {
        Ok((receiver, keys)) => {
            bytes += keys.iter().map(|key| key.expose_secret().len()).sum::<usize>();
            let whole = keys.len() == facts.key_ids.len();
            (Found::Ready(Arc::new(Ready { hook: facts, receiver, keys })), whole)
        }
        Err((error, _)) if error.retry_after().is_some() => {
            tracing::warn!(hook = hook.id, %error, "a hook's requests cannot be verified now");
            reach.note_trouble(&place);
            reach.doubt();
            return Found::Later;
        }
        Err((error, reason)) => {
            tracing::error!(hook = hook.id, %error, "a hook's requests cannot be verified");
            error.log();
            (Found::Unusable(Arc::new(facts), reason), false)
        }
    };
    reach.end_trouble(&place);
    let (hook, revision, now) = (hook.id, hook.revision, Instant::now());
    let entry = Entry { hook, revision, found: found.clone(), whole, bytes, since: now, used: now };
    locked(&entries).put(place, entry);
    found
}

async fn read(keys: &dyn Keys, hook: &Hook) -> Result<Vec<SecretString>> {
    let mut found = Vec::with_capacity(hook.keys.len());
    for key in hook.keys.iter().rev() {
        found.extend(keys.read(&hook.tenant, &hook.id, &key.id).await?);
    }
    Ok(found)
}

/// How long a setting is as JSON, about.
fn length(value: &serde_json::Value) -> usize {
    value.to_string().len()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_by_its_bytes_and_what_was_used_last_stays() {
        let mut entries = Entries::default();
        let place = |number: usize| (TenantId::trusted("acme"), format!("hook-{number}"));
        let entry = |bytes| {
            let now = Instant::now();
            let (hook, found) = (String::new(), Found::Later);
            Entry { hook, revision: 1, found, whole: true, bytes, since: now, used: now }
        };
        for number in 0..10 {
            entries.put(place(number), entry(MOST_BYTES / 4));
        }
        assert_eq!((entries.all.len(), entries.bytes), (4, MOST_BYTES));
        assert!(entries.all.contains_key(&place(9)) && !entries.all.contains_key(&place(5)));
        // One that is written over is counted once.
        entries.put(place(9), entry(8));
        entries.put(place(10), entry(8));
        assert_eq!((entries.all.len(), entries.bytes), (5, 3 * (MOST_BYTES / 4) + 16));
        (6..11).for_each(|number| entries.remove(&place(number)));
        assert_eq!((entries.all.len(), entries.bytes), (0, 0));
    }
}
