//! What is wrong with a hook's settings.

use std::fmt;

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which setting, as a path within the settings (`proof.header`); empty for the settings as a whole.
    pub field: String,
    /// What is wrong with it and what would do, for the person who configures the hook.
    pub detail: String,
}

impl Problem {
    pub(crate) fn new(field: &str, detail: impl Into<String>) -> Self {
        Self { field: field.to_owned(), detail: detail.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { f.write_str(&self.detail) } else { write!(f, "{}: {}", self.field, self.detail) }
    }
}

impl std::error::Error for Problem {}
