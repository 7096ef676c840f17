//! The one place where a call to a store is made again at once.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{Result, StoreError};

/// How often a call is made in all.
const TRIES: u32 = 5;
/// After this time no further try begins: a lock that was waited for in vain for seconds is an outage, and callers have
/// deadlines.
const WITHIN: Duration = Duration::from_secs(2);
/// The longest pause before the second try; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Makes a call, and makes it again when it fails with [`StoreError::Retry`]: a few times, after pauses of random and
/// growing length, so that those who were in each other's way do not meet again. Every call begins afresh, so whatever
/// it is given must be fit to be used more than once.
///
/// # Errors
/// Those of the last call.
pub async fn retrying<T, F>(call: impl Fn() -> F + Send + Sync) -> Result<T>
where
    F: Future<Output = Result<T>> + Send,
{
    let begun = Instant::now();
    let mut longest = FIRST_PAUSE;
    for _ in 1..TRIES {
        match call().await {
            Err(StoreError::Retry(cause)) if begun.elapsed() < WITHIN => {
                tracing::debug!(%cause, "the store was busy; trying again");
                sleep(longest.mul_f64(chance())).await;
                longest *= 2;
            }
            outcome => return outcome,
        }
    }
    call().await
}

/// A number from 0 to 1. Nothing secret depends on it.
fn chance() -> f64 {
    let [.., a, b, c, d] = RandomState::new().hash_one(()).to_be_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// How often a call is made that fails so often, and how that ends.
    async fn made(failures: u32, fail: fn() -> StoreError) -> (u32, Result<()>) {
        let calls = AtomicU32::new(0);
        let call = || async { if calls.fetch_add(1, Ordering::SeqCst) < failures { Err(fail()) } else { Ok(()) } };
        let outcome = retrying(call).await;
        (calls.into_inner(), outcome)
    }

    #[tokio::test]
    async fn only_what_may_succeed_at_once_is_tried_again_and_not_for_ever() {
        let busy = || StoreError::Retry("busy".into());
        assert!(matches!(made(0, busy).await, (1, Ok(()))));
        assert!(matches!(made(TRIES - 1, busy).await, (TRIES, Ok(()))));
        assert!(matches!(made(u32::MAX, busy).await, (TRIES, Err(StoreError::Retry(_)))));
        let others: [fn() -> StoreError; 4] = [
            || StoreError::Conflict("taken".into()),
            || StoreError::Unavailable("away".into()),
            || StoreError::Full("full".into()),
            || StoreError::failed("else"),
        ];
        for other in others {
            assert!(matches!(made(1, other).await, (1, Err(_))));
        }
    }
}
