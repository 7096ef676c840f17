//! A circuit breaker for controllers that are down or do not accept Runwarden's credential: none is called for a pause
//! that grows, then one call tries; its jobs wait meanwhile. Each executor finds out by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use runwarden_awx::AwxError;
use runwarden_kit::tenant::TenantId;

/// A tenant and one of its controllers.
pub type Key = (TenantId, String);

/// The first pause; each further failure doubles it.
const FIRST: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);
/// How long one call may try before another may.
const TRYING: Duration = Duration::from_secs(10);

/// What is wrong with a controller.
#[derive(Clone, Debug)]
struct Pause {
    failures: u32,
    until: Instant,
    /// Until when it asked to be left alone: nothing it says of another request meanwhile ends that.
    asked_until: Option<Instant>,
    why: String,
}

/// Which controllers are left alone.
#[derive(Clone, Default)]
pub struct Breaker(Arc<Mutex<HashMap<Key, Pause>>>);

impl Breaker {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Key, Pause>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a controller may be called now. Nothing is taken by asking.
    #[must_use]
    pub fn admits(&self, key: &Key, now: Instant) -> bool {
        self.with(|all| all.get(key).is_none_or(|pause| pause.until <= now))
    }

    /// How long a controller is still left alone; none if it may be called.
    #[must_use]
    pub fn rest(&self, key: &Key, now: Instant) -> Option<Duration> {
        let until = self.with(|all| all.get(key).map(|pause| pause.until))?;
        Some(until.saturating_duration_since(now)).filter(|rest| !rest.is_zero())
    }

    /// A call is about to be made. On a controller that failed, others wait for its result.
    pub fn trying(&self, key: &Key, now: Instant) {
        self.with(|all| {
            if let Some(pause) = all.get_mut(key) {
                pause.until = now + TRYING;
            }
        });
    }

    /// The controller answered sensibly.
    pub fn works(&self, key: &Key) {
        let now = Instant::now();
        let ended = self.with(|all| {
            let asked = all.get(key).and_then(|pause| pause.asked_until).is_some_and(|until| until > now);
            if asked { None } else { all.remove(key) }
        });
        if let Some(pause) = ended {
            tracing::info!(
                tenant = %key.0,
                controller = key.1,
                failures = pause.failures,
                "the controller works again; its jobs continue"
            );
            self.measure();
        }
    }

    /// The controller failed, and may have asked to be left alone for at least so long. Answers how long it is.
    pub fn failed(&self, key: &Key, why: &str, at_least: Option<Duration>, now: Instant) -> Duration {
        let (first, pause) = self.with(|all| {
            let first = !all.contains_key(key);
            let fresh = || Pause { failures: 0, until: now, asked_until: None, why: String::new() };
            let pause = all.entry(key.clone()).or_insert_with(fresh);
            let length = FIRST.saturating_mul(1 << pause.failures.min(16)).min(LONGEST);
            let length = length.max(at_least.unwrap_or_default());
            pause.asked_until = at_least.map(|at_least| now + at_least).or(pause.asked_until);
            pause.failures = pause.failures.saturating_add(1);
            pause.until = now + length;
            why.clone_into(&mut pause.why);
            (first, length)
        });
        if first {
            tracing::warn!(
                tenant = %key.0,
                controller = key.1,
                why,
                "pausing requests to the controller; its jobs wait"
            );
            self.measure();
        }
        pause
    }

    /// Takes note of what a call came to. True if the controller as a whole cannot be used now.
    pub fn note<T>(&self, key: &Key, result: &Result<T, AwxError>) -> bool {
        match result {
            Err(error) if error.is_outage() || error.is_credential() => {
                self.failed(key, &error.to_string(), error.retry_after(), Instant::now());
                true
            }
            // It says nothing about the controller.
            Err(AwxError::Busy) => false,
            // A refusal of one thing is still an answer.
            Ok(_) | Err(_) => {
                self.works(key);
                false
            }
        }
    }

    /// Why a controller is left alone, for people; none if it is not.
    #[must_use]
    pub fn why(&self, key: &Key) -> Option<String> {
        self.with(|all| all.get(key).map(|pause| pause.why.clone()))
    }

    /// When the next controller may be tried again, of those that may not be now.
    #[must_use]
    pub fn next(&self, now: Instant) -> Option<Instant> {
        self.with(|all| all.values().map(|pause| pause.until).filter(|until| *until > now).min())
    }

    /// Forgets about a controller: its name leads elsewhere now, or it has another credential.
    pub fn forget(&self, key: &Key) {
        self.with(|all| all.remove(key));
        self.measure();
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of controllers")]
    fn measure(&self) {
        metrics::gauge!("runwarden_controllers_paused").set(self.with(|all| all.len()) as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        (TenantId::trusted("acme"), "awx".into())
    }

    #[test]
    fn pauses_grow_and_have_an_end() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        let pauses: Vec<Duration> = (0..9).map(|_| breaker.failed(&key(), "down", None, now)).collect();
        assert_eq!(pauses[0], FIRST);
        assert!(pauses.windows(2).all(|two| two[1] == (two[0] * 2).min(LONGEST)), "{pauses:?}");
        assert_eq!(pauses.last(), Some(&LONGEST));
    }

    #[test]
    fn one_call_tries_while_others_wait_and_an_answer_lets_all_through() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        assert!(breaker.admits(&key(), now));
        breaker.failed(&key(), "down", None, now);
        assert!(!breaker.admits(&key(), now));
        assert_eq!((breaker.rest(&key(), now), breaker.rest(&key(), now + FIRST)), (Some(FIRST), None));
        breaker.note::<()>(&key(), &Err(AwxError::Busy));
        assert!(!breaker.admits(&key(), now), "that nothing was read says nothing");
        let later = now + FIRST;
        assert!(breaker.admits(&key(), later));
        breaker.trying(&key(), later);
        assert!(!breaker.admits(&key(), later), "somebody tries already");
        assert!(breaker.admits(&key(), later + TRYING), "who tried never told");
        assert_eq!(breaker.why(&key()).as_deref(), Some("down"));
        breaker.works(&key());
        assert!(breaker.admits(&key(), now) && breaker.why(&key()).is_none());
    }

    #[test]
    fn who_asks_to_be_left_alone_is() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        let asked = AwxError::Throttled { retry_after: Some(Duration::from_secs(120)) };
        assert!(breaker.note(&key(), &Err::<(), _>(asked)));
        breaker.works(&key());
        assert!(!breaker.admits(&key(), now + Duration::from_secs(119)), "another call's success does not end that");
        assert!(breaker.admits(&key(), Instant::now() + Duration::from_secs(121)));
        // A `Retry-After` below the pause does not shorten it.
        assert_eq!(breaker.failed(&key(), "down", Some(Duration::ZERO), now), FIRST * 2);
    }

    #[test]
    fn another_controller_is_not_concerned() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        breaker.failed(&key(), "down", None, now);
        assert!(breaker.admits(&(TenantId::trusted("acme"), "other".into()), now));
        assert_eq!(breaker.next(now), Some(now + FIRST));
    }
}
