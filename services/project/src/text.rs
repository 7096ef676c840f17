//! Texts for people: how long they may be, and that they are text.

use runwarden_kit::text::check_length;
use runwarden_kit::{Error, Result};

/// The longest display name, in characters.
const DISPLAY_NAME: usize = 200;
/// The longest description, in characters.
const DESCRIPTION: usize = 2000;

/// Checks a display name; an empty one becomes the name.
pub(crate) fn display_name(given: &str, name: &str) -> Result<String> {
    let trimmed = given.trim();
    if trimmed.is_empty() {
        return Ok(name.to_owned());
    }
    check_length("/display_name", trimmed, DISPLAY_NAME)?;
    if trimmed.chars().any(char::is_control) {
        return Err(Error::invalid("/display_name", "must not have control characters"));
    }
    Ok(trimmed.to_owned())
}

/// Checks a description. It may have several lines.
pub(crate) fn description(given: &str) -> Result<String> {
    let trimmed = given.trim();
    check_length("/description", trimmed, DESCRIPTION)?;
    if trimmed.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(Error::invalid("/description", "must not have control characters other than line breaks and tabs"));
    }
    Ok(trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_display_name_takes_the_name() {
        assert_eq!(display_name(" ", "web").unwrap(), "web");
        assert_eq!(display_name(" Web ", "web").unwrap(), "Web");
    }

    #[test]
    fn texts_are_counted_in_characters_and_hold_no_control_characters() {
        display_name(&"é".repeat(DISPLAY_NAME), "web").unwrap();
        display_name(&"é".repeat(DISPLAY_NAME + 1), "web").unwrap_err();
        display_name("a\0b", "web").unwrap_err();
        display_name("a\nb", "web").unwrap_err();
        assert_eq!(description("two\nlines").unwrap(), "two\nlines");
        description("a\u{7}").unwrap_err();
        description(&"x".repeat(DESCRIPTION + 1)).unwrap_err();
    }
}
