//! Splits Rego into tokens, as far as guarding needs it: brackets, words, strings, comments.
//!
//! Where strings and comments begin and end must be seen exactly as the engine sees it, else a
//! bracket could hide: strings end at the first unescaped `"` and hold no control characters, raw
//! strings end at the next `` ` ``, comments at the end of the line.

use std::iter::Peekable;
use std::str::Chars;

/// Where something stands in a module: both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: u32,
    pub(super) column: u32,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `(`, `[` or `{`.
    Open(char),
    /// `)`, `]` or `}`.
    Close(char),
    /// A name or keyword.
    Word,
    /// A string of either kind.
    Text,
    /// Anything else: digits, operators, separators.
    Other,
}

/// One token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) place: Position,
}

/// Why the text cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) place: Position,
    pub(super) detail: &'static str,
}

/// The tokens of a module, one after the other.
pub(super) struct Lexer<'a> {
    rest: Peekable<Chars<'a>>,
    place: Position,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text.chars().peekable(), place: Position { line: 1, column: 1 } }
    }

    fn next_char(&mut self) -> Option<char> {
        let next = self.rest.next()?;
        if next == '\n' {
            self.place.line = self.place.line.saturating_add(1);
            self.place.column = 1;
        } else {
            self.place.column = self.place.column.saturating_add(1);
        }
        Some(next)
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.rest.peek().is_some_and(|next| wanted(*next)) {
            self.next_char();
        }
    }

    fn skip_blanks(&mut self) {
        loop {
            match self.rest.peek() {
                Some(' ' | '\t' | '\r' | '\n') => {
                    self.next_char();
                }
                Some('#') => self.skip_while(|next| next != '\n'),
                _ => return,
            }
        }
    }

    fn string(&mut self, start: Position) -> Result<(), Unreadable> {
        let open = |detail| Unreadable { place: start, detail };
        loop {
            match self.next_char() {
                Some('"') => return Ok(()),
                Some('\\') => match self.next_char() {
                    Some(escaped) if escaped >= ' ' => {}
                    _ => return Err(open("this string is not closed")),
                },
                Some(next) if next < ' ' => {
                    return Err(open("this string is not closed on its line"));
                }
                Some(_) => {}
                None => return Err(open("this string is not closed")),
            }
        }
    }

    fn raw_string(&mut self, start: Position) -> Result<(), Unreadable> {
        loop {
            match self.next_char() {
                Some('`') => return Ok(()),
                Some(_) => {}
                None => {
                    return Err(Unreadable { place: start, detail: "this raw string is not closed" });
                }
            }
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Result<Token, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_blanks();
        let place = self.place;
        let first = self.next_char()?;
        let kind = match first {
            '(' | '[' | '{' => Kind::Open(first),
            ')' | ']' | '}' => Kind::Close(first),
            '"' => match self.string(place) {
                Ok(()) => Kind::Text,
                Err(unreadable) => return Some(Err(unreadable)),
            },
            '`' => match self.raw_string(place) {
                Ok(()) => Kind::Text,
                Err(unreadable) => return Some(Err(unreadable)),
            },
            _ if first.is_ascii_alphabetic() || first == '_' => {
                self.skip_while(|next| next.is_ascii_alphanumeric() || next == '_');
                Kind::Word
            }
            _ => Kind::Other,
        };
        Some(Ok(Token { kind, place }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        Lexer::new(text).map(|token| token.unwrap().kind).collect()
    }

    #[test]
    fn brackets_in_strings_and_comments_are_no_brackets() {
        assert_eq!(
            kinds("a := \"[{(\\\"[\" # ((((\n`[[\n[`"),
            [Kind::Word, Kind::Other, Kind::Other, Kind::Text, Kind::Text]
        );
    }

    #[test]
    fn places_count_lines_and_characters() {
        let places: Vec<_> = Lexer::new("x\n\t\"ä\" [")
            .map(|token| {
                let place = token.unwrap().place;
                (place.line, place.column)
            })
            .collect();
        assert_eq!(places, [(1, 1), (2, 2), (2, 6)]);
    }

    #[test]
    fn a_string_that_does_not_end_is_named_where_it_begins() {
        for (text, line, column) in [("x := \"abc", 1, 6), ("\n \"abc\n\"", 2, 2), ("`abc", 1, 1), ("\"\\", 1, 1)] {
            let unreadable = Lexer::new(text).find_map(Result::err).unwrap();
            assert_eq!((unreadable.place.line, unreadable.place.column), (line, column), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end_or_refused(text in any::<String>()) {
            let mut last = (1, 0);
            for token in Lexer::new(&text) {
                let Ok(token) = token else { break };
                let here = (token.place.line, token.place.column);
                prop_assert!(here > last, "places grow");
                last = here;
            }
        }

        #[test]
        fn quoting_hides_every_bracket(inner in "[^\"\\\\\\x00-\\x1f]*", raw in "[^`]*") {
            let quoted = format!("\"{inner}\" `{raw}`");
            prop_assert_eq!(kinds(&quoted), vec![Kind::Text, Kind::Text]);
        }
    }
}
