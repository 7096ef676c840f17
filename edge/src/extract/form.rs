//! `application/x-www-form-urlencoded`, read strictly: a broken escape or bytes that are no UTF-8 are refused, not guessed.

use std::fmt;

/// Why a form cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormError {
    /// A `%` without two hex digits.
    BrokenEscape,
    /// Bytes that are no UTF-8.
    NotUtf8,
    /// A NUL byte.
    Nul,
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BrokenEscape => "a percent sign is not followed by two hex digits",
            Self::NotUtf8 => "a value is not UTF-8",
            Self::Nul => "a value holds a NUL character",
        })
    }
}

/// Reads name and value pairs in their order. Empty pieces (`a=1&&b=2`) are skipped.
///
/// # Errors
///
/// When an escape is broken, or a name or value is no UTF-8 or holds NUL.
pub fn pairs(text: &[u8]) -> Result<Vec<(String, String)>, FormError> {
    text.split(|b| *b == b'&')
        .filter(|piece| !piece.is_empty())
        .map(|piece| {
            let mut halves = piece.splitn(2, |b| *b == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            Ok((name, value))
        })
        .collect()
}

/// Decodes one name or value.
///
/// # Errors
///
/// See [`pairs`].
pub fn decode(text: &[u8]) -> Result<String, FormError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = rest.next().and_then(hex_digit).ok_or(FormError::BrokenEscape)?;
                let low = rest.next().and_then(hex_digit).ok_or(FormError::BrokenEscape)?;
                high << 4 | low
            }
            other => *other,
        });
    }
    if bytes.contains(&0) {
        return Err(FormError::Nul);
    }
    String::from_utf8(bytes).map_err(|_| FormError::NotUtf8)
}

fn hex_digit(byte: &u8) -> Option<u8> {
    char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::{FormError, decode, pairs};
    use proptest::prelude::*;

    fn encode(text: &str) -> String {
        text.bytes()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect()
    }

    #[test]
    fn pairs_keep_order_and_repetition() {
        let read = pairs(b"a=1&b=x+y%21&&a=&c").unwrap();
        let expected = [("a", "1"), ("b", "x y!"), ("a", ""), ("c", "")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_broken_is_refused() {
        assert_eq!(decode(b"%"), Err(FormError::BrokenEscape));
        assert_eq!(decode(b"%4"), Err(FormError::BrokenEscape));
        assert_eq!(decode(b"%zz"), Err(FormError::BrokenEscape));
        assert_eq!(decode(b"%ff"), Err(FormError::NotUtf8));
        assert_eq!(decode(b"a%00b"), Err(FormError::Nul));
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read_back(name in "[^\0]{1,20}", value in "[^\0]{0,40}") {
            let text = format!("{}={}", encode(&name), encode(&value));
            prop_assert_eq!(pairs(text.as_bytes()), Ok(vec![(name, value)]));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(read) = pairs(&bytes) {
                prop_assert!(read.iter().all(|(name, value)| !name.contains('\0') && !value.contains('\0')));
            }
        }
    }
}
