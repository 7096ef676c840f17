//! Names that are identities: `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`.

use crate::error::{Error, Result};

/// What a slug must be, for the end of a sentence that begins with its name.
pub const RULE: &str =
    "must be 1 to 63 lower-case letters, digits or hyphens, beginning and ending with a letter or digit";

/// Whether a text is a slug.
#[must_use]
pub fn is_slug(text: &str) -> bool {
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(|b| inner(&b)) && !text.starts_with('-') && !text.ends_with('-')
}

/// Refuses what is not a slug, naming the field.
///
/// # Errors
/// `VALIDATION_FAILED` with the pointer.
pub fn check(pointer: &str, text: &str) -> Result<()> {
    if is_slug(text) {
        return Ok(());
    }
    Err(Error::invalid(pointer, RULE))
}

#[cfg(test)]
mod tests {
    use super::is_slug;

    #[test]
    fn slugs_are_what_the_contract_says() {
        for good in ["a", "7", "web", "web-1", &"a".repeat(63)] {
            assert!(is_slug(good), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "a/b", "é", "a\0", &"a".repeat(64)] {
            assert!(!is_slug(bad), "{bad}");
        }
    }
}
