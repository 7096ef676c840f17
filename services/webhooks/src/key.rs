//! Keys: what a kind needs, and whether one will do.

use secrecy::{ExposeSecret as _, SecretString};

use crate::problem::Problem;
use crate::standard;

/// The shortest key that is accepted, in bytes: what a machine makes is longer, what a person thinks up is shorter.
const MIN_KEY: usize = 16;
/// The longest key, in bytes.
const MAX_KEY: usize = 512;

/// Who makes a hook's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeBy {
    /// Runwarden may, or whoever configures the sender.
    Either,
    /// The sender: it shows it in its own settings.
    Sender,
}

/// The key a hook needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyForm {
    /// Who makes it.
    pub made_by: MadeBy,
    /// Whether it must be a key of Standard Webhooks (`whsec_…`, or `whpk_…`).
    pub standard: bool,
    /// Whether the hook says that it takes a key that can be guessed.
    pub may_be_weak: bool,
}

impl KeyForm {
    pub(crate) const TEXT: Self = Self { made_by: MadeBy::Either, standard: false, may_be_weak: false };
    pub(crate) const STANDARD: Self = Self { made_by: MadeBy::Either, standard: true, may_be_weak: false };

    /// Whether a key is shorter than what a hook takes that does not say that it may be.
    #[must_use]
    pub fn is_weak(key: &SecretString) -> bool {
        Self::TEXT.check(key).is_err()
    }

    /// Whether a key has this form.
    pub(crate) fn check(self, key: &SecretString) -> Result<(), Problem> {
        let text = key.expose_secret();
        if self.standard {
            return standard::VerifyingKey::parse(text).map(drop);
        }
        if self.may_be_weak {
            return match text.len() {
                1..=MAX_KEY => Ok(()),
                _ => Err(Problem::new("key", format!("A key has 1 to {MAX_KEY} characters."))),
            };
        }
        if !(MIN_KEY..=MAX_KEY).contains(&text.len()) {
            return Err(Problem::new("key", format!("A key has {MIN_KEY} to {MAX_KEY} characters.")));
        }
        if text.chars().any(char::is_control) || text.trim() != text {
            return Err(Problem::new("key", "A key has no line breaks, and no spaces at its ends."));
        }
        Ok(())
    }
}
