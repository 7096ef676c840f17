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

    /// Whether the same request may well succeed later without anybody mending anything.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout | Self::Migrating | Self::ServerError { .. } => true,
            Self::Refused { status, .. } => matches!(status, 408 | 429),
            Self::Unauthorized
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::BadAnswer { .. }
            | Self::TooLarge { .. } => false,
        }
    }

    /// Whether the controller as a whole is not to be used now: it is away, or what stands in its place is not it. What
    /// is refused or not there for one request says nothing about others.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Timeout
            | Self::Migrating
            | Self::ServerError { .. }
            | Self::BadAnswer { .. } => true,
            // A proxy gave up waiting, or wants to be left alone for a while.
            Self::Refused { status, .. } => matches!(status, 408 | 429),
            Self::Unauthorized | Self::Forbidden { .. } | Self::NotFound { .. } | Self::TooLarge { .. } => false,
        }
    }

    /// Whether it does not accept our credential: nothing will be accepted before that is mended.
    pub fn is_credential(&self) -> bool {
        match self {
            Self::Unauthorized => true,
            Self::Unreachable { .. }
            | Self::Timeout
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Migrating
            | Self::Refused { .. }
            | Self::ServerError { .. }
            | Self::BadAnswer { .. }
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
                write!(f, "the controller forbids this to Runwarden's account (403): {detail}")
            }
            Self::NotFound { detail } => write!(f, "the controller has no such thing (404): {detail}"),
            Self::Migrating => f.write_str("the controller is being upgraded and not ready yet; try again later"),
            Self::Refused { status, refusal } => write!(f, "the controller refused ({status}): {refusal}"),
            Self::ServerError { status } => write!(f, "the controller failed ({status})"),
            Self::BadAnswer { detail } => {
                write!(f, "the controller's answer makes no sense: {detail}")
            }
            Self::TooLarge { limit } => {
                write!(f, "the controller's answer is larger than {limit} bytes")
            }
        }
    }
}

impl std::error::Error for AwxError {}

impl From<AwxError> for Error {
    /// What a caller is told when a call of theirs needed the controller.
    fn from(error: AwxError) -> Self {
        let reason = match error {
            AwxError::Unreachable { .. } | AwxError::Timeout | AwxError::Migrating | AwxError::ServerError { .. } => {
                ErrorReason::ControllerUnreachable
            }
            AwxError::Unauthorized
            | AwxError::Forbidden { .. }
            | AwxError::NotFound { .. }
            | AwxError::Refused { .. }
            | AwxError::BadAnswer { .. }
            | AwxError::TooLarge { .. } => ErrorReason::ControllerRefused,
        };
        Self::new(reason, sentence(&error.to_string()))
    }
}

impl From<TargetProblem> for Error {
    fn from(problem: TargetProblem) -> Self {
        Self::invalid(problem.pointer, problem.detail)
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}
