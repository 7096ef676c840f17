//! When to look at which controller's runs: what the watcher knows between two looks, and beginning those that are due.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use runwarden_awx::AwxError;
use runwarden_kit::clock::Moment;
use tokio::task::JoinSet;

use super::cost::Cost;
use super::followed::{Followed, Following, Key};
use super::hinted::{self, Hinted};
use super::pace::Pace;
use super::sweep::BATCH;
use super::{LOOK, Poll, Watcher};
use crate::store::Changed;

/// Which runs of a controller are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Look {
    /// All of them.
    All,
    /// Jobs that a caller waits for or wants cancelled.
    Some,
    /// Jobs of which the controller says that something happened.
    Hinted,
}

/// What a look at runs of one controller found.
pub(super) struct Seen {
    key: Key,
    look: Look,
    /// How much of it came to nothing, and so how long it was work for its own sake.
    took: Duration,
    looked: Looked,
}

/// What a look came to.
#[derive(Debug)]
pub(super) enum Looked {
    /// The controller answered, or is not there any more.
    Done {
        /// Whether anything about its runs was news.
        changed: bool,
    },
    /// It could not even be asked.
    NotAsked(Unasked),
    /// It did not answer, or not sensibly.
    Failed(AwxError),
}

/// Why a controller could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unasked {
    /// The project service cannot be asked which controller it is.
    Mapping,
    /// Its credential cannot be read.
    Credential,
}

impl Unasked {
    /// Why, for people.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Mapping => "the project service, which knows the controller's address, cannot be reached right now",
            Self::Credential => "the controller's credential cannot be read right now",
        }
    }
}

/// What the loop knows between two looks.
#[derive(Default)]
pub(super) struct Round {
    pub(super) following: Following,
    pub(super) hinted: Hinted,
    pub(super) version: i64,
    pub(super) paces: HashMap<(Key, Look), Pace>,
    under_way: HashSet<(Key, Look)>,
    pub(super) looks: JoinSet<Seen>,
}

impl Watcher {
    /// Begins to look at what is due.
    pub(super) async fn begin_looks(self: &Arc<Self>, round: &mut Round) {
        let now = Instant::now();
        round.hinted.settle(&round.following);
        round.hinted.take(self.hints.take(), &round.following, now);
        for key in round.hinted.failed(now) {
            tracing::info!(tenant = %key.0, controller = key.1, "a run ended without a notification: polling normally again");
            round.pace(&key, Look::All).no_later_than_busy();
        }
        let keys: HashSet<Key> = round.following.keys().into_iter().collect();
        let to_stop: BTreeSet<String> = round.following.to_stop(self.shared.clock.now(), now).into_iter().collect();
        let mut wanted: BTreeSet<String> = self.shared.live.awaited().into_iter().collect();
        wanted.extend(to_stop.iter().cloned());
        let some = round.following.some(wanted.iter());
        // What is no longer needed is no reason to wake up.
        let hinted = &round.hinted;
        round.paces.retain(|(key, look), pace| {
            keys.contains(key)
                && match look {
                    Look::All => true,
                    Look::Some => some.contains_key(key),
                    // Until then it keeps the next hint waiting.
                    Look::Hinted => hinted.is_due(key) || pace.next > now,
                }
        });
        for (key, mut runs) in some {
            // Those to stop come first, should there be more than one request asks about.
            runs.sort_by_key(|(job, _)| !to_stop.contains(job));
            runs.truncate(BATCH);
            let stopping: Vec<String> =
                runs.iter().map(|(job, _)| job).filter(|job| to_stop.contains(*job)).cloned().collect();
            if self.begin(round, key, Look::Some, runs, !stopping.is_empty(), now) {
                round.following.stopping(stopping.iter(), now);
            }
        }
        for key in round.hinted.keys() {
            let jobs = round.hinted.next(&key, BATCH);
            let runs = round.following.some(jobs.iter()).remove(&key).unwrap_or_default();
            // They ended meanwhile.
            if runs.is_empty() {
                round.hinted.not_due(&key, &jobs);
            } else if self.begin(round, key.clone(), Look::Hinted, runs, false, now) {
                round.hinted.begun(&key, jobs);
            }
        }
        for key in keys {
            if !round.is_due(&key, Look::All, now) {
                continue;
            }
            if let Some(rest) = self.shared.breaker.rest(&key, now) {
                round.pace(&key, Look::All).again_in(rest);
                continue;
            }
            match self.shared.store.watch(&key.0, &key.1, self.instance.id()).await {
                Ok(true) => {
                    let runs = round.following.all(&key);
                    self.begin(round, key, Look::All, runs, false, now);
                }
                Ok(false) => round.pace(&key, Look::All).again_in(LOOK),
                Err(error) => {
                    error.log();
                    round.pace(&key, Look::All).failed();
                }
            }
        }
    }

