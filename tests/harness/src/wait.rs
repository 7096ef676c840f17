//! Waiting for conditions, never for time.

use std::time::{Duration, Instant};

/// How long a condition may take to come about.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How often to look.
const LOOK: Duration = Duration::from_millis(25);

/// Looks until there is something, and answers it.
///
/// # Panics
/// When there is nothing in [`PATIENCE`]; says what it waited for.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, look).await
}

/// Looks until there is something, but not longer than this.
///
/// # Panics
/// When there is nothing in time; says what it waited for.
pub async fn until_within<T>(limit: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "waited {limit:?} in vain for: {what}");
        tokio::time::sleep(LOOK).await;
    }
}
