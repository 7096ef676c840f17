//! Text on a terminal: colours where somebody sees them, and nothing from elsewhere that steers it.

use std::fmt::Display;
use std::io::{IsTerminal, Write as _};

use serde_json::Value;

pub(crate) use runwarden_kit::stdio::{announce, print, say};

/// Colours, where somebody sees them and did not ask for none (no-color.org).
#[derive(Clone, Copy)]
pub(crate) struct Colours(bool);

impl Colours {
    /// Whether a stream gets colours.
    pub(crate) fn on(stream: &impl IsTerminal) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(stream.is_terminal() && !unwanted)
    }

    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(false)
    }

    /// A text in a colour: the numbers of an SGR sequence, such as `1;36`.
    pub(crate) fn paint(self, code: &str, text: &str) -> String {
        if self.0 && !code.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

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

/// A document for programs, with a line end. It says the same as the value, and a terminal may show it: what would steer
/// one is escaped. It can only be in texts, where JSON takes an escape for every character.
pub(crate) fn document(value: &Value) -> String {
    let mut text = String::new();
    for c in format!("{value:#}\n").chars() {
        if is_odd(c) || (c.is_control() && c != '\n') {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            text.push(c);
        }
    }
    text
}

/// Something for the person at the terminal; scripts and files are spared it.
pub(crate) fn note(text: &str) {
    let err = std::io::stderr();
    if err.is_terminal() {
        say(Colours::on(&err).paint("2", text));
    }
}

/// Text on standard error as it comes, without a line end.
pub(crate) fn aside(text: impl Display) {
    let _gone = write!(std::io::stderr(), "{text}");
}

/// What a playbook printed, piece by piece, as a terminal may show it: line ends, tabs and colours stay, every other
/// sequence is taken out, since it could rewrite what is on the screen.
pub(crate) struct Screen {
    colours: Colours,
    at: At,
    /// A carriage return came last: part of a line end if a line feed follows.
    returned: bool,
}

enum At {
    Text,
    Escape,
    Sequence(String),
}

/// The longest colour sequence that is passed on, in characters.
const LONGEST_SEQUENCE: usize = 32;

impl Screen {
    pub(crate) fn new(colours: Colours) -> Self {
        Self { colours, at: At::Text, returned: false }
    }

    /// The next piece, as it may be shown.
    pub(crate) fn shown(&mut self, piece: &str) -> String {
        let mut shown = String::with_capacity(piece.len());
        for c in piece.chars() {
            self.take(c, &mut shown);
        }
        shown
    }

    fn take(&mut self, c: char, shown: &mut String) {
        match (&mut self.at, c) {
            (At::Escape, '[') => self.at = At::Sequence(String::new()),
            (At::Escape, _) => {
                self.at = At::Text;
                shown.push('\u{fffd}');
                self.text(c, shown);
            }
            (At::Sequence(numbers), '0'..='9' | ';' | ':') if numbers.len() < LONGEST_SEQUENCE => numbers.push(c),
            // Parameter and intermediate bytes of sequences that are not colours.
            (At::Sequence(numbers), ' '..='?') => "?".clone_into(numbers),
            (At::Sequence(numbers), _) => {
                if c == 'm' && self.colours.0 && !numbers.contains('?') {
                    shown.push_str(&format!("\x1b[{numbers}m"));
                }
                self.at = At::Text;
                if c.is_control() {
                    self.text(c, shown);
                }
            }
            (At::Text, _) => self.text(c, shown),
        }
    }

    fn text(&mut self, c: char, shown: &mut String) {
        // Alone it would let the rest of the line be written over.
        if std::mem::take(&mut self.returned) && c != '\n' {
            shown.push('\n');
        }
        match c {
            '\x1b' => self.at = At::Escape,
            '\r' => self.returned = true,
            '\n' | '\t' => shown.push(c),
            _ if is_odd(c) => shown.push('\u{fffd}'),
            _ => shown.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Colours, Screen, document, plain};
    use serde_json::{Value, json};

    #[test]
    fn nothing_that_is_shown_steers_the_terminal() {
        assert_eq!(plain("\x1b[31mred\x07"), "\u{fffd}[31mred\u{fffd}");
        assert_eq!(plain("one\ntwo\r\tthree\u{85}"), "one two  three ");
        assert_eq!(plain("a\u{202e}b\u{9b}c"), "a\u{fffd}b\u{fffd}c");
        assert_eq!(plain("Grüße, 東京"), "Grüße, 東京");
    }

    #[test]
    fn a_document_is_the_same_value_and_steers_nothing() {
        let value = json!({"a\u{9b}2J": ["\x1b[31m", "\u{7f}\u{202e}\u{85}", "Grüße\n"]});
        let text = document(&value);
        assert!(!text.chars().any(|c| super::is_odd(c) || c == '\u{85}'), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert!(text.contains("Grüße") && text.ends_with("}\n"), "{text}");
    }

    fn shown(colours: bool, pieces: &[&str]) -> String {
        let mut screen = Screen::new(Colours(colours));
        pieces.iter().map(|piece| screen.shown(piece)).collect()
    }

    #[test]
    fn output_keeps_its_colours_and_lines_and_nothing_else() {
        let ok = "\x1b[0;32mok: [web-1]\x1b[0m\r\n";
        assert_eq!(shown(true, &[ok]), "\x1b[0;32mok: [web-1]\x1b[0m\n");
        assert_eq!(shown(false, &[ok]), "ok: [web-1]\n");
        // Erases the screen, moves the cursor, sets the title, hides text, overwrites a line.
        assert_eq!(shown(true, &["\x1b[2Ja\x1b[1;1Hb\x1b[?25lc"]), "abc");
        assert_eq!(shown(true, &["\x1b]0;title\x07"]), "\u{fffd}]0;title\u{fffd}");
        assert_eq!(shown(true, &["changed\rok"]), "changed\nok");
        assert_eq!(shown(true, &["a\tb\u{9b}2J"]), "a\tb\u{fffd}2J");
    }

    #[test]
    fn a_sequence_that_is_cut_by_a_piece_is_still_one() {
        assert_eq!(shown(true, &["\x1b", "[3", "1mred\x1b[", "0m\r", "\n"]), "\x1b[31mred\x1b[0m\n");
        assert_eq!(shown(true, &["\x1b[", "2", "J."]), ".");
    }
}
