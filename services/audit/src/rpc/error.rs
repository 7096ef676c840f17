//! What the failures of a log mean to whoever called.

use runwarden_engines::StoreError;
use runwarden_kit::{Error, ErrorReason};

use crate::log::{JournalError, LogError};

/// The failure of an append: the entries are not durable, so what they tell of must not happen.
pub(super) fn append_failure(error: JournalError) -> Error {
    match error {
        JournalError::Log(LogError::Conflict(entry_id)) => {
            Error::conflict(format!("The entry id {entry_id} is in the log already, for something else."))
        }
        JournalError::Full => unavailable("Too many audit records are waiting to be written.", error),
        JournalError::Stopped => unavailable("The audit log is stopping.", error),
        JournalError::Log(LogError::Damaged { .. }) => unavailable(DAMAGED, error),
        JournalError::Log(LogError::Store(_) | LogError::NotWritten | LogError::Sealing(_)) => {
            unavailable("The audit records could not be written.", error)
        }
    }
}

/// The failure of a read.
pub(super) fn read_failure(error: LogError) -> Error {
    match error {
        LogError::Store(StoreError::Unavailable(_)) => {
            Error::unavailable("The audit log cannot be read now.").with_cause(error)
        }
        LogError::Damaged { .. } => unavailable(DAMAGED, error),
        LogError::Store(_) | LogError::NotWritten | LogError::Sealing(_) | LogError::Conflict(_) => {
            Error::internal(error)
        }
    }
}

const DAMAGED: &str =
    "This audit log does not verify. Nothing more is sealed in it until an operator has looked at it.";

fn unavailable(detail: &str, cause: impl Into<anyhow::Error>) -> Error {
    Error::new(ErrorReason::AuditUnavailable, detail).with_cause(cause)
}
