//! A revocation: the end of one token, or of all tokens of a principal issued up to a moment.

use std::time::Duration;

use runwarden_engines::config::Change;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use runwarden_kit::token::{Claims, LEEWAY_SECONDS};
use serde::{Deserialize, Serialize};

use crate::store::{self, keys};

/// No token lives longer, whatever is configured: what outlives this has nothing left to verify or revoke.
pub(crate) const LONGEST_TOKEN: Duration = Duration::from_secs(60 * 60);

/// How long after its last signature, or a revocation, something must be remembered: the longest token, the
/// leeway verifiers give, and as much again for clocks that differ.
pub(crate) const OUTLIVED: Duration = Duration::from_secs(LONGEST_TOKEN.as_secs() + LEEWAY_SECONDS + 60);

/// How many of its tokens, none of them expired yet, a client ends one by one. Every service keeps each until it would
/// have expired; whoever wants to end more ends all.
pub(crate) const BUDGET: usize = 64;

/// A revocation as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    /// One token.
    Token {
        /// Its id.
        token_id: String,
        /// Whose it was; empty in what was stored before this was noted.
        #[serde(default)]
        principal: String,
        /// When it was issued.
        #[serde(default)]
        issued_at: Option<Moment>,
    },
    /// The tokens of a principal.
    Principal {
        /// The principal.
        principal: String,
        /// Tokens issued at or before this moment.
        issued_until: Moment,
    },
}

/// A revocation with its own end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revocation {
    /// What has ended.
    pub(crate) ended: Ended,
    /// When every token it ends has expired by itself.
    pub(crate) forget_at: Moment,
}

/// Ends all tokens of a principal that were issued until a moment.
pub(crate) fn end_principal(change: &mut Change, principal: &str, issued_until: Moment) -> Result<()> {
    let revocation = Revocation {
        ended: Ended::Principal { principal: principal.to_owned(), issued_until },
        forget_at: issued_until.plus(OUTLIVED),
    };
    store::put(change, keys::principal_revocation(principal), &revocation)
}

/// Ends one token.
pub(crate) fn end_token(change: &mut Change, claims: &Claims) -> Result<()> {
    let expires_at = Moment::from_micros(claims.exp.saturating_mul(1_000_000));
    let revocation = Revocation {
        ended: Ended::Token {
            token_id: claims.jti.clone(),
            principal: claims.sub.clone(),
            issued_at: Some(claims.issued_at()),
        },
        forget_at: expires_at.plus(OUTLIVED.saturating_sub(LONGEST_TOKEN)),
    };
    store::put(change, keys::token_revocation(&claims.sub, &claims.jti), &revocation)
}