    /// Begins a look, if one is due. False if not.
    fn begin(
        self: &Arc<Self>,
        round: &mut Round,
        key: Key,
        look: Look,
        runs: Vec<(String, Followed)>,
        urgent: bool,
        now: Instant,
    ) -> bool {
        let due = round.is_due(&key, look, now) || (urgent && !round.under_way.contains(&(key.clone(), look)));
        if !due {
            return false;
        }
        if let Some(rest) = self.shared.breaker.rest(&key, now) {
            round.pace(&key, look).again_in(rest);
            return false;
        }
        self.shared.breaker.trying(&key, now);
        round.under_way.insert((key.clone(), look));
        let watcher = self.clone();
        round.looks.spawn(async move {
            let cost = Cost::default();
            let looked = watcher.look(&key, runs, &cost).await;
            if look == Look::All
                && let Err(error) = watcher
                    .memory
                    .silences
                    .note(&*watcher.shared.store, &key, &looked, watcher.shared.clock.now())
                    .await
            {
                error.log();
            }
            Seen { key, look, took: cost.get(), looked }
        });
        true
    }
}

impl Round {
    pub(super) fn pace(&mut self, key: &Key, look: Look) -> &mut Pace {
        self.paces.entry((key.clone(), look)).or_default()
    }

    fn is_due(&mut self, key: &Key, look: Look, now: Instant) -> bool {
        !self.under_way.contains(&(key.clone(), look)) && self.pace(key, look).next <= now
    }

    pub(super) fn saw(&mut self, seen: Seen, poll: Poll, now: Moment) {
        self.under_way.remove(&(seen.key.clone(), seen.look));
        if seen.look == Look::Hinted {
            match &seen.looked {
                Looked::Done { .. } => self.hinted.over(&seen.key),
                Looked::NotAsked(_) | Looked::Failed(_) => self.hinted.came_to_nothing(&seen.key),
            }
        }
        let is_hinted =
            self.hinted.is_reliable(&seen.key) && !self.following.needs_watching(&seen.key, now.plus(poll.hinted));
        let pace = self.pace(&seen.key, seen.look);
        match (seen.look, seen.looked) {
            (Look::Some, Looked::Done { .. }) => pace.soon(),
            (Look::Hinted, Looked::Done { .. }) => pace.again_in(hinted::PAUSE.max(seen.took)),
            (Look::All, Looked::Done { .. }) if is_hinted => pace.hinted(seen.took, poll.hinted),
            (Look::All, Looked::Done { changed }) => pace.after(changed, seen.took, poll.quiet),
            // And where the controller is to blame, the breaker says how much later.
            (Look::Some | Look::All, Looked::NotAsked(_) | Looked::Failed(_)) => pace.failed(),
            (Look::Hinted, Looked::NotAsked(_) | Looked::Failed(_)) => {
                pace.failed();
                self.pace(&seen.key, Look::All).no_later_than_busy();
            }
        }
    }

    /// Takes note of a job that changed.
    pub(super) fn note(&mut self, changed: &Changed, poll: Poll, now: Moment) {
        if let Some((key, run)) = self.following.note(changed) {
            self.hinted.ended(&key, run, &changed.id, Instant::now());
        }
        // What needs watching, or has just ended, is not left to the next hint: the pause may have been decided on before
        // that was known.
        if let Some(job) = &changed.running {
            let key = (job.tenant.clone(), job.controller.clone());
            if job.ended_since.is_some() || self.following.needs_watching(&key, now.plus(poll.hinted)) {
                self.pace(&key, Look::All).no_later_than_busy();
            }
        }
    }

    /// One of the sweeps panicked; which one is not known.
    pub(super) fn broke_down(&mut self) {
        for which in self.under_way.drain() {
            self.hinted.over(&which.0);
            self.paces.entry(which).or_default().failed();
        }
    }
}

/// How long nothing is due.
pub(super) fn until_next(round: &Round) -> Duration {
    let now = Instant::now();
    let due = round
        .paces
        .iter()
        .filter(|(which, _)| !round.under_way.contains(*which))
        .map(|(_, pace)| pace.next.saturating_duration_since(now))
        .min();
    due.unwrap_or(LOOK).clamp(Duration::from_millis(50), LOOK)
}
