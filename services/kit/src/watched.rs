//! Answers of another service, kept in memory for as long as that service vouches for them.
//!
//! What changes rarely and is needed for every request (a template, a policy) is asked for once and then answered from
//! [`Watched`]. Its owner is asked all the time what has changed ([`follow`]), and answers when something does or after
//! [`HEARTBEAT`]. What is kept is used only within [`STALE`] of the moment at which the last question was *sent*, so
//! that an answer that was long under way lends no time; and not at all from when a question fails. A watch that is
//! broken costs nothing but speed: each caller asks the owner, as if nothing were kept.
//!
//! ```no_run
//! # async fn example(channel: runwarden_kit::mesh::MeshChannel, tasks: runwarden_kit::lifecycle::Tasks) -> runwarden_kit::Result<()> {
//! use runwarden_kit::watched::{self, Watched};
//!
//! let names: std::sync::Arc<Watched<String>> = Watched::new("names", 1000);
//! tasks.spawn("watch", watched::follow(channel, vec![names.clone()], tasks.shutdown().clone()));
//! let name = names.get_or_ask("acme", "key", || async { Ok(Some("asked for once".to_owned())) }).await?;
//! # Ok(()) }
//! ```

mod follow;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use follow::{Follower, WatchSource, follow, follow_source};
use metrics::{Counter, Gauge};
pub use runwarden_proto::watch::v1::WatchRequest as Question;
pub use runwarden_proto::watch::v1::WatchResponse as News;
use tokio::sync::watch;

use crate::clock::{Clock as _, SystemClock};
use crate::error::Result;
use crate::revoked::Present;

/// For how long after it was asked what an owner says of changes is relied on: how old anything kept can be.
pub const STALE: Duration = Duration::from_secs(1);
/// How long an owner waits for a change before it says that there was none.
pub const HEARTBEAT: Duration = Duration::from_millis(250);

/// Tells the present. By two clocks: steady time stands still while a machine is suspended or moved, and the wall clock
/// can be set.
pub type Clocks = Arc<dyn Fn() -> Present + Send + Sync>;

fn present() -> Present {
    Present { wall: SystemClock.now(), steady: std::time::Instant::now() }
}

/// A bounded number of answers by tenant and key. Only what exists is kept: how many names there are that name nothing
/// is up to those who ask.
pub struct Watched<V> {
    name: &'static str,
    capacity: usize,
    state: Mutex<State<V>>,
    clock: Clocks,
    hits: Counter,
    misses: Counter,
    fresh: Gauge,
}

struct State<V> {
    /// By tenant, then by key.
    kept: HashMap<String, HashMap<String, V>>,
    /// How many there are in all.
    count: usize,
    /// Who is asking for what; closed when the answer is there.
    asking: HashMap<(String, String), watch::Receiver<()>>,
    /// When the owner was last asked a question that it has answered.
    confirmed: Option<Present>,
    /// Grows when anything is forgotten.
    generation: u64,
}

/// From before an owner was asked: its answer is kept only if nothing was forgotten since.
#[derive(Clone, Copy, Debug)]
pub struct Ticket(u64);

/// What is found for a key.
enum Found<'a, V> {
    /// An answer that still holds.
    Kept(V),
    /// Nothing, and nobody asks: whoever found that does.
    Nothing(Asking<'a, V>),
    /// Somebody asks already.
    Asked(watch::Receiver<()>),
    /// Nothing that may be used: the owner has not been heard for too long.
    Unwatched,
}

/// Makes others wait for the answer for as long as it lives.
struct Asking<'a, V> {
    by: &'a Watched<V>,
    what: (String, String),
    _done: watch::Sender<()>,
}

impl<V> Drop for Asking<'_, V> {
    fn drop(&mut self) {
        self.by.state().asking.remove(&self.what);
    }
}

impl<V> Watched<V> {
    fn state(&self) -> MutexGuard<'_, State<V>> {
        // No code of others runs while it is held, except for destructors of values.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_fresh(&self, state: &State<V>) -> bool {
        state.confirmed.is_some_and(|asked| asked.is_within(STALE, (self.clock)()))
    }
}

