//! Text for people: how long it may be, cut to fit, and as a sentence.

use crate::error::{Error, Result};
use crate::limits::LONGEST_REASON;

/// Refuses a text with more characters than it may have, naming the field.
///
/// # Errors
/// `VALIDATION_FAILED` with the pointer.
pub fn check_length(pointer: &str, text: &str, most: usize) -> Result<()> {
    if text.chars().count() <= most {
        return Ok(());
    }
    Err(Error::invalid(pointer, format!("must have at most {most} characters")))
}

/// The reason that a person gave for a decision, without the space around it; an error says what it must be, for the
/// end of a sentence that begins with its name.
///
/// # Errors
/// When there is none, it is longer than [`LONGEST_REASON`], or it has NUL characters.
pub fn reason(given: &str) -> std::result::Result<&str, String> {
    let reason = given.trim();
    if (1..=LONGEST_REASON).contains(&reason.chars().count()) && !reason.contains('\0') {
        return Ok(reason);
    }
    Err(format!("must have 1 to {LONGEST_REASON} characters, none of them NUL"))
}

/// A text of at most so many bytes, cut where a character ends and marked with `…` if it was longer.
#[must_use]
pub fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}

/// A text with a capital letter at its beginning.
#[must_use]
pub fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// An error's text as a sentence: with a capital letter at its beginning and punctuation at its end.
#[must_use]
pub fn sentence(text: &str) -> String {
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{end}", capitalized(text))
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_REASON, check_length, reason, sentence, shortened};

    #[test]
    fn a_sentence_begins_and_ends_like_one() {
        assert_eq!(sentence("its certificate has expired"), "Its certificate has expired.");
        assert_eq!(sentence("Is it really https?"), "Is it really https?");
        assert_eq!(sentence("über alles!"), "Über alles!");
        assert_eq!(sentence(""), ".");
    }

    #[test]
    fn a_length_is_counted_in_characters() {
        assert!(check_length("/name", "éé", 2).is_ok());
        let refused = check_length("/name", "ééé", 2).unwrap_err();
        assert_eq!(
            (refused.fields()[0].pointer.as_str(), refused.fields()[0].detail.as_str()),
            ("/name", "must have at most 2 characters")
        );
    }

    #[test]
    fn a_reason_says_something_and_not_too_much() {
        assert_eq!(reason(" looked it up\n"), Ok("looked it up"));
        assert!(reason(&"é".repeat(LONGEST_REASON)).is_ok());
        for bad in ["", " \n ", "a\0b", &"x".repeat(LONGEST_REASON + 1)] {
            assert!(reason(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_character_is_kept_whole_or_not_at_all() {
        assert_eq!(shortened("äö".into(), 4), "äö");
        assert_eq!(shortened("äö".into(), 3), "ä…");
        assert_eq!(shortened("𝕏".into(), 3), "…");
    }
}
