//! How an engine fails, in kinds that say what the asker can do. It knows no transport and no driver, and its texts are
//! for operators, never for callers.
//!
//! Each engine maps what its driver says to these kinds in a file of its own, such as `sqlite/error.rs`.

use std::io::ErrorKind;

use runwarden_kit::Error;

/// The result of an engine.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// What the driver said.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// How an engine fails.
///
/// Only [`Conflict`](Self::Conflict) and [`Retry`](Self::Retry) promise that nothing was done. After any other kind a
/// change may have happened or not, as when a connection is lost during a commit.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What the call builds on was changed meanwhile, such as a place that somebody else took first. Nothing was done;
    /// the asker reads again and decides anew.
    #[error("somebody else changed it first")]
    Conflict(#[source] Source),
    /// Others were in the way at this moment: a lock, a deadlock, transactions that do not fit one after the other.
    /// Nothing was done, and the same call may succeed at once: [`retrying`](crate::retrying) makes it again.
    #[error("the store was busy")]
    Retry(#[source] Source),
    /// It cannot be reached or does not answer; the same call may succeed later.
    #[error("the store is currently unavailable")]
    Unavailable(#[source] Source),
    /// The disk or a quota is full: it works again when an operator has made room.
    #[error("the store is full: free some space or raise its quota")]
    Full(#[source] Source),
    /// What was read does not make sense. That never passes by itself.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
    /// It was asked for something it never takes: a bug of the asker.
    #[error("the store does not accept this: {0}")]
    Invalid(&'static str),
    /// It failed otherwise.
    #[error("the store failed")]
    Failed(#[source] Source),
}

impl StoreError {
    /// Wraps any failure that has no better name.
    pub fn failed(source: impl Into<Source>) -> Self {
        Self::Failed(source.into())
    }
}

/// Files are a part of every embedded engine.
impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Self::Full(error.into()),
            _ => Self::Unavailable(error.into()),
        }
    }
}

/// What a caller gets to know: whether it is worth trying again, and when. The rest is in the log.
impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let told = match &error {
            StoreError::Conflict(_) => Self::contended(),
            StoreError::Retry(_) => Self::unavailable("Runwarden's state is busy. Try again."),
            StoreError::Unavailable(_) => Self::unavailable("Runwarden's state cannot be reached now."),
            StoreError::Full(_) => Self::unavailable("Runwarden's storage is full. An operator has to make room."),
            StoreError::Corrupt(_) | StoreError::Invalid(_) | StoreError::Failed(_) => return Self::internal(error),
        };
        told.with_cause(error)
    }
}

#[cfg(test)]
mod tests {
    use runwarden_kit::ErrorReason;

    use super::*;

    #[test]
    fn a_caller_learns_whether_trying_again_makes_sense_and_nothing_of_the_driver() {
        let kinds = [
            (StoreError::Conflict("driver".into()), ErrorReason::Conflict, true),
            (StoreError::Retry("driver".into()), ErrorReason::Unavailable, true),
            (StoreError::Unavailable("driver".into()), ErrorReason::Unavailable, true),
            (StoreError::Full("driver".into()), ErrorReason::Unavailable, true),
            (StoreError::Corrupt("driver".into()), ErrorReason::Internal, false),
            (StoreError::Invalid("driver"), ErrorReason::Internal, false),
            (StoreError::failed("driver"), ErrorReason::Internal, false),
        ];
        let mut details = std::collections::BTreeSet::new();
        for (kind, reason, is_worth_trying) in kinds {
            let name = format!("{kind:?}");
            let told = Error::from(kind);
            assert_eq!((told.reason(), told.retry_after().is_some()), (reason, is_worth_trying), "{name}");
            assert!(!told.detail().contains("driver"), "{name}: {}", told.detail());
            assert!(told.cause().is_some_and(|cause| format!("{cause:#}").contains("driver")), "{name}");
            details.insert(told.detail().to_owned());
        }
        assert_eq!(details.len(), 5, "each kind that passes has words of its own: {details:?}");
    }

    #[test]
    fn a_disk_without_room_is_full_and_not_away() {
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            assert!(matches!(StoreError::from(std::io::Error::from(kind)), StoreError::Full(_)), "{kind}");
        }
        let away = StoreError::from(std::io::Error::from(ErrorKind::ConnectionReset));
        assert!(matches!(away, StoreError::Unavailable(_)));
    }
}
