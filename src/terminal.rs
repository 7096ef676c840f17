//! Text from elsewhere on a terminal.

/// A text as it may be shown: what would move the cursor, colour the rest or turn the reading direction is taken out,
/// and a line stays one line. Controllers, playbooks and callers have a say in what is shown.
pub(crate) fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_whitespace() { ' ' } else { c };
    text.chars().map(|c| if is_odd(c) { '\u{fffd}' } else { shown(c) }).collect()
}

fn is_odd(c: char) -> bool {
    let turns_direction = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns_direction || (c.is_control() && !c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn nothing_that_is_shown_steers_the_terminal() {
        assert_eq!(plain("\x1b[31mred\x07"), "\u{fffd}[31mred\u{fffd}");
        assert_eq!(plain("one\ntwo\r\tthree\u{85}"), "one two  three ");
        assert_eq!(plain("a\u{202e}b\u{9b}c"), "a\u{fffd}b\u{fffd}c");
        assert_eq!(plain("Grüße, 東京"), "Grüße, 東京");
    }
}
