//! Tokens of the service accounts that hooks name, kept for as long as they live: a burst of deliveries asks once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use runwarden_kit::clock::Clock;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{ErrorReason, Result, SecretString};

use crate::ports::{Account, Identities, Token};

/// A token that ends within this time is not used any more.
const SPARE: Duration = Duration::from_secs(20);
/// Tokens that are kept at a time.
const MAX_KEPT: usize = 1000;

/// Tenant, client and project.
type Place = (TenantId, String, String);

/// Tokens of service accounts.
pub struct Tokens {
    identities: Arc<dyn Identities>,
    clock: Arc<dyn Clock>,
    kept: Mutex<HashMap<Place, Token>>,
}

impl Tokens {
    /// From whom knows service accounts.
    pub fn new(identities: Arc<dyn Identities>, clock: Arc<dyn Clock>) -> Self {
        Self { identities, clock, kept: Mutex::default() }
    }

    /// A token of an account.
    ///
    /// # Errors
    /// When there is none for it, or none now.
    pub async fn of(&self, account: Account<'_>) -> Result<SecretString> {
        let place = place(account);
        let still_good = self.clock.now().plus(SPARE);
        {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(token) = kept.get(&place).filter(|token| token.expires_at > still_good) {
                return Ok(token.token.clone());
            }
        }
        let token = self.identities.token(account).await?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(place, token.clone());
        Ok(token.token)
    }

    /// Forgets the token of an account if this says that it was refused: it was rotated or revoked. Answers whether it was.
    pub fn judge<T>(&self, account: Account<'_>, asked: &Result<T>) -> bool {
        let refused = asked.as_ref().is_err_and(|error| is_refused(error.reason()));
        if refused {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(&place(account));
        }
        refused
    }
}

/// Whether the token is to blame.
pub(super) fn is_refused(reason: ErrorReason) -> bool {
    matches!(reason, ErrorReason::Unauthenticated | ErrorReason::TokenExpired | ErrorReason::TokenRevoked)
}

fn place(account: Account<'_>) -> Place {
    (account.tenant.clone(), account.client_id.to_owned(), account.project.to_owned())
}
