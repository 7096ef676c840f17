//! Paging: an opaque token that holds the last key of the page before.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::{Error, Result};

/// Pages have this many items when the caller does not say.
pub const DEFAULT_SIZE: usize = 50;
/// And never more than this many.
pub const MAX_SIZE: usize = 200;

/// Reads a page size: 0 is the default, more than the maximum is the maximum.
///
/// # Errors
/// `VALIDATION_FAILED` for a negative one.
pub fn size(requested: i32) -> Result<usize> {
    match usize::try_from(requested) {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(n) => Ok(n.min(MAX_SIZE)),
        Err(_) => Err(Error::invalid("/page_size", "must not be negative")),
    }
}

/// Wraps the last key of a page.
#[must_use]
pub fn token(last_key: &str) -> String {
    URL_SAFE_NO_PAD.encode(last_key)
}

/// Unwraps a token; an empty one means the first page.
///
/// # Errors
/// `VALIDATION_FAILED` for one that Runwarden did not make.
pub fn after(token: &str) -> Result<Option<String>> {
    if token.is_empty() {
        return Ok(None);
    }
    let wrong = || Error::invalid("/page_token", "is not a token of an earlier page");
    if token.len() > 2048 {
        return Err(wrong());
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    String::from_utf8(bytes).map(Some).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_key_survives_the_token(key in ".+") {
            prop_assert_eq!(super::after(&super::token(&key)).ok().flatten(), Some(key));
        }

        #[test]
        fn no_token_panics(token in ".*") {
            let _outcome = super::after(&token);
        }
    }
}
