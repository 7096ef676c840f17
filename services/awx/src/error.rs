use std::time::Duration;

use runwarden_kit::text::sentence;
use runwarden_kit::{Error, ErrorReason};

use super::{Refusal, TargetProblem};

/// Why a controller did not do what we asked of it. Says nothing secret: fit for callers and logs alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwxError {
    /// No connection came about; nothing was sent.
    Unreachable {
        /// What stood in the way.
        detail: String,
    },
    /// Connected, but no whole answer came in time.
    Timeout,
    /// It does not accept our credential (it never says why).
    Unauthorized,
    /// It knows us and says no. AWX also says so of things that exist but are not visible to us.
    Forbidden {
        /// In its own words.
        detail: String,
    },
    /// It has no such thing.
    NotFound {
        /// In its own words.
        detail: String,
    },
    /// It is being upgraded and answers nothing else meanwhile.
    Migrating,
    /// Something in front of it answered in its place: a proxy's page, a gateway's or a firewall's refusal. It says
    /// nothing about the request.
    InFront {
        /// The HTTP status.
        status: u16,
    },
    /// It, or a proxy in front of it, is limiting requests (429).
    Throttled {
        /// How long to leave it alone, where it says so.
        retry_after: Option<Duration>,
    },
    /// It understood and refused.
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its reasons.
        refusal: Refusal,
    },
    /// It failed.
    ServerError {
        /// The HTTP status.
        status: u16,
    },
    /// It answered with something we cannot make sense of.
    BadAnswer {
        /// What was odd about it.
        detail: String,
    },
    /// It is not its fault: as much is being read from controllers as may be at a time.
    Busy,
    /// Its answer is larger than we take.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

impl AwxError {
    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::BadAnswer { detail: detail.into() }
    }

    /// Whether the controller as a whole cannot be used now: it is down, or something else answers in its place. What
    /// is refused or not there for one request says nothing about others.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Timeout
            | Self::Migrating
            | Self::ServerError { .. }
            | Self::Throttled { .. }
            | Self::BadAnswer { .. } => true,
            // What is wrong is the length of one address, see `Runs`.
            Self::InFront { status } => *status != 414,
            Self::Unauthorized
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::Busy
            | Self::TooLarge { .. } => false,
        }
    }

    /// Whether it is AWX's own refusal of the request, which it understood. Nothing else may end what was accepted.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Forbidden { .. } | Self::NotFound { .. } | Self::Refused { .. } => true,
            Self::Unreachable { .. }
            | Self::Timeout
            | Self::Unauthorized
            | Self::Migrating
            | Self::InFront { .. }
            | Self::Throttled { .. }
            | Self::ServerError { .. }
            | Self::BadAnswer { .. }
            | Self::Busy
            | Self::TooLarge { .. } => false,
        }
    }

    /// How long it asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } => *retry_after,
            _ => None,
        }
    }

    /// Whether it does not accept our credential: nothing will be accepted before that is fixed.
    pub fn is_credential(&self) -> bool {
        match self {
            Self::Unauthorized => true,
            Self::Unreachable { .. }
            | Self::Timeout
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Migrating
            | Self::InFront { .. }
            | Self::Throttled { .. }
            | Self::Refused { .. }
            | Self::ServerError { .. }
            | Self::BadAnswer { .. }
            | Self::Busy
            | Self::TooLarge { .. } => false,
        }
    }
}

impl std::fmt::Display for AwxError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable { detail } => write!(f, "the controller cannot be reached: {detail}"),
            Self::Timeout => f.write_str("the controller did not answer in time"),
            Self::Unauthorized => f.write_str(
                "the controller does not accept Runwarden's credential (401): it may be wrong, expired or revoked",
            ),
            Self::Forbidden { detail } => {
                write!(f, "the controller does not allow Runwarden's account to do this (403): {detail}")
            }
            Self::NotFound { detail } => write!(f, "the controller did not find it (404): {detail}"),
            Self::Migrating => f.write_str("the controller is being upgraded and is not ready yet; try again later"),
            Self::InFront { status } => {
                write!(f, "something in front of the controller answered in its place ({status})")
            }
            Self::Throttled { .. } => {
                f.write_str("the controller, or a proxy in front of it, is limiting requests (429)")
            }
            Self::Refused { status, refusal } => write!(f, "the controller refused ({status}): {refusal}"),
            Self::ServerError { status } => write!(f, "the controller failed ({status})"),
            Self::BadAnswer { detail } => {
                write!(f, "the controller sent an unexpected response: {detail}")
            }
            Self::Busy => {
                f.write_str("Runwarden has reached its memory limit for reading from controllers; try again later")
            }
            Self::TooLarge { limit } => {
                write!(f, "the controller's answer is larger than {limit} bytes")
            }
        }
    }
}

impl std::error::Error for AwxError {}

/// The shortest `Retry-After` that a caller is given.
const SOONEST: Duration = Duration::from_secs(1);

impl From<AwxError> for Error {
    /// The error for a caller whose request needed the controller.
    fn from(error: AwxError) -> Self {
        let reason = match &error {
            AwxError::Unreachable { .. }
            | AwxError::Timeout
            | AwxError::Migrating
            | AwxError::Throttled { .. }
            | AwxError::ServerError { .. } => ErrorReason::ControllerUnreachable,
            AwxError::Busy => ErrorReason::Unavailable,
            AwxError::Unauthorized
            | AwxError::InFront { .. }
            | AwxError::Forbidden { .. }
            | AwxError::NotFound { .. }
            | AwxError::Refused { .. }
            | AwxError::BadAnswer { .. }
            | AwxError::TooLarge { .. } => ErrorReason::ControllerRefused,
        };
        let told = Self::new(reason, sentence(&error.to_string()));
        match error.retry_after() {
            Some(after) => told.with_retry_after(after.max(SOONEST)),
            None => told,
        }
    }
}

impl From<TargetProblem> for Error {
    fn from(problem: TargetProblem) -> Self {
        Self::invalid(problem.pointer, problem.detail)
    }
}