impl<V: Clone + Send + Sync + 'static> Watched<V> {
    /// Nothing kept yet, and never more than `capacity` answers. `name` is the `cache` of its metrics.
    #[must_use]
    pub fn new(name: &'static str, capacity: usize) -> Arc<Self> {
        Self::with_clocks(name, capacity, Arc::new(present))
    }

    /// The same with a clock of its own.
    #[must_use]
    pub fn with_clocks(name: &'static str, capacity: usize, clock: Clocks) -> Arc<Self> {
        let state = State { kept: HashMap::new(), count: 0, asking: HashMap::new(), confirmed: None, generation: 0 };
        Arc::new(Self {
            name,
            capacity: capacity.max(1),
            state: Mutex::new(state),
            clock,
            hits: metrics::counter!("runwarden_watched_total", "cache" => name, "answer" => "kept"),
            misses: metrics::counter!("runwarden_watched_total", "cache" => name, "answer" => "asked"),
            fresh: metrics::gauge!("runwarden_watched_fresh", "cache" => name),
        })
    }

    /// What is kept for a key, if it may be used now.
    #[must_use]
    pub fn get(&self, tenant: &str, key: &str) -> Option<V> {
        let state = self.state();
        if !self.is_fresh(&state) {
            return None;
        }
        state.kept.get(tenant)?.get(key).cloned()
    }

    /// What is kept for a key, or else what `ask` finds. Of many who miss the same at once, one asks.
    ///
    /// # Errors
    /// As `ask`.
    pub async fn get_or_ask<F, A>(&self, tenant: &str, key: &str, ask: F) -> Result<Option<V>>
    where
        F: FnOnce() -> A,
        A: Future<Output = Result<Option<V>>>,
    {
        let asking = match self.find(tenant, key) {
            Found::Kept(value) => {
                self.hits.increment(1);
                return Ok(Some(value));
            }
            Found::Nothing(asking) => Some(asking),
            Found::Asked(mut answered) => {
                // Closed, with or without an answer.
                let _closed = answered.changed().await;
                if let Some(value) = self.get(tenant, key) {
                    self.hits.increment(1);
                    return Ok(Some(value));
                }
                // Nothing to share: it failed, there is no such thing, or it has changed meanwhile.
                None
            }
            Found::Unwatched => None,
        };
        let answer = self.ask(tenant, key, ask).await;
        drop(asking);
        answer
    }

    /// Asks whatever is kept, and keeps the answer.
    ///
    /// # Errors
    /// As `ask`.
    pub async fn ask<F, A>(&self, tenant: &str, key: &str, ask: F) -> Result<Option<V>>
    where
        F: FnOnce() -> A,
        A: Future<Output = Result<Option<V>>>,
    {
        self.misses.increment(1);
        let ticket = self.begin();
        let answer = ask().await?;
        if let Some(value) = &answer {
            self.keep(ticket, tenant, key, value.clone());
        }
        Ok(answer)
    }

    /// To be called before the owner is asked for something that is to be kept.
    #[must_use]
    pub fn begin(&self) -> Ticket {
        Ticket(self.state().generation)
    }

    /// Keeps an answer, unless something was forgotten since the question: it may be older than that change.
    pub fn keep(&self, ticket: Ticket, tenant: &str, key: &str, value: V) {
        let mut state = self.state();
        if state.generation != ticket.0 || state.confirmed.is_none() {
            return;
        }
        let replaces = state.kept.get(tenant).is_some_and(|keys| keys.contains_key(key));
        if !replaces && state.count >= self.capacity {
            state.forget_one();
        }
        state.kept.entry(tenant.to_owned()).or_default().insert(key.to_owned(), value);
        state.count += usize::from(!replaces);
    }

    fn find(&self, tenant: &str, key: &str) -> Found<'_, V> {
        let mut state = self.state();
        if !self.is_fresh(&state) {
            return Found::Unwatched;
        }
        if let Some(value) = state.kept.get(tenant).and_then(|keys| keys.get(key)) {
            return Found::Kept(value.clone());
        }
        let what = (tenant.to_owned(), key.to_owned());
        if let Some(answered) = state.asking.get(&what) {
            return Found::Asked(answered.clone());
        }
        let (done, answered) = watch::channel(());
        state.asking.insert(what.clone(), answered);
        Found::Nothing(Asking { by: self, what, _done: done })
    }
}

impl<V> State<V> {
    /// Makes room. Which one goes is left to chance: one that is in use comes back with the next question.
    fn forget_one(&mut self) {
        let Some(tenant) = self.kept.keys().next().cloned() else { return };
        let Some(keys) = self.kept.get_mut(&tenant) else { return };
        if let Some(key) = keys.keys().next().cloned() {
            keys.remove(&key);
            self.count -= 1;
        }
        if keys.is_empty() {
            self.kept.remove(&tenant);
        }
    }
}

impl<V: Send + Sync + 'static> Follower for Watched<V> {
    fn heard(&self, asked: Present, news: &News) {
        let mut state = self.state();
        if news.everything {
            state.kept.clear();
            state.count = 0;
        }
        for tenant in &news.changed_tenants {
            state.count -= state.kept.remove(tenant).map_or(0, |keys| keys.len());
        }
        if news.everything || !news.changed_tenants.is_empty() {
            state.generation += 1;
        }
        state.confirmed = Some(asked);
        self.fresh.set(1.0);
    }

    fn not_heard(&self) {
        // What is kept may be used again when the owner says what has changed meanwhile.
        self.state().confirmed = None;
        self.fresh.set(0.0);
    }

    fn name(&self) -> &'static str {
        self.name
    }
}
