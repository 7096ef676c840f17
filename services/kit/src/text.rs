//! Text for people: cut to fit, and as a sentence.

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
    use super::{sentence, shortened};

    #[test]
    fn a_sentence_begins_and_ends_like_one() {
        assert_eq!(sentence("its certificate has expired"), "Its certificate has expired.");
        assert_eq!(sentence("Is it really https?"), "Is it really https?");
        assert_eq!(sentence("über alles!"), "Über alles!");
        assert_eq!(sentence(""), ".");
    }

    #[test]
    fn a_character_is_kept_whole_or_not_at_all() {
        assert_eq!(shortened("äö".into(), 4), "äö");
        assert_eq!(shortened("äö".into(), 3), "ä…");
        assert_eq!(shortened("𝕏".into(), 3), "…");
    }
}
