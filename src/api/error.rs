//! Why a call did not do what it was made for.

use std::fmt;

use super::Refusal;

/// Why a call did not do what it was made for.
#[derive(Debug)]
pub(crate) enum CallError {
    /// It was answered with no.
    Refused(Box<Refusal>),
    /// There was no answer.
    Unreached {
        /// What was called.
        base: String,
        /// Why there was none.
        why: String,
        /// Whether the request may have arrived all the same.
        perhaps_arrived: bool,
    },
    /// Anything else: an answer that cannot be read, for example.
    Other(anyhow::Error),
}

impl CallError {
    pub(super) fn unreached(base: &str, error: reqwest::Error) -> Self {
        let perhaps_arrived = !error.is_connect() && !error.is_builder();
        // The address is said already.
        let why = format!("{:#}", anyhow::Error::from(error.without_url()));
        Self::Unreached { base: base.to_owned(), why, perhaps_arrived }
    }

    pub(super) fn silent(base: &str) -> Self {
        Self::Unreached { base: base.to_owned(), why: "no answer came in time".to_owned(), perhaps_arrived: true }
    }

    /// The refusal, if it is one.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Unreached { .. } | Self::Other(_) => None,
        }
    }

    /// Whether a new token is all that is needed.
    pub(crate) fn wants_token(&self) -> bool {
        self.refusal().is_some_and(|refusal| matches!(refusal.code(), "TOKEN_EXPIRED" | "UNAUTHENTICATED"))
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Unreached { base, why, perhaps_arrived: false } => write!(f, "{base} cannot be reached: {why}"),
            Self::Unreached { base, why, perhaps_arrived: true } => write!(f, "{base} did not answer: {why}"),
            Self::Other(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for CallError {}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<anyhow::Error> for CallError {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}
