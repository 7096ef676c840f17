//! Tokens whose signature was found good a moment ago: the same token comes with every request of a caller, and its
//! signature does not change.
//!
//! Only what cannot change is kept: what the keys of one [`Verifier`](super::Verifier) signed. Expiry and revocation are
//! judged with every use, and a verifier with other keys starts with nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::caller::Caller;

/// For how long a signature that was found good is not looked at again.
pub(super) const KEPT: Duration = Duration::from_secs(60);
/// So many tokens are kept at most, twice: those of this minute and those of the one before.
const MOST: usize = 4096;

/// SHA-256 of a token.
type Hash = [u8; 32];

/// Tokens that were seen.
#[derive(Default)]
pub(super) struct Seen(Mutex<Minutes>);

/// Those that came first in this minute, and those that came first in the one before.
#[derive(Default)]
struct Minutes {
    this: HashMap<Hash, (Arc<Caller>, Instant)>,
    last: HashMap<Hash, (Arc<Caller>, Instant)>,
    began: Option<Instant>,
}

impl Seen {
    /// The caller of a token that was verified at most [`KEPT`] ago.
    pub(super) fn find(&self, token: &str, now: Instant) -> Option<Arc<Caller>> {
        let hash = hash(token)?;
        let minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (caller, at) = minutes.this.get(&hash).or_else(|| minutes.last.get(&hash))?;
        (now.saturating_duration_since(*at) < KEPT).then(|| caller.clone())
    }

    /// Keeps the caller of a token that was verified now.
    pub(super) fn keep(&self, token: &str, caller: &Arc<Caller>, now: Instant) {
        let Some(hash) = hash(token) else { return };
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = minutes.began.is_none_or(|began| now.saturating_duration_since(began) >= KEPT);
        if is_over || minutes.this.len() >= MOST {
            minutes.last = std::mem::take(&mut minutes.this);
            minutes.began = Some(now);
        }
        minutes.this.insert(hash, (caller.clone(), now));
    }
}

fn hash(token: &str) -> Option<Hash> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes()).as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Scope;

    #[test]
    fn a_token_is_kept_for_its_time_and_no_other_is_taken_for_it() {
        let (seen, caller) = (Seen::default(), Arc::new(Caller::example(&[], Scope::platform())));
        let begun = Instant::now();
        assert!(seen.find("a", begun).is_none());
        seen.keep("a", &caller, begun);
        assert!(seen.find("a", begun + KEPT - Duration::from_millis(1)).is_some());
        assert!(seen.find("b", begun).is_none());
        assert!(seen.find("a", begun + KEPT).is_none());
    }

    #[test]
    fn what_is_kept_has_a_bound_and_the_latest_stay() {
        let (seen, caller) = (Seen::default(), Arc::new(Caller::example(&[], Scope::platform())));
        let now = Instant::now();
        for n in 0..MOST * 5 {
            seen.keep(&n.to_string(), &caller, now);
        }
        assert!(seen.find(&(MOST * 5 - 1).to_string(), now).is_some());
        assert!(seen.find("0", now).is_none());
        let minutes = seen.0.lock().unwrap();
        assert!(minutes.this.len() + minutes.last.len() <= 2 * MOST);
    }
}
