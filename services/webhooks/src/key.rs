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
}

impl KeyForm {
    pub(crate) const TEXT: Self = Self { made_by: MadeBy::Either, standard: false };
    pub(crate) const STANDARD: Self = Self { made_by: MadeBy::Either, standard: true };

    /// Whether a key has this form.
    pub(crate) fn check(self, key: &SecretString) -> Result<(), Problem> {
        let text = key.expose_secret();
        if self.standard {
            return standard::VerifyingKey::parse(text).map(drop);
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
