//! Idempotency keys: what one may be, which of them are being answered right now, and the refusals of a request that
//! carries one. A repeat of a request gets the first one's answer; where that is kept is each store's affair.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::reason::ErrorReason;

/// The longest key, in bytes.
pub const LONGEST_KEY: usize = 255;

/// What a key must be, for the end of a sentence that begins with its name.
pub const KEY_RULE: &str = "must be 1 to 255 visible ASCII characters without spaces";

/// Whether a text can be a key: see [`KEY_RULE`].
#[must_use]
pub fn is_key(key: &str) -> bool {
    (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic())
}

/// The refusal of a key that was used for something else.
#[must_use]
pub fn reused() -> Error {
    Error::new(ErrorReason::IdempotencyKeyReused, "This idempotency key was used for another request. Use a new key.")
}

/// The refusal of a repeat whose first request has no answer yet.
#[must_use]
pub fn in_progress() -> Error {
    Error::new(
        ErrorReason::IdempotencyInProgress,
        "The first request with this idempotency key has not been answered yet.",
    )
}

/// The keys whose first request is being answered by this process.
#[derive(Debug)]
pub struct InProgress<K>(Arc<Mutex<HashSet<K>>>);

impl<K> Default for InProgress<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K> Clone for InProgress<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Eq + Hash + Clone> InProgress<K> {
    /// Begins to answer the request with this key.
    ///
    /// # Errors
    /// `IDEMPOTENCY_IN_PROGRESS` when one with this key is being answered.
    pub fn begin(&self, key: K) -> Result<Answering<K>> {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone()) {
            Ok(Answering { all: self.clone(), key })
        } else {
            Err(in_progress())
        }
    }
}

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
pub struct Answering<K: Eq + Hash> {
    all: InProgress<K>,
    key: K,
}

impl<K: Eq + Hash> Drop for Answering<K> {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_ascii_within_its_limit() {
        for good in ["a", "550e8400-e29b-41d4-a716-446655440000", "~!\"", &"k".repeat(LONGEST_KEY)] {
            assert!(is_key(good), "{good}");
        }
        for bad in ["", " ", "a b", "é", "a\n", &"k".repeat(LONGEST_KEY + 1)] {
            assert!(!is_key(bad), "{bad}");
        }
    }

    #[test]
    fn one_request_a_key_is_answered_at_a_time() {
        let running = InProgress::default();
        let first = running.begin("k").unwrap();
        assert_eq!(running.clone().begin("k").unwrap_err().reason(), ErrorReason::IdempotencyInProgress);
        running.begin("other").unwrap();
        drop(first);
        running.begin("k").unwrap();
    }
}
