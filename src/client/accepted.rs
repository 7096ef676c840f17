//! A job that was accepted: it continues whatever happens to the command that waits for its end.

use std::time::Duration;

use serde_json::Value;

use super::failure::{Exit, Failure};
use super::follow::follow;
use super::interrupt::unless_interrupted;
use super::view::View;
use crate::api::Api;
use crate::cli::Reach;

/// One of them, and how to come back to it.
pub(super) struct Accepted<'a> {
    api: &'a Api,
    id: &'a str,
    /// What to add to a command that is to go there too.
    repeated: String,
}

impl<'a> Accepted<'a> {
    pub(super) fn new(api: &'a Api, id: &'a str, reach: &Reach) -> Self {
        Self { api, id, repeated: reach.repeated() }
    }

    /// The command that follows it.
    pub(super) fn watch(&self) -> String {
        format!("runwarden jobs watch {}{}", self.id, self.repeated)
    }

    /// Follows it until it is over.
    ///
    /// # Errors
    /// When its end is not seen.
    pub(super) async fn until_over(&self, mut view: View, timeout: Option<Duration>) -> Result<Value, Failure> {
        let following = async {
            let following = follow(self.api, self.id, &mut view);
            match timeout {
                Some(limit) => tokio::time::timeout(limit, following).await.unwrap_or_else(|_| {
                    let limit = humantime::format_duration(limit);
                    Err(Failure::new(Exit::NotNow, format!("{} was not over after {limit}", self.id)))
                }),
                None => following.await,
            }
        };
        unless_interrupted(following, || Failure::new(Exit::Interrupted, "interrupted")).await
    }

    /// A failure of a command that only watches: if the job goes on, it says how to follow it again.
    pub(super) fn unseen(&self, failure: Failure) -> Failure {
        let failure = failure.with("job", self.id);
        match failure.exit {
            Exit::NotNow | Exit::NobodyReads | Exit::Interrupted => failure.hinting(&self.back()),
            _ => failure,
        }
    }

    /// A failure of the command that had the job accepted, whatever it is about. It must not look as if there were no
    /// job, or the job is run again.
    pub(super) fn survives(&self, failure: Failure) -> Failure {
        as_accepted(failure.with("job", self.id).hinting(&self.back()))
    }

    /// A failure of that command to show the job when it is over.
    pub(super) fn is_over(&self, failure: Failure) -> Failure {
        let hint = format!("  the job is over\n  show it:    runwarden jobs show {}{}", self.id, self.repeated);
        as_accepted(failure.with("job", self.id).hinting(&hint))
    }

    fn back(&self) -> String {
        let Self { id, repeated, .. } = self;
        format!("  the job goes on\n  follow it:  {}\n  stop it:    runwarden jobs cancel {id}{repeated}", self.watch())
    }
}

fn as_accepted(failure: Failure) -> Failure {
    match failure.exit {
        Exit::NobodyReads | Exit::Interrupted => failure,
        _ => failure.ending(Exit::Accepted),
    }
}
