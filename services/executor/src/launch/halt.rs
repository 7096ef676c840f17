//! Why a step with a claimed job ended without a launch being out.

use std::time::Duration;

use runwarden_kit::{Error, ErrorReason};

use crate::launch::authority::Denial;
use crate::launch::protocol::Stop;
use crate::wait::limits::LimitScope;
use crate::wait::scheduler::Goal;

/// Why a step ended without a launch being out.
pub enum Halt {
    /// For a reason that is written down.
    Stopped(Stop),
    /// Who asked for it could not ask for it any more.
    Denied(Box<Denial>),
    /// Nothing more may be started there for now.
    Held {
        /// Of what.
        scope: LimitScope,
        /// Its name.
        name: String,
        /// When a period has passed; none if something has to end.
        free_in: Option<Duration>,
    },
    /// Nothing more of its template may be launched before the launch in flight is settled.
    Blocked(Goal),
    /// Another worker has the job now.
    Lost,
    /// Something in Runwarden broke.
    Broken(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

/// What a job waits for when something in Runwarden failed.
pub(crate) fn waiting_for(error: &Error) -> String {
    match error.reason() {
        ErrorReason::Unavailable | ErrorReason::AuditUnavailable | ErrorReason::DeadlineExceeded => {
            format!("trying again later: {}", error.detail())
        }
        _ => "something in Runwarden failed; trying again".to_owned(),
    }
}
