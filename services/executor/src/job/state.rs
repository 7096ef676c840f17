//! Where a job stands, and where it may go from there.

use runwarden_proto::executor::v1 as wire;
use serde::{Deserialize, Serialize};

runwarden_kit::mirror! {
    /// Where a job stands.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum JobState = wire::JobState {
        /// Accepted and durable; not launched yet.
        New,
        /// Waiting for a person.
        AwaitingApproval,
        /// Being launched: an intent is durable, or was; what became of it may not be known.
        Launching,
        /// Bound to a run.
        Running,
        /// The run succeeded.
        Succeeded,
        /// The playbook failed, or the run was lost.
        Failed,
        /// Stopped on request.
        Canceled,
        /// It could not be run.
        Error,
        /// Whether it was launched cannot be determined automatically; an operator must decide.
        Unknown,
    }
}

impl JobState {
    /// Whether it is over for good.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled | Self::Error)
    }

    /// Whether a job may go from here to there.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::New => {
                matches!(next, Self::AwaitingApproval | Self::Launching | Self::Canceled | Self::Error)
            }
            Self::AwaitingApproval => matches!(next, Self::New | Self::Canceled | Self::Error),
            Self::Launching => {
                // `failed` only when a person gave up on finding out what became of its launch.
                matches!(next, Self::Running | Self::Failed | Self::Canceled | Self::Error | Self::Unknown)
            }
            Self::Running => matches!(next, Self::Succeeded | Self::Failed | Self::Canceled | Self::Error),
            Self::Unknown => {
                matches!(next, Self::Launching | Self::Running | Self::Failed | Self::Canceled | Self::Error)
            }
            Self::Succeeded | Self::Failed | Self::Canceled | Self::Error => false,
        }
    }

    /// For sentences: "it …".
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::New => "is waiting to be launched",
            Self::AwaitingApproval => "is awaiting approval",
            Self::Launching => "is being launched",
            Self::Running => "is running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "was canceled",
            Self::Error => "could not be run",
            Self::Unknown => "is in an unknown state",
        }
    }
}
