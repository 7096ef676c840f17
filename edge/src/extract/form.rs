//! `application/x-www-form-urlencoded`, read strictly: a broken escape or bytes that are not UTF-8 are refused, not
//! guessed.

use std::collections::BTreeSet;
use std::fmt;

/// Why a form cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormError {
    /// A `%` without two hex digits.
    BrokenEscape,
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// A NUL byte.
    Nul,
    /// More than [`MOST_PAIRS`] pairs.
    TooMany,
}

/// How many pairs are read. No call takes nearly that many; more can only be an attempt to cause load.
pub const MOST_PAIRS: usize = 100;

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BrokenEscape => "a percent sign is not followed by two hex digits",
            Self::NotUtf8 => "a value is not UTF-8",
            Self::Nul => "a value contains a NUL character",
            Self::TooMany => "there are more than 100 parameters",
        })
    }
}

/// Reads name and value pairs in their order. Empty pieces (`a=1&&b=2`) are skipped.
///
/// # Errors
///
/// When an escape is broken, a name or value is not UTF-8 or holds NUL, or there are too many pairs.
pub fn pairs(text: &[u8]) -> Result<Vec<(String, String)>, FormError> {
    let mut pairs = Vec::new();
    for piece in text.split(|b| *b == b'&').filter(|piece| !piece.is_empty()) {
        if pairs.len() == MOST_PAIRS {
            return Err(FormError::TooMany);
        }
        let mut halves = piece.splitn(2, |b| *b == b'=');
        let name = decode(halves.next().unwrap_or_default())?;
        let value = decode(halves.next().unwrap_or_default())?;
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// The first key that was there before, if any; found by looking each key up, not by comparing it with all others.
pub fn repeated<K: Ord + Copy>(keys: impl IntoIterator<Item = K>) -> Option<K> {
    let mut seen = BTreeSet::new();
    keys.into_iter().find(|key| !seen.insert(*key))
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
    use super::{FormError, MOST_PAIRS, decode, pairs, repeated};
    use proptest::prelude::*;
    use std::cell::Cell;
    use std::cmp::Ordering;

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

    #[test]
    fn a_flood_of_pairs_is_refused_when_it_is_seen_to_be_one() {
        assert_eq!(pairs(&b"a=1&".repeat(MOST_PAIRS)).unwrap().len(), MOST_PAIRS);
        assert_eq!(pairs(&b"a=1&".repeat(MOST_PAIRS + 1)), Err(FormError::TooMany));
        // The rest is not even read: it would be refused for another reason.
        let flood = [b"a=1&".repeat(MOST_PAIRS + 1), b"%".to_vec()].concat();
        assert_eq!(pairs(&flood), Err(FormError::TooMany));
        assert!(pairs(&b"&".repeat(100_000)).unwrap().is_empty());
    }

    #[test]
    fn repetition_is_found_in_a_number_of_comparisons_that_grows_with_the_number_of_keys() {
        thread_local!(static COMPARED: Cell<usize> = const { Cell::new(0) });
        #[derive(Clone, Copy, PartialEq, Eq)]
        struct Key(usize);
        impl PartialOrd for Key {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for Key {
            fn cmp(&self, other: &Self) -> Ordering {
                COMPARED.set(COMPARED.get() + 1);
                self.0.cmp(&other.0)
            }
        }
        let comparisons = |keys: usize| {
            COMPARED.set(0);
            assert!(repeated((0..keys).map(Key)).is_none());
            COMPARED.get()
        };
        // All with all would be five million.
        assert!(comparisons(100_000) < 100_000 * 60, "{}", comparisons(100_000));
        assert!(comparisons(10_000) * 20 > comparisons(100_000));
        assert_eq!(repeated(["a", "b", "c", "b", "a"]), Some("b"));
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
