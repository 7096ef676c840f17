//! Request rates, by principal and by address, and the headers that tell callers where they stand.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

/// How many keys one limiter remembers. Beyond it, keys share buckets until old ones are forgotten.
const MOST_KEYS: usize = 100_000;

/// How many buckets are shared then, so that a flood from many keys hits few of the others.
const SHARED: u64 = 4096;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Bucket<K> {
    Own(K),
    Shared(u64),
}

type Keyed<K> = RateLimiter<Bucket<K>, DashMapStateStore<Bucket<K>>, DefaultClock, StateInformationMiddleware>;

/// A limit with its name in `RateLimit-Policy`.
#[derive(Debug)]
pub struct Limit<K: Hash + Eq + Clone> {
    name: &'static str,
    burst: u32,
    window: u64,
    most_keys: usize,
    shared: u64,
    hasher: RandomState,
    clock: DefaultClock,
    limiter: Keyed<K>,
}

/// Where a key stands after a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The limit's name.
    pub name: &'static str,
    /// Requests it allows in a window.
    pub quota: u32,
    /// The window, in seconds.
    pub window: u64,
    /// Requests left now.
    pub remaining: u32,
    /// Seconds until the quota is whole again, or until one request is allowed again.
    pub reset: u64,
    /// Whether this request is one too many.
    pub exceeded: bool,
}

impl<K: Hash + Eq + Clone> Limit<K> {
    /// A limit of `rate` requests a second in the long run and `burst` at once; none if either is 0.
    #[must_use]
    pub fn new(name: &'static str, rate: u32, burst: u32) -> Option<Self> {
        Self::bounded(name, rate, burst, MOST_KEYS, SHARED)
    }

    fn bounded(name: &'static str, rate: u32, burst: u32, most_keys: usize, shared: u64) -> Option<Self> {
        let (rate, burst) = (NonZeroU32::new(rate)?, NonZeroU32::new(burst)?);
        let limiter = RateLimiter::dashmap(Quota::per_second(rate).allow_burst(burst)).with_middleware();
        let window = u64::from(burst.get().div_ceil(rate.get()));
        let (hasher, clock) = (RandomState::new(), DefaultClock::default());
        Some(Self { name, burst: burst.get(), window, most_keys, shared, hasher, clock, limiter })
    }

    /// Counts one request.
    pub fn count(&self, key: &K) -> Standing {
        let bucket = if self.limiter.len() < self.most_keys {
            Bucket::Own(key.clone())
        } else {
            // Above the limit, new keys share one bucket, so memory stays bounded whatever arrives.
            Bucket::Shared(self.hasher.hash_one(key) % self.shared)
        };
        let (remaining, exceeded, reset) = match self.limiter.check_key(&bucket) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let missing = u64::from(self.burst.saturating_sub(remaining));
                (remaining, false, (missing * self.window).div_ceil(u64::from(self.burst)))
            }
            Err(refused) => (0, true, whole_seconds(refused.wait_time_from(self.clock.now()))),
        };
        Standing { name: self.name, quota: self.burst, window: self.window, remaining, reset, exceeded }
    }

    /// Forgets keys that have their whole quota again.
    pub fn forget(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl Standing {
    /// The policy as `RateLimit-Policy` writes it.
    #[must_use]
    pub fn policy(&self) -> String {
        format!("\"{}\";q={};w={}", self.name, self.quota, self.window)
    }

    /// The state as `RateLimit` writes it.
    #[must_use]
    pub fn state(&self) -> String {
        format!("\"{}\";r={};t={}", self.name, self.remaining, self.reset)
    }

    /// Seconds for `Retry-After`.
    #[must_use]
    pub fn retry_after(&self) -> u64 {
        self.reset.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::Limit;

    #[test]
    fn a_burst_is_allowed_and_the_next_is_one_too_many() {
        let limit = Limit::<&str>::new("principal", 1, 3).unwrap();
        for left in [2, 1, 0] {
            let standing = limit.count(&"a");
            assert!(!standing.exceeded);
            assert_eq!(standing.remaining, left);
        }
        let over = limit.count(&"a");
        assert!(over.exceeded && over.retry_after() >= 1);
        assert!(!limit.count(&"b").exceeded, "another key has a quota of its own");
    }

    #[test]
    fn zero_switches_it_off() {
        assert!(Limit::<u8>::new("address", 0, 10).is_none());
        assert!(Limit::<u8>::new("address", 10, 0).is_none());
    }

    #[test]
    fn the_headers_say_quota_window_and_rest() {
        let standing = Limit::<u8>::new("address", 50, 100).unwrap().count(&1);
        assert_eq!(standing.policy(), "\"address\";q=100;w=2");
        assert_eq!(standing.state(), "\"address\";r=99;t=1");
    }

    #[test]
    fn a_flood_of_keys_shares_buckets_instead_of_growing() {
        let limit = Limit::<u32>::bounded("address", 1, 1, 2, 1).unwrap();
        assert!(!limit.count(&1).exceeded);
        assert!(!limit.count(&2).exceeded);
        assert!(!limit.count(&3).exceeded, "the first of the shared bucket");
        assert!(limit.count(&4).exceeded, "the second shares it");
        assert!(limit.limiter.len() <= 3);
    }
}
