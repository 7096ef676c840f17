//! A run that is missing from the list. Lists leave out deleted runs and runs hidden from our account alike, so the run
//! is asked for by id; it is lost only when it has been proven deleted for long enough.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use runwarden_awx::{AwxError, Client, RunSummary, TemplateSight, Whereabouts};
use runwarden_kit::Result;

use super::follower::Follower;
use crate::job::{Job, JobState, Run, reason};
use crate::records;
use crate::store::Effects;

/// How soon one run is asked for again by itself.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How many of the runs in one list are asked for by themselves.
const AT_MOST: usize = 20;
/// After how long it does not matter any more when a run was last asked for.
const FORGET: Duration = Duration::from_secs(600);

/// Why a run is lost that is not there any more.
const DELETED: &str = "The run was deleted on the controller. Its outcome is unknown.";
/// Why nothing is known of a run that is there.
const HIDDEN: &str = "the controller hides the run from Runwarden's account";

/// When runs were last asked for by themselves.
#[derive(Default)]
pub(super) struct Asked(Mutex<HashMap<String, Instant>>);

impl Asked {
    /// Which of these jobs' runs to ask for now: those that wait longest, and not all at once.
    pub(super) fn due<'j>(&self, mut jobs: Vec<&'j str>, now: Instant) -> Vec<&'j str> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|_, at| now.saturating_duration_since(*at) < FORGET);
        jobs.retain(|job| asked.get(*job).is_none_or(|at| now.saturating_duration_since(*at) >= ASK_AGAIN));
        jobs.sort_by_key(|job| asked.get(*job).copied());
        jobs.truncate(AT_MOST);
        asked.extend(jobs.iter().map(|job| ((*job).to_owned(), now)));
        jobs
    }
}

/// What is known of a run that a list left out.
pub(super) enum Lookup {
    /// It is there after all.
    There(Box<RunSummary>),
    /// Something was noted, or nothing could be found out; whether anything changed.
    Noted(bool),
}

impl Follower {
    /// Asks for a run that the list left out.
    pub(super) async fn unlisted(&self, client: &Client, job: &Job, run: &Run) -> Result<Lookup> {
        let noted = match client.whereabouts(run.to_ref()).await {
            Ok(Whereabouts::There(row)) => return Ok(Lookup::There(row)),
            Ok(Whereabouts::Hidden) => self.hidden(job, HIDDEN).await?,
            Ok(Whereabouts::Gone) if self.is_doubtful(job) => match self.sight(client, job).await {
                Ok(TemplateSight::Clear | TemplateSight::Gone) => self.missing(job, DELETED).await?,
                Ok(TemplateSight::Hidden(why)) => self.hidden(job, &why).await?,
                Err(error) => unknown(job, &error),
            },
            Ok(Whereabouts::Gone) => self.missing(job, DELETED).await?,
            Err(error) => unknown(job, &error),
        };
        Ok(Lookup::Noted(noted))
    }

    /// Whether to check what our account may see before a run counts as deleted: it has been missing for so long that
    /// it is lost otherwise, or was hidden before.
    fn is_doubtful(&self, job: &Job) -> bool {
        let overdue = job.missing_since.is_some_and(|since| self.shared.clock.now().since(since) >= self.missing_limit);
        overdue || job.hidden_since.is_some()
    }

    /// Whether we are who launched the run, and may see its template.
    async fn sight(&self, client: &Client, job: &Job) -> std::result::Result<TemplateSight, AwxError> {
        match self.shared.store.last_attempt(&job.id).await {
            Ok(Some(attempt)) => client.sight(attempt.account, attempt.controller_template).await,
            // Nothing is concluded without a record.
            Ok(None) => Ok(TemplateSight::Hidden("none of its launches is on record".into())),
            Err(error) => {
                error.log();
                Ok(TemplateSight::Hidden("Runwarden's own records cannot be read right now".into()))
            }
        }
    }

    /// The run was deleted, or no controller can be asked about it any more: after a while it is lost.
    pub(super) async fn missing(&self, job: &Job, why: &'static str) -> Result<bool> {
        let (now, limit) = (self.shared.clock.now(), self.missing_limit);
        let change = |job: &mut Job, _, _| {
            if job.state != JobState::Running {
                return Ok(None);
            }
            job.hidden_since = None;
            let Some(since) = job.missing_since else {
                job.missing_since = Some(now);
                job.progress = format!("its run is missing on the controller; it counts as lost after {limit:?}");
                return Ok(Some(Effects::announced()));
            };
            if now.since(since) < limit {
                return Ok(None);
            }
            job.end(JobState::Failed, now, Some((reason::LOST, why.into())))?;
            Ok(Some(Effects::announced().finished(records::finish(now, job))))
        };
        let after = self.shared.change(&job.id, now, None, &change).await?;
        Ok(after.is_some_and(|after| after.job.state.is_end()))
    }

    /// Nothing can be said of the run: it may well be at work. True if that is news.
    async fn hidden(&self, job: &Job, why: &str) -> Result<bool> {
        let now = self.shared.clock.now();
        let since = job.hidden_since.unwrap_or(now);
        let progress = format!("nothing is known of its run since {}: {why}", since.rfc3339());
        if job.progress == progress && job.missing_since.is_none() {
            return Ok(false);
        }
        tracing::warn!(job = job.id, why, "nothing is known of a run");
        let change = |job: &mut Job, _, _| {
            if job.state != JobState::Running {
                return Ok(None);
            }
            job.missing_since = None;
            job.hidden_since = Some(since);
            job.progress.clone_from(&progress);
            Ok(Some(Effects::announced()))
        };
        self.shared.change(&job.id, now, None, &change).await?;
        Ok(true)
    }
}

/// The controller shows neither that it exists nor that it does not.
fn unknown(job: &Job, error: &AwxError) -> bool {
    tracing::warn!(job = job.id, %error, "a run that is not listed could not be asked for");
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_has_its_turn_and_none_is_asked_for_too_often() {
        let (asked, now) = (Asked::default(), Instant::now());
        let names: Vec<String> = (0..30).map(|n| format!("job_{n:02}")).collect();
        let all = || names.iter().map(String::as_str).collect::<Vec<_>>();
        let first = asked.due(all(), now);
        assert_eq!(first.len(), AT_MOST);
        let second = asked.due(all(), now);
        assert_eq!(second.len(), 10, "the others");
        assert!(first.iter().all(|job| !second.contains(job)));
        assert!(asked.due(all(), now + ASK_AGAIN / 2).is_empty());
        let third = asked.due(all(), now + ASK_AGAIN);
        assert_eq!(third.len(), AT_MOST);
    }
}
