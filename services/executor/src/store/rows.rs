//! Documents in rows.

use runwarden_engines::StoreError;
use runwarden_kit::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes a document.
pub(super) fn write<T: Serialize>(document: &T) -> Result<String> {
    serde_json::to_string(document).map_err(Error::internal)
}

/// Reads a document.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(Error::internal)
}

/// What a failing store is to a caller.
pub(super) fn failed(error: sqlx::Error) -> Error {
    StoreError::from(error).into()
}
