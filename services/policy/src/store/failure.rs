//! What an engine's failure means to a caller.

use runwarden_engines::StoreError;
use runwarden_kit::Error;

pub(super) fn refuse(error: StoreError) -> Error {
    match error {
        StoreError::Unavailable(_) => {
            Error::unavailable("The policies cannot be read or written now.").with_cause(error)
        }
        StoreError::Invalid(_) | StoreError::Corrupt(_) | StoreError::Failed(_) => Error::internal(error),
    }
}
