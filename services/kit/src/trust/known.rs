//! What a copy of the trust state contains, and how an answer of `auth` changes it.

use std::collections::HashMap;
use std::sync::Arc;

use runwarden_proto::auth::v1::Revocation;

use super::TrustState;
use crate::clock::Moment;
use crate::error::{Error, Result};
use crate::revoked::{Present, Revoked};
use crate::token::Verifier;

/// When nothing says when to forget something, or when it began: never, and after everything.
const NEVER: Moment = Moment::from_micros(i64::MAX);

/// A trust state.
#[derive(Clone, Default)]
pub(super) struct Known {
    /// Names it to `auth`.
    pub(super) version: String,
    /// Keys, issuer and revocations.
    pub(super) verifier: Verifier,
    /// Every tenant, and whether it is disabled.
    pub(super) tenants: Arc<HashMap<String, bool>>,
}

impl Known {
    /// The state after an answer; `None` if it stays as it is.
    pub(super) fn after(before: Option<&Self>, answer: TrustState, now: Present) -> Result<Option<Self>> {
        let adds = answer.unchanged || answer.only_changes;
        let mut known = match before {
            None if adds => return Err(nonsense("changes to an unknown state")),
            // Only time has passed. Expiry is never announced.
            Some(before) if answer.unchanged && !before.verifier.revoked.has_expired_entries(now) => return Ok(None),
            Some(before) if adds => before.clone(),
            _ => Self::default(),
        };
        if !answer.unchanged {
            known.take(answer, now)?;
        }
        known.verifier.revoked.tidy(now);
        Ok(Some(known))
    }

    fn take(&mut self, answer: TrustState, now: Present) -> Result<()> {
        self.version = answer.version;
        if !answer.only_changes || !answer.jwks_json.is_empty() {
            let mut verifier = Verifier::new(&answer.issuer, &answer.jwks_json).map_err(Error::internal)?;
            verifier.revoked = std::mem::take(&mut self.verifier.revoked);
            self.verifier = verifier;
        }
        for revocation in answer.revocations {
            add(&mut self.verifier.revoked, revocation, now)?;
        }
        if !answer.tenants.is_empty() {
            let tenants = Arc::make_mut(&mut self.tenants);
            tenants.extend(answer.tenants.into_iter().map(|tenant| (tenant.name, tenant.disabled)));
        }
        Ok(())
    }
}

/// An unreadable one must not be skipped: it revokes someone's access.
fn add(revoked: &mut Revoked, revocation: Revocation, now: Present) -> Result<()> {
    let moment = |timestamp: Option<&prost_types::Timestamp>| timestamp.and_then(Moment::from_proto);
    let forget_at = moment(revocation.forget_at.as_ref()).unwrap_or(NEVER);
    if revocation.token_id.is_empty() {
        let until = moment(revocation.issued_until.as_ref()).ok_or_else(|| nonsense("a revocation without a time"))?;
        revoked.end_principal(revocation.principal, until, forget_at, now.steady);
    } else {
        let issued_at = moment(revocation.issued_at.as_ref()).unwrap_or(NEVER);
        revoked.end_token(revocation.token_id, revocation.principal, issued_at, forget_at, now.steady);
    }
    Ok(())
}

fn nonsense(what: &'static str) -> Error {
    Error::internal(anyhow::anyhow!("the auth service sent {what}"))
}
