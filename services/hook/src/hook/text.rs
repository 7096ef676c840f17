//! Texts for people.

use runwarden_kit::text::check_length;
use runwarden_kit::{Error, Result};

/// The longest description, in characters.
const DESCRIPTION: usize = 2000;

/// Checks a description. It may have several lines.
pub(super) fn description(given: &str) -> Result<String> {
    let trimmed = given.trim();
    check_length("/description", trimmed, DESCRIPTION)?;
    if trimmed.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(Error::invalid("/description", "must not have control characters other than line breaks and tabs"));
    }
    Ok(trimmed.to_owned())
}
