//! What has ended before its time: single tokens, and all tokens of a principal issued up to a moment. It is kept until
//! every token concerned would have expired by itself.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::clock::Moment;
use crate::token::{LEEWAY_SECONDS, LONGEST_TOKEN};

/// How long after its last signature, or a revocation, something must be remembered: the longest token, the leeway
/// verifiers give, and a minute for clocks that differ.
pub const OUTLIVED: Duration = Duration::from_secs(LONGEST_TOKEN.as_secs() + LEEWAY_SECONDS + 60);

/// The present by two clocks: the wall clock can be set, steady time cannot.
#[derive(Clone, Copy, Debug)]
pub struct Present {
    /// By the wall clock.
    pub wall: Moment,
    /// In steady time.
    pub steady: Instant,
}

impl Present {
    /// Whether no more than this has passed from here to a later present, by either clock. A wall clock that was set back
    /// says nothing of how much has.
    #[must_use]
    pub fn is_within(self, time: Duration, later: Self) -> bool {
        later.steady.saturating_duration_since(self.steady) <= time
            && later.wall >= self.wall
            && later.wall.since(self.wall) <= time
    }
}

/// When something can be forgotten: when the wall clock says so, and so much steady time has passed since it arrived
/// that every token it revokes has expired. A clock that is ahead for a moment must not cause a revocation to be
/// dropped for good.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// By the wall clock.
    pub until: Moment,
    /// When it arrived, in monotonic time.
    pub heard: Instant,
}

impl Keep {
    /// Whether it can be forgotten.
    #[must_use]
    pub fn is_over(self, now: Present) -> bool {
        self.until <= now.wall && now.steady.saturating_duration_since(self.heard) >= OUTLIVED
    }
}

/// Revoked tokens. Expired entries are removed: see [`Revoked::tidy`].
#[derive(Clone, Debug, Default)]
pub struct Revoked {
    tokens: HashMap<String, Token>,
    principals: HashMap<String, Until>,
}

#[derive(Clone, Debug)]
struct Token {
    principal: String,
    issued_at: Moment,
    keep: Keep,
}

#[derive(Clone, Copy, Debug)]
struct Until {
    issued_until: Moment,
    keep: Keep,
}

impl Revoked {
    /// Revokes one token of a principal. `heard` is when the revocation arrived.
    pub fn end_token(
        &mut self,
        token_id: String,
        principal: String,
        issued_at: Moment,
        forget_at: Moment,
        heard: Instant,
    ) {
        self.tokens.insert(token_id, Token { principal, issued_at, keep: Keep { until: forget_at, heard } });
    }

    /// Ends every token of a principal that was issued at or before a moment. What was ended already stays so.
    pub fn end_principal(&mut self, principal: String, issued_until: Moment, forget_at: Moment, heard: Instant) {
        let keep = Keep { until: forget_at, heard };
        let until = self.principals.entry(principal).or_insert(Until { issued_until, keep });
        until.issued_until = until.issued_until.max(issued_until);
        until.keep = Keep { until: until.keep.until.max(forget_at), heard: until.keep.heard.max(heard) };
    }

    /// Whether a token has ended.
    #[must_use]
    pub fn covers(&self, token_id: &str, principal: &str, issued_at: Moment) -> bool {
        self.tokens.contains_key(token_id) || self.ended_with_principal(principal, issued_at)
    }

    fn ended_with_principal(&self, principal: &str, issued_at: Moment) -> bool {
        self.principals.get(principal).is_some_and(|until| issued_at <= until.issued_until)
    }

    /// Whether [`Self::tidy`] would find something that has expired.
    #[must_use]
    pub fn has_expired_entries(&self, now: Present) -> bool {
        self.tokens.values().any(|token| token.keep.is_over(now))
            || self.principals.values().any(|until| until.keep.is_over(now))
    }

    /// Forgets what has expired by itself, and single tokens that ended together with all others of their principal.
    pub fn tidy(&mut self, now: Present) {
        self.principals.retain(|_, until| !until.keep.is_over(now));
        let mut tokens = std::mem::take(&mut self.tokens);
        tokens.retain(|_, token| {
            !token.keep.is_over(now) && !self.ended_with_principal(&token.principal, token.issued_at)
        });
        self.tokens = tokens;
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len() + self.principals.len()
    }

    /// Whether nothing has ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    /// So many seconds after the beginning, by both.
    fn now(begun: Instant, seconds: u64) -> Present {
        Present { wall: at(i64::try_from(seconds).unwrap()), steady: begun + Duration::from_secs(seconds) }
    }

    #[test]
    fn what_expired_by_itself_is_forgotten() {
        let (mut revoked, begun) = (Revoked::default(), Instant::now());
        let kept = OUTLIVED.as_secs();
        revoked.end_token("tok_1".into(), "sa_1".into(), at(1), at(10), begun);
        revoked.end_principal("sa_2".into(), at(1), at(20), begun + Duration::from_secs(10));
        assert!(!revoked.has_expired_entries(now(begun, kept - 1)));
        revoked.tidy(now(begun, kept - 1));
        assert_eq!(revoked.len(), 2);
        assert!(revoked.has_expired_entries(now(begun, kept)));
        revoked.tidy(now(begun, kept));
        assert!(!revoked.covers("tok_1", "sa_1", at(1)) && revoked.covers("tok_2", "sa_2", at(1)));
        revoked.tidy(now(begun, kept + 10));
        assert!(revoked.is_empty());
    }

    #[test]
    fn neither_clock_alone_makes_anything_forgotten() {
        let (mut revoked, begun) = (Revoked::default(), Instant::now());
        let (late, later) = (at(i64::MAX / 1_000_000), begun + 2 * OUTLIVED);
        revoked.end_token("tok_1".into(), "sa_1".into(), at(1), at(10), begun);
        revoked.end_principal("sa_2".into(), at(1), at(20), begun);
        for now in [Present { wall: late, steady: begun }, Present { wall: at(9), steady: later }] {
            assert!(!revoked.has_expired_entries(now));
            revoked.tidy(now);
            assert_eq!(revoked.len(), 2);
        }
        revoked.tidy(Present { wall: late, steady: later });
        assert!(revoked.is_empty());
    }

    #[test]
    fn a_principals_end_takes_the_place_of_its_ended_tokens_and_of_no_later_one() {
        let (mut revoked, begun) = (Revoked::default(), Instant::now());
        revoked.end_token("early".into(), "sa_1".into(), at(1), at(100), begun);
        revoked.end_token("late".into(), "sa_1".into(), at(3), at(100), begun);
        revoked.end_token("other".into(), "sa_2".into(), at(1), at(100), begun);
        revoked.end_principal("sa_1".into(), at(2), at(100), begun);
        revoked.tidy(now(begun, 5));
        assert_eq!(revoked.len(), 3);
        assert!(revoked.covers("early", "sa_1", at(1)) && revoked.covers("late", "sa_1", at(3)));
        assert!(revoked.covers("other", "sa_2", at(1)) && !revoked.covers("next", "sa_1", at(3)));
    }

    #[test]
    fn an_older_end_does_not_take_back_a_newer_one() {
        let (mut revoked, begun) = (Revoked::default(), Instant::now());
        let kept = OUTLIVED.as_secs();
        revoked.end_principal("sa_1".into(), at(5), at(9000), begun);
        revoked.end_principal("sa_1".into(), at(2), at(50), begun);
        revoked.tidy(now(begun, kept));
        assert!(revoked.covers("tok_1", "sa_1", at(5)));
    }
}
