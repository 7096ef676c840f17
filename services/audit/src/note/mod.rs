//! Signed notes and checkpoints: C2SP signed-note and tlog-checkpoint, with Ed25519.
//!
//! A note is text, a blank line, and lines of signatures. A checkpoint is a note that says how large a log is and what
//! its root is, so that one short text, kept anywhere else, holds the whole past of a log fast.

mod checkpoint;
mod key;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use checkpoint::Checkpoint;
pub use key::{KeyError, SigningKey, VerifierKey};

/// Longer notes are refused unread.
const MAX_LENGTH: usize = 64 * 1024;
/// More signatures than this no note needs.
const MAX_SIGNATURES: usize = 16;
const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// Why a note, or what it says, is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It does not have the form of a note.
    #[error("it is not a signed note: {0}")]
    Malformed(&'static str),
    /// It has the form of a note but does not say what a checkpoint says.
    #[error("it is not a checkpoint: {0}")]
    NotACheckpoint(&'static str),
    /// Nobody we know signed it.
    #[error("it is not signed by the key {0}")]
    NotSigned(String),
    /// There is a signature of the key we know, and it is not of this text.
    #[error("the signature of {0} does not match the text")]
    BadSignature(String),
    /// It is signed, but speaks of another log.
    #[error("it is a checkpoint of the log {found}, not of {expected}")]
    OtherLog {
        /// The log it speaks of.
        found: String,
        /// The log that was meant.
        expected: String,
    },
}

/// One signature below a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The name of the key.
    pub name: String,
    /// The first bytes of the key's hash, which tell keys of one name apart.
    pub key_id: [u8; 4],
    /// The signature itself.
    pub bytes: Vec<u8>,
}

/// A note whose form was checked, and whose signatures were not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// Reads a note.
    ///
    /// # Errors
    /// When it does not have exactly the form of one.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        use NoteError::Malformed;
        if note.len() > MAX_LENGTH {
            return Err(Malformed("it is too long"));
        }
        if note.chars().any(|c| c.is_ascii_control() && c != '\n') {
            return Err(Malformed("it has control characters"));
        }
        let split = note.rfind("\n\n").ok_or(Malformed("it has no signatures"))?;
        let (text, rest) = note.split_at_checked(split + 1).ok_or(Malformed("it has no signatures"))?;
        let lines = rest.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n'));
        let lines = lines.ok_or(Malformed("its last line does not end"))?;
        let signatures = lines.split('\n').map(Signature::parse).collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(Malformed("it has too many signatures"));
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text, which nobody vouches for yet.
    #[must_use]
    pub fn unverified_text(&self) -> &str {
        &self.text
    }

    /// The text, if this key signed it. Signatures of other keys are neither needed nor looked at.
    ///
    /// # Errors
    /// When the key did not sign this text.
    pub fn verify(&self, key: &VerifierKey) -> Result<&str, NoteError> {
        let mut signed = false;
        for signature in &self.signatures {
            if signature.name == key.name() && signature.key_id == key.id() {
                if !key.verifies(self.text.as_bytes(), &signature.bytes) {
                    return Err(NoteError::BadSignature(key.name().to_owned()));
                }
                signed = true;
            }
        }
        if signed { Ok(&self.text) } else { Err(NoteError::NotSigned(key.to_string())) }
    }
}

impl Signature {
    fn parse(line: &str) -> Result<Self, NoteError> {
        use NoteError::Malformed;
        let rest =
            line.strip_prefix(SIGNATURE_PREFIX).ok_or(Malformed("a signature line does not begin as it must"))?;
        let (name, base64) = rest.split_once(' ').ok_or(Malformed("a signature line has no signature"))?;
        if !key::is_name(name) {
            return Err(Malformed("a key has an invalid name"));
        }
        let bytes = STANDARD.decode(base64).map_err(|_| Malformed("a signature is not base64"))?;
        match bytes.split_first_chunk::<4>() {
            Some((key_id, signature)) if !signature.is_empty() => {
                Ok(Self { name: name.to_owned(), key_id: *key_id, bytes: signature.to_vec() })
            }
            _ => Err(Malformed("a signature is too short")),
        }
    }
}

/// Signs a text, which must end with a line feed, and returns the note.
///
/// # Errors
/// When the text cannot be that of a note, or the name not that of a key.
pub fn sign(text: &str, name: &str, key: &SigningKey) -> Result<String, NoteError> {
    if !text.ends_with('\n') || text.chars().any(|c| c.is_ascii_control() && c != '\n') {
        return Err(NoteError::Malformed("its text does not end with a line feed, or has control characters"));
    }
    let verifier = key.verifier(name).map_err(|_| NoteError::Malformed("a key has an invalid name"))?;
    let mut signature = verifier.id().to_vec();
    signature.extend(key.sign(text.as_bytes()));
    Ok(format!("{text}\n{SIGNATURE_PREFIX}{name} {}\n", STANDARD.encode(signature)))
}

#[cfg(test)]
mod tests;
