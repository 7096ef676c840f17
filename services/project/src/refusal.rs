//! Refusals that several nouns share.

use runwarden_engines::idempotency::{IdempotencyError, Ticket};
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::permission::Permission;
use runwarden_kit::{Error, ErrorReason, Result};

/// The name is taken.
pub(crate) fn taken(what: &str, name: &str) -> Error {
    let detail = format!("There is already a {what} named {name}.");
    Error::new(ErrorReason::AlreadyExists, detail).with_field("/name", "is taken")
}

/// What a refused creation means: the repeat lost, the name is taken, or something it stands on has changed.
pub(crate) fn creation(ticket: &Ticket, refused: &str, own_key: &str, what: &str, name: &str) -> Error {
    if ticket.lost(refused) {
        IdempotencyError::InProgress.into()
    } else if refused == own_key {
        taken(what, name)
    } else {
        Error::changed(what)
    }
}

/// Demands a permission at a scope; whoever may not even see what is there is told that there is nothing.
pub(crate) fn require_or_hide(
    caller: &Caller,
    permission: Permission,
    seeing: &[Permission],
    at: &Scope,
    what: &str,
) -> Result<()> {
    if caller.holds(permission, at) {
        return Ok(());
    }
    if seeing.iter().any(|seeing| caller.holds(*seeing, at)) {
        return caller.require(permission, at);
    }
    Err(Error::not_found(what))
}
