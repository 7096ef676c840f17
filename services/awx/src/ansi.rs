//! Output of foreign programs made plain: a terminal that shows it must not obey it.

/// Removes escape sequences and control characters; keeps line ends (as `\n`) and tabs.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.peek().copied() {
                // CSI: parameters and intermediates up to a final byte.
                Some('[') => {
                    chars.next();
                    skip_csi(&mut chars);
                }
                // OSC, DCS, SOS, PM, APC: a string up to BEL or ESC \.
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    chars.next();
                    skip_string(&mut chars);
                }
                // A short sequence: intermediates, then one final byte.
                Some(' '..='~') => skip_short(&mut chars),
                _ => {}
            },
            '\u{9b}' => skip_csi(&mut chars),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut chars),
            '\n' | '\t' => out.push(c),
            '\r' => {
                if chars.peek() != Some(&'\n') {
                    out.push('\n');
                }
            }
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn skip_csi(chars: &mut Chars<'_>) {
    while let Some(c) = chars.peek().copied() {
        match c {
            ' '..='?' => {
                chars.next();
            }
            '@'..='~' => {
                chars.next();
                return;
            }
            // Not a sequence after all: what follows is text.
            _ => return,
        }
    }
}

fn skip_short(chars: &mut Chars<'_>) {
    while let Some(c) = chars.next_if(|c| (' '..='~').contains(c)) {
        if c > '/' {
            return;
        }
    }
}

/// An unfinished string ends with its line, so that it cannot swallow the rest of the output.
fn skip_string(chars: &mut Chars<'_>) {
    while let Some(c) = chars.next_if(|c| *c != '\n') {
        match c {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                chars.next_if_eq(&'\\');
                return;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn colours_titles_and_cursor_movements_are_gone_and_words_stay() {
        for (raw, shown) in [
            ("\u{1b}[0;32mok: [host]\u{1b}[0m\r\n", "ok: [host]\n"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}[K\u{1b}[2Ja\u{1b}(Bb", "ab"),
            ("50%\r100%\r\n", "50%\n100%\n"),
            ("a\u{0}b\u{8}c\td", "abc\td"),
            ("\u{1b}]unfinished\nnext", "\nnext"),
            ("\u{9b}31mred", "red"),
            ("\u{1b}", ""),
            ("héllo ✓", "héllo ✓"),
        ] {
            assert_eq!(plain(raw), shown, "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_a_terminal_would_obey_is_left(text in any::<String>()) {
            let out = plain(&text);
            prop_assert!(out.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
            prop_assert_eq!(plain(&out), out);
        }

        #[test]
        fn plain_text_stays_as_it_is(text in "[a-zA-Z0-9 .:,;äé✓\\n\\t]*") {
            prop_assert_eq!(plain(&text), text);
        }
    }
}
