use bytes::Bytes;

use super::http::Unanswered;
use super::run::RunRef;
use super::{AwxError, Client};

/// The result of cancelling a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelAnswer {
    /// The controller will try. The run may still end otherwise.
    Accepted,
    /// It is over already: read how.
    AlreadyFinished,
    /// There is no such run (any more), or our account cannot see it.
    Gone,
}

impl Client {
    /// Asks for a run to be stopped. Safe to repeat.
    pub async fn cancel(&self, run: RunRef) -> Result<CancelAnswer, AwxError> {
        let path = run.path().then("cancel");
        let answer = match self.http.post(&path, Bytes::from_static(b"{}")).await {
            Ok(answer) => answer,
            Err(Unanswered::NotSent(error)) => return Err(error),
            Err(Unanswered::Unknown(_)) => return Err(AwxError::Timeout),
        };
        match answer.status.as_u16() {
            // Only AWX itself knows of its runs.
            405 if answer.is_own() => Ok(CancelAnswer::AlreadyFinished),
            404 if answer.is_own() => Ok(CancelAnswer::Gone),
            200..=299 if answer.body.is_ok() && answer.is_page() => {
                Err(AwxError::bad("a web page in response to a cancellation"))
            }
            _ => answer.check().map(|()| CancelAnswer::Accepted),
        }
    }
}
