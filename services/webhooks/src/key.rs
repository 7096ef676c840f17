//! Keys: what a kind needs, and whether one will do.

use secrecy::{ExposeSecret as _, SecretString};

use crate::problem::Problem;
use crate::standard;

/// The shortest key that is accepted, in bytes: what a machine makes is longer, what a person thinks up is shorter.
const MIN_KEY: usize = 16;
/// The shortest key of a hook that says that it takes a short one. A shorter one can be guessed without having seen any
/// request.
const MIN_SHORT_KEY: usize = 8;
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

/// Where a key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFrom {
    /// Somebody who configures a hook.
    Person,
    /// A program that is replaced: its senders sign with whatever it had.
    ReplacedProgram,
}

/// The key a hook needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyForm {
    /// Who makes it.
    pub made_by: MadeBy,
    /// Whether it must be a key of Standard Webhooks (`whsec_…`, or `whpk_…`).
    pub standard: bool,
    /// Whether the hook says that it takes a key so short that it can be found by trying.
    pub may_be_weak: bool,
}

impl KeyForm {
    pub(crate) const TEXT: Self = Self { made_by: MadeBy::Either, standard: false, may_be_weak: false };
    pub(crate) const STANDARD: Self = Self { made_by: MadeBy::Either, standard: true, may_be_weak: false };

    /// Whether a key is so short that who has one signed request can find it by trying.
    #[must_use]
    pub fn is_weak(key: &SecretString) -> bool {
        key.expose_secret().len() < MIN_KEY
    }

    /// Whether a key is so short that anybody can find it by sending requests.
    #[must_use]
    pub fn is_guessable(key: &SecretString) -> bool {
        key.expose_secret().len() < MIN_SHORT_KEY
    }

    /// Whether a key has this form.
    pub(crate) fn check(self, key: &SecretString, from: KeyFrom) -> Result<(), Problem> {
        let text = key.expose_secret();
        if self.standard {
            return standard::VerifyingKey::parse(text).map(drop);
        }
        let shortest = match (self.may_be_weak, from) {
            (false, _) => MIN_KEY,
            (true, KeyFrom::Person) => MIN_SHORT_KEY,
            (true, KeyFrom::ReplacedProgram) => 1,
        };
        if !(shortest..=MAX_KEY).contains(&text.len()) {
            return Err(Problem::new("key", format!("A key has {shortest} to {MAX_KEY} characters.")));
        }
        if from == KeyFrom::ReplacedProgram {
            return Ok(());
        }
        if text.chars().any(char::is_control) || text.trim() != text {
            return Err(Problem::new("key", "A key has no line breaks, and no spaces at its ends."));
        }
        Ok(())
    }
}
