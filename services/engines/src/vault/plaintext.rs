//! A value in the clear, for as short as possible.

use std::fmt;

use zeroize::Zeroizing;

/// Bytes that are wiped when dropped and never printed.
///
/// `Zeroizing` alone would print its content with `{:?}`, so the value hides behind a type whose `Debug` does not.
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    /// Takes over the bytes.
    pub fn new(value: Vec<u8>) -> Self {
        Self(Zeroizing::new(value))
    }

    /// Shows the value. Every use of this is a place to look at in a review.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Gives the bytes away. The receiver has to see to it that they are wiped.
    pub fn into_exposed(mut self) -> Vec<u8> {
        std::mem::take(&mut *self.0)
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not even the length: that of a password is worth something to a guesser.
        f.write_str("Plaintext(<redacted>)")
    }
}

#[cfg(test)]
mod tests {
    use super::Plaintext;

    #[test]
    fn a_plaintext_is_never_printed() {
        let value = Plaintext::new(b"hunter2".to_vec());
        let bytes = format!("{:?}", b"hunter2");
        for shown in [format!("{value:?}"), format!("{value:#?}"), format!("{:?}", Some(&value))] {
            assert!(!shown.contains("hunter2") && !shown.contains(&bytes) && !shown.contains("104"), "{shown}");
        }
        assert_eq!(value.into_exposed(), b"hunter2");
    }
}
