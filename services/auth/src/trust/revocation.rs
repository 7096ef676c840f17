//! A revocation: the end of one token, or of all tokens of a principal issued up to a moment.

use std::time::Duration;

use runwarden_engines::config::Change;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use runwarden_kit::token::Claims;
use serde::{Deserialize, Serialize};

use crate::store::{self, Store, keys};

pub(crate) use runwarden_kit::revoked::OUTLIVED;
pub(crate) use runwarden_kit::token::LONGEST_TOKEN;

/// How far a principal's mark is put ahead of the token that moves it, so that not every token has to.
const MARK_AHEAD: Duration = Duration::from_secs(1);

/// How many of its tokens, none of them expired yet, a client ends one by one. Every service keeps each until the token
/// would have expired; to revoke more, a client revokes all.
pub(crate) const BUDGET: usize = 64;

/// A revocation as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    /// One token.
    Token {
        /// Its id.
        token_id: String,
        /// The principal it belonged to; empty in records stored before this field existed.
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

impl Revocation {
    /// Up to when the tokens of a principal ended that it ends.
    pub(crate) fn issued_until(&self) -> Option<Moment> {
        match self.ended {
            Ended::Principal { issued_until, .. } => Some(issued_until),
            Ended::Token { .. } => None,
        }
    }
}

/// Makes the commit that issues a token also store the latest issue time of its principal's tokens. Clocks are set
/// back, and those of replicas differ; [`end_principal`] revokes up to that time.
pub(crate) async fn mark_issued(store: &Store, change: &mut Change, principal: &str, issued_at: Moment) -> Result<()> {
    let key = keys::issued_until(principal);
    let mark = store.get::<Moment>(&key).await?;
    if mark.as_ref().is_some_and(|mark| issued_at <= mark.value) {
        return Ok(());
    }
    store::guard(change, &key, mark.as_ref());
    store::put(change, key, &issued_at.plus(MARK_AHEAD))
}

/// Ends all tokens that a principal was given so far, whatever dates they carry, and those dated up to a moment. The
/// change is refused when a token is given out meanwhile that this would miss.
pub(crate) async fn end_principal(store: &Store, change: &mut Change, principal: &str, at_least: Moment) -> Result<()> {
    let (mark_key, key) = (keys::issued_until(principal), keys::principal_revocation(principal));
    let mark = store.get::<Moment>(&mark_key).await?;
    let before = store.get::<Revocation>(&key).await?;
    store::guard(change, &mark_key, mark.as_ref());
    store::guard(change, &key, before.as_ref());
    let before = before.and_then(|before| before.value.issued_until());
    let issued_until = [mark.map(|mark| mark.value), before].into_iter().flatten().fold(at_least, Moment::max);
    let revocation = Revocation {
        ended: Ended::Principal { principal: principal.to_owned(), issued_until },
        forget_at: issued_until.plus(OUTLIVED),
    };
    store::put(change, key, &revocation)
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
