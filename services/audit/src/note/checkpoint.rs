//! Checkpoints: what a log says of itself under its signature.

use std::fmt;

use super::{Note, NoteError, SigningKey, VerifierKey, sign};
use crate::merkle::Hash;

/// The size and root of a log at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name, such as `runwarden-audit/acme`.
    pub origin: String,
    /// How many records it has.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The signed note, under the log's name.
    ///
    /// # Errors
    /// When the log's name cannot be that of a key.
    pub fn sign(&self, key: &SigningKey) -> Result<String, NoteError> {
        sign(&self.to_string(), &self.origin, key)
    }

    /// Reads a signed checkpoint and checks that it is of the log the key is named for, and signed by it.
    ///
    /// # Errors
    /// Whatever keeps it from being believed.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, NoteError> {
        let note = Note::parse(note)?;
        // Which log it speaks of is looked at first: the usual mistake is the wrong file, and should be named as that.
        let unverified = Self::parse(note.unverified_text())?;
        if unverified.origin != key.name() {
            return Err(NoteError::OtherLog { found: unverified.origin, expected: key.name().to_owned() });
        }
        note.verify(key)?;
        Ok(unverified)
    }

    /// Reads a signed checkpoint without believing it.
    ///
    /// # Errors
    /// When it does not have the form of one.
    pub fn unverified(note: &str) -> Result<Self, NoteError> {
        Self::parse(Note::parse(note)?.unverified_text())
    }

    /// Reads the text of a checkpoint. Lines after the third are extensions and mean nothing here.
    fn parse(text: &str) -> Result<Self, NoteError> {
        use NoteError::NotACheckpoint;
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        let origin = lines.next().filter(|line| !line.is_empty()).ok_or(NotACheckpoint("it does not name a log"))?;
        let size = lines.next().and_then(parse_size).ok_or(NotACheckpoint("its size is not a number"))?;
        let root = lines.next().ok_or(NotACheckpoint("it has no root"))?;
        let root = Hash::from_base64(root).map_err(|_| NotACheckpoint("its root is not a hash"))?;
        if lines.any(str::is_empty) {
            return Err(NotACheckpoint("it has an empty line"));
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }
}

/// Decimal without sign or leading zeros, so that a size is written in one way only. A log fits an `i64`.
fn parse_size(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|size| plain && *size <= i64::MAX as u64)
}
