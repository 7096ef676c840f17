//! What has ended before its time: single tokens, and all tokens of a principal issued up to a moment. It is kept until
//! every token concerned would have expired by itself.

use std::collections::HashMap;

use crate::clock::Moment;

/// Ended tokens. It grows with what is alive only: see [`Revoked::tidy`].
#[derive(Clone, Debug, Default)]
pub struct Revoked {
    tokens: HashMap<String, Token>,
    principals: HashMap<String, Until>,
}

#[derive(Clone, Debug)]
struct Token {
    principal: String,
    issued_at: Moment,
    forget_at: Moment,
}

#[derive(Clone, Copy, Debug)]
struct Until {
    issued_until: Moment,
    forget_at: Moment,
}

impl Revoked {
    /// Ends one token of a principal.
    pub fn end_token(&mut self, token_id: String, principal: String, issued_at: Moment, forget_at: Moment) {
        self.tokens.insert(token_id, Token { principal, issued_at, forget_at });
    }

    /// Ends every token of a principal that was issued at or before a moment. What was ended already stays so.
    pub fn end_principal(&mut self, principal: String, issued_until: Moment, forget_at: Moment) {
        let until = self.principals.entry(principal).or_insert(Until { issued_until, forget_at });
        until.issued_until = until.issued_until.max(issued_until);
        until.forget_at = until.forget_at.max(forget_at);
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
    pub fn has_expired_entries(&self, now: Moment) -> bool {
        self.tokens.values().any(|token| token.forget_at <= now)
            || self.principals.values().any(|until| until.forget_at <= now)
    }

    /// Forgets what has expired by itself, and single tokens that ended together with all others of their principal.
    pub fn tidy(&mut self, now: Moment) {
        self.principals.retain(|_, until| until.forget_at > now);
        let mut tokens = std::mem::take(&mut self.tokens);
        tokens
            .retain(|_, token| token.forget_at > now && !self.ended_with_principal(&token.principal, token.issued_at));
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

    #[test]
    fn what_expired_by_itself_is_forgotten() {
        let mut revoked = Revoked::default();
        revoked.end_token("tok_1".into(), "sa_1".into(), at(1), at(10));
        revoked.end_principal("sa_2".into(), at(1), at(20));
        assert!(!revoked.has_expired_entries(at(9)));
        revoked.tidy(at(9));
        assert_eq!(revoked.len(), 2);
        assert!(revoked.has_expired_entries(at(10)));
        revoked.tidy(at(10));
        assert!(!revoked.covers("tok_1", "sa_1", at(1)) && revoked.covers("tok_2", "sa_2", at(1)));
        revoked.tidy(at(20));
        assert!(revoked.is_empty());
    }

    #[test]
    fn a_principals_end_takes_the_place_of_its_ended_tokens_and_of_no_later_one() {
        let mut revoked = Revoked::default();
        revoked.end_token("early".into(), "sa_1".into(), at(1), at(100));
        revoked.end_token("late".into(), "sa_1".into(), at(3), at(100));
        revoked.end_token("other".into(), "sa_2".into(), at(1), at(100));
        revoked.end_principal("sa_1".into(), at(2), at(100));
        revoked.tidy(at(5));
        assert_eq!(revoked.len(), 3);
        assert!(revoked.covers("early", "sa_1", at(1)) && revoked.covers("late", "sa_1", at(3)));
        assert!(revoked.covers("other", "sa_2", at(1)) && !revoked.covers("next", "sa_1", at(3)));
    }

    #[test]
    fn an_older_end_does_not_take_back_a_newer_one() {
        let mut revoked = Revoked::default();
        revoked.end_principal("sa_1".into(), at(5), at(100));
        revoked.end_principal("sa_1".into(), at(2), at(50));
        revoked.tidy(at(60));
        assert!(revoked.covers("tok_1", "sa_1", at(5)));
    }
}
