//! Text that must fit somewhere.

/// A text of at most so many bytes, cut where a character ends and marked with `…` if it was longer.
#[must_use]
pub fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn a_character_is_kept_whole_or_not_at_all() {
        assert_eq!(shortened("äö".into(), 4), "äö");
        assert_eq!(shortened("äö".into(), 3), "ä…");
        assert_eq!(shortened("𝕏".into(), 3), "…");
    }
}
