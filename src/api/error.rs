//! Why a call did not do what it was made for.

use std::fmt;

use super::Refusal;
use crate::terminal::plain;

/// Why a call did not do what it was made for, and whether it may have done it all the same.
#[derive(Debug)]
pub(crate) struct CallError {
    /// How the last try ended.
    pub(crate) why: Why,
    /// Whether some try of the call may have taken effect: its answer was lost, or did not settle the question.
    pub(crate) perhaps_done: bool,
}

/// How one try of a call ended.
#[derive(Debug)]
pub(crate) enum Why {
    /// It was answered with no.
    Refused(Box<Refusal>),
    /// There was no answer.
    Unreached {
        /// What was called.
        base: String,
        /// Why there was none.
        why: String,
        /// Whether the request may have arrived all the same.
        sent: bool,
    },
    /// Anything else: an answer that cannot be read, for example.
    Other(anyhow::Error),
}

impl CallError {
    pub(super) fn unreached(base: &str, error: reqwest::Error) -> Self {
        let sent = !error.is_connect() && !error.is_builder();
        // The address is said already.
        let why = format!("{:#}", anyhow::Error::from(error.without_url()));
        Self { why: Why::Unreached { base: base.to_owned(), why, sent }, perhaps_done: sent }
    }

    pub(super) fn silent(base: &str) -> Self {
        let why = "no answer came in time".to_owned();
        Self { why: Why::Unreached { base: base.to_owned(), why, sent: true }, perhaps_done: true }
    }

    /// An answer that cannot be read: nobody knows what it said.
    pub(super) fn unreadable(error: anyhow::Error) -> Self {
        Self { why: Why::Other(error), perhaps_done: true }
    }

    /// The refusal, if it is one.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match &self.why {
            Why::Refused(refusal) => Some(refusal),
            Why::Unreached { .. } | Why::Other(_) => None,
        }
    }

    /// Whether a new token is all that is needed.
    pub(crate) fn wants_token(&self) -> bool {
        self.refusal().is_some_and(|refusal| matches!(refusal.code(), "TOKEN_EXPIRED" | "UNAUTHENTICATED"))
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Refused(refusal) => refusal.fmt(f),
            Why::Unreached { base, why, sent: false } => write!(f, "{base} cannot be reached: {}", plain(why)),
            Why::Unreached { base, why, sent: true } => write!(f, "{base} did not answer: {}", plain(why)),
            Why::Other(error) => write!(f, "{}", plain(&format!("{error:#}"))),
        }
    }
}

impl std::error::Error for CallError {}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        Self { perhaps_done: !refusal.is_certain(), why: Why::Refused(Box::new(refusal)) }
    }
}

/// Something went wrong before anything was sent.
impl From<anyhow::Error> for CallError {
    fn from(error: anyhow::Error) -> Self {
        Self { why: Why::Other(error), perhaps_done: false }
    }
}
