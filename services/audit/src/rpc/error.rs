//! What the failures of a log mean to the caller.

use runwarden_engines::StoreError;
use runwarden_kit::{Error, ErrorReason};

use crate::log::{JournalError, LogError};

/// The failure of an append: the entries are not durable, so what they tell of must not happen.
pub(super) fn append_failure(error: JournalError) -> Error {
    match error {
        JournalError::Full => unavailable("Too many audit records are waiting to be written.", error),
        JournalError::Stopped => unavailable("The audit log is stopping.", error),
        JournalError::Log(error) => log_failure(error),
    }
}

/// The failure of a log to take entries.
pub(super) fn log_failure(error: LogError) -> Error {
    match doubt(&error) {
        Some(why) => Error::new(ErrorReason::AuditLogUntrusted, why).with_cause(error),
        None => unavailable("The audit records could not be written.", error),
    }
}

/// Why a log takes nothing until an operator has looked at it, if that is what the error means. Services answer their
/// callers with it, so it says no more than those may know; the rest is in the log lines and in `audit verify`.
pub(super) fn doubt(error: &LogError) -> Option<&'static str> {
    match error {
        LogError::Damaged { .. } => Some(DAMAGED),
        LogError::RolledBack { .. } => Some(ROLLED_BACK),
        LogError::Store(_) | LogError::NotWritten | LogError::Sealing(_) | LogError::Conflict(_) => None,
    }
}

/// The failure of a read.
pub(super) fn read_failure(error: LogError) -> Error {
    match error {
        LogError::Store(StoreError::Unavailable(_)) => {
            Error::unavailable("The audit log cannot be read now.").with_cause(error)
        }
        LogError::Damaged { .. } => Error::new(ErrorReason::AuditLogUntrusted, DAMAGED).with_cause(error),
        LogError::RolledBack { .. } => Error::new(ErrorReason::AuditLogUntrusted, ROLLED_BACK).with_cause(error),
        LogError::Store(error) => error.into(),
        LogError::NotWritten | LogError::Sealing(_) | LogError::Conflict(_) => Error::internal(error),
    }
}

const DAMAGED: &str =
    "This audit log does not verify. Nothing more is recorded in it until an operator has looked at it.";
const ROLLED_BACK: &str = "This audit log is older than what was seen of it, or differs from it. Nothing more is \
                           recorded in it until an operator has looked at it.";

fn unavailable(detail: &str, cause: impl Into<anyhow::Error>) -> Error {
    Error::new(ErrorReason::AuditUnavailable, detail).with_cause(cause)
}
