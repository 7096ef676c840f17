//! One job and the row its run has on the controller: what to do about it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use runwarden_awx::{CancelAnswer, Client, Ending, RunKind, RunStatus, RunSummary, Steps};
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use serde_json::{Value, json};

use super::steps;
use super::unlisted::Lookup;
use crate::failpoint::At;
use crate::job::{Condemned, Job, JobState, Run, moment, reason, time_of};
use crate::records;
use crate::shared::Shared;
use crate::store::Effects;

/// Why a run is lost: its id belongs to another run now.
pub(super) const REPLACED: &str = "The controller now has another run under this id: it was restored from a backup or set \
                        up anew. What this run did is not known.";
/// How long to try again to read the steps of a workflow that is over.
const STEPS_WITHIN: Duration = Duration::from_secs(120);
/// What an outcome says when what the run printed could not be read to its end in time.
const INCOMPLETE: &str = "events incomplete: some of what the run printed did not arrive in time or could not be read";
/// How often to repeat a run's cancellation.
pub(super) const CANCEL_AGAIN: Duration = Duration::from_secs(30);

/// What following needs.
pub(super) struct Follower {
    pub(super) shared: Shared,
    pub(super) output_limit: u64,
    pub(super) missing_limit: Duration,
}

impl Follower {
    /// Follows one job. True if something changed.
    pub(super) async fn follow(
        &self,
        client: &Arc<Client>,
        job: Job,
        row: Option<RunSummary>,
        closely: Closely,
    ) -> Result<bool> {
        let Some(run) = job.run.clone() else { return Ok(false) };
        let row = match row {
            Some(row) => row,
            None => match self.unlisted(client, &job, &run).await? {
                Lookup::There(row) => *row,
                Lookup::Noted(changed) => return Ok(changed),
            },
        };
        // Nothing of a stranger's is taken for the job's, and nothing is done to it.
        if !run.is_shown_by(&row, job.launched_at) {
            return self.missing(&job, REPLACED).await;
        }
        let Some(ending) = row.ending() else {
            let told = self.told_progress(client, &job, &row, closely.steps).await;
            let mut changed = self.note(&job, &row, told, None).await?;
            changed |= self.stop_if_due(client, &job, &run).await?;
            if closely.output {
                changed |= self.read_output(client, &job, &run).await?;
            }
            return Ok(changed);
        };
        // Since when the last of its output is waited for.
        let ended_since = job.ended_since.unwrap_or_else(|| self.shared.clock.now());
        let mut changed = self.note(&job, &row, progress(&row).into_owned(), Some(ended_since)).await?;
        let (news, is_read) = self.read_last(client, &job, &run, &row, ending, ended_since).await?;
        changed |= news;
        if is_read && let Some(steps) = self.last_steps(client, &job, &row).await? {
            self.finish(&job, &row, ending, &steps).await?;
            return Ok(true);
        }
        Ok(changed)
    }

    /// The progress of a running run. The steps of a workflow are looked at only now and then; what they said last
    /// counts meanwhile.
    async fn told_progress(&self, client: &Client, job: &Job, row: &RunSummary, steps: bool) -> String {
        if is_noted(row, &job.progress) && !steps {
            return job.progress.clone();
        }
        if steps && may_wait(row) {
            match steps::waits_for(client, row.run).await {
                Ok(Some(waits)) => return waits,
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(job = job.id, %error, "the steps of a workflow could not be looked at");
                    if is_noted(row, &job.progress) {
                        return job.progress.clone();
                    }
                }
            }
        }
        progress(row).into_owned()
    }

    /// The steps of a run that has ended; empty for a job template. `None` while they may still be read another time.
    async fn last_steps(&self, client: &Client, job: &Job, row: &RunSummary) -> Result<Option<Steps>> {
        if row.run.kind != RunKind::Workflow {
            return Ok(Some(Steps::default()));
        }
        match client.steps(row.run).await {
            Ok(steps) => Ok(Some(steps)),
            Err(error) => {
                tracing::warn!(job = job.id, %error, "the steps of a workflow could not be read");
                let now = self.shared.clock.now();
                let waited = now.since(job.ended_since.unwrap_or(now));
                let steps = Steps { cut: true, ..Steps::default() };
                Ok((error.is_refusal() || waited >= STEPS_WITHIN).then_some(steps))
            }
        }
    }

    /// Records what the controller reports of a run, and since when it is known to be over.
    async fn note(&self, job: &Job, row: &RunSummary, progress: String, ended_since: Option<Moment>) -> Result<bool> {
        // Runs that an earlier version bound are known by when they were made from their first sight on.
        let made = row.created.map(moment).filter(|_| job.run.as_ref().is_some_and(|run| run.created.is_none()));
        let seen = job.missing_since.is_none() && job.hidden_since.is_none();
        let is_news = job.ended_since.is_none() && ended_since.is_some();
        if job.progress == progress && seen && made.is_none() && !is_news {
            return Ok(false);
        }
        let now = self.shared.clock.now();
        let change = |job: &mut Job, _, _| {
            if job.state != JobState::Running {
                return Ok(None);
            }
            if let Some(run) = job.run.as_mut().filter(|_| made.is_some()) {
                run.created = made;
            }
            job.missing_since = None;
            job.hidden_since = None;
            job.ended_since = job.ended_since.or(ended_since);
            job.progress.clone_from(&progress);
            Ok(Some(Effects::announced()))
        };
        self.shared.change(&job.id, now, None, &change).await?;
        Ok(true)
    }

    /// Asks the controller to cancel a run whose state is not known, if it can at least be identified: under its id may
    /// be a stranger's run.
    pub(super) async fn stop_unseen(&self, client: &Client, job: &Job) -> Result<bool> {
        let Some(run) = job.run.clone() else { return Ok(false) };
        let Some(made) = run.created else { return self.stop_if_due(client, job, &run).await };
        match client.is_there(run.to_ref(), time_of(made)).await {
            Ok(true) => self.stop_if_due(client, job, &run).await,
            // It is not listed. What that means is found out by asking for it by itself.
            Ok(false) => Ok(false),
            Err(error) => {
                tracing::warn!(job = job.id, %error, "the run cannot be identified for certain, so it is not stopped");
                Ok(false)
            }
        }
    }

    /// Asks the controller to cancel a run on a caller's request or because of a limit.
    async fn stop_if_due(&self, client: &Client, job: &Job, run: &Run) -> Result<bool> {
        let now = self.shared.clock.now();
        let over = u64::try_from(job.max_duration_seconds)
            .ok()
            .filter(|s| *s > 0)
            .is_some_and(|limit| job.launched_at.is_some_and(|at| now.since(at) > Duration::from_secs(limit)));
        let wanted = job.cancel_requested || job.condemned.is_some() || over;
        let lately = job.cancel_sent_at.is_some_and(|at| now.since(at) < CANCEL_AGAIN);
        if !wanted || lately {
            return Ok(false);
        }
        let limit = job.max_duration_seconds;
        let change = |job: &mut Job, _, _| {
            if job.state != JobState::Running {
                return Ok(None);
            }
            if over && !job.cancel_requested && job.condemned.is_none() {
                job.condemned = Some(Condemned {
                    state: JobState::Canceled,
                    reason: reason::DURATION_EXCEEDED.into(),
                    detail: format!("It ran longer than the {limit} seconds its template allows."),
                });
            }
            job.cancel_sent_at = Some(now);
            job.progress = "cancelling".into();
            Ok(Some(Effects::announced()))
        };
        self.shared.change(&job.id, now, None, &change).await?;
        let answer = client.cancel(run.to_ref()).await;
        self.shared.failpoint.pass(At::CancelAfter);
        match answer {
            // It has ended or was deleted: the next look shows which.
            Ok(CancelAnswer::Accepted | CancelAnswer::AlreadyFinished | CancelAnswer::Gone) => {}
            Err(error) => {
                tracing::warn!(job = job.id, %error, "the run could not be asked to stop; trying again");
            }
        }
        Ok(true)
    }

    /// The run is over and its output is kept: so is the job.
    async fn finish(&self, job: &Job, row: &RunSummary, ending: Ending, steps: &Steps) -> Result<()> {
        let now = self.shared.clock.now();
        let mut outcome = outcome_of(row);
        if row.run.kind == RunKind::Workflow {
            steps::tell(steps, &mut outcome);
        }
        let cause = steps::cause(steps).filter(|_| ending == Ending::Failed);
        let change = |job: &mut Job, _, _| {
            if job.state != JobState::Running {
                return Ok(None);
            }
            match &cause {
                Some((why, words)) if job.condemned.is_none() => {
                    job.end(JobState::Failed, now, Some((why, words.clone())))?;
                }
                _ => end(job, ending, &row.job_explanation, now)?,
            }
            job.outcome = Some(noted(outcome.clone(), job.may_lack_output()));
            Ok(Some(Effects::announced().finished(records::finish(now, job))))
        };
        let between = (At::WatchBeforeEnd, At::WatchAfterEnd);
        self.shared.change_between(between, &job.id, now, None, &change).await?;
        Ok(())
    }
}

/// How closely a running run is followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closely {
    /// Whether its output is read: a caller watches it.
    pub(super) output: bool,
    /// Whether a workflow's steps are looked at.
    pub(super) steps: bool,
}

/// Whether a workflow may be waiting for an approval.
pub(super) fn may_wait(row: &RunSummary) -> bool {
    row.run.kind == RunKind::Workflow && row.status == RunStatus::Running
}

/// Whether the recorded state of a run is still right, as far as its row shows.
pub(super) fn is_noted(row: &RunSummary, noted: &str) -> bool {
    progress(row) == noted || (may_wait(row) && noted.starts_with(steps::WAITING))
}

/// What is noted of a run.
pub(super) fn progress(row: &RunSummary) -> Cow<'static, str> {
    if row.job_explanation.is_empty() || row.status.is_end() {
        Cow::Borrowed(row.status.as_str())
    } else {
        Cow::Owned(format!("{}: {}", row.status.as_str(), row.job_explanation))
    }
}

/// Ends a job as its run ended, or as Runwarden had condemned it.
fn end(job: &mut Job, ending: Ending, explanation: &str, now: Moment) -> Result<()> {
    if let Some(condemned) = job.condemned.clone() {
        // A run that succeeded before it could be stopped has had its effect; what was wrong with it stays wrong.
        let state = if ending == Ending::Successful && condemned.reason == reason::DURATION_EXCEEDED {
            JobState::Succeeded
        } else {
            condemned.state
        };
        let why = (state != JobState::Succeeded).then_some((condemned.reason.as_str(), condemned.detail));
        return job.end(state, now, why);
    }
    let told = |fallback: &str| if explanation.is_empty() { fallback.to_owned() } else { explanation.to_owned() };
    match ending {
        Ending::Successful => job.end(JobState::Succeeded, now, None),
        Ending::Failed => job.end(
            JobState::Failed,
            now,
            Some((reason::PLAYBOOK_FAILED, told("The playbook failed; its output says why."))),
        ),
        Ending::Lost => {
            let detail = format!(
                "The controller lost the run ({}). Its playbook may still be running.",
                told("it gave no reason").trim_end_matches('.')
            );
            job.end(JobState::Failed, now, Some((reason::LOST, detail)))
        }
        Ending::Error => {
            job.end(JobState::Error, now, Some((reason::RUN_ERROR, told("The controller could not run it."))))
        }
        Ending::Canceled if job.cancel_requested => {
            job.end(JobState::Canceled, now, Some((reason::CANCELED_BY_CALLER, "It was cancelled on request.".into())))
        }
        Ending::Canceled => job.end(
            JobState::Canceled,
            now,
            Some((reason::CANCELED_ON_CONTROLLER, told("It was cancelled on the controller."))),
        ),
    }
}

/// How a run's end is reported to a caller.
fn outcome_of(row: &RunSummary) -> Value {
    let time =
        |t: Option<time::OffsetDateTime>| t.and_then(|t| t.format(&time::format_description::well_known::Rfc3339).ok());
    json!({
        "status": row.status.as_str(),
        "started_at": time(row.started),
        "finished_at": time(row.finished),
        "elapsed_seconds": row.elapsed,
        "explanation": row.job_explanation,
    })
}

/// An outcome that says so if the events of its run are not all there: everybody who reads it is told, whether they look
/// at the output or not.
fn noted(mut outcome: Value, incomplete: bool) -> Value {
    if incomplete && let Some(outcome) = outcome.as_object_mut() {
        outcome.insert("note".into(), INCOMPLETE.into());
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::tests::example;

    #[test]
    fn an_outcome_says_in_words_that_events_are_missing() {
        assert_eq!(noted(json!({"status": "failed"}), false), json!({"status": "failed"}));
        let note = &noted(json!({"status": "failed"}), true)["note"];
        assert!(note.as_str().unwrap().starts_with("events incomplete: "), "{note}");
    }

    fn running() -> Job {
        Job { state: JobState::Running, ..example() }
    }

    fn ended(mut job: Job, ending: Ending, explanation: &str) -> (JobState, Option<String>) {
        end(&mut job, ending, explanation, Moment::from_micros(9)).expect("a running job can end");
        assert_eq!(job.finished_at, Some(Moment::from_micros(9)));
        (job.state, job.reason)
    }

    #[test]
    fn failed_lost_and_could_not_be_run_are_three_different_things() {
        let told = |state, reason: &str| (state, Some(reason.to_owned()));
        assert_eq!(ended(running(), Ending::Successful, ""), (JobState::Succeeded, None));
        assert_eq!(ended(running(), Ending::Failed, ""), told(JobState::Failed, reason::PLAYBOOK_FAILED));
        assert_eq!(ended(running(), Ending::Lost, "reaped"), told(JobState::Failed, reason::LOST));
        assert_eq!(ended(running(), Ending::Error, ""), told(JobState::Error, reason::RUN_ERROR));
    }

    #[test]
    fn who_stopped_a_run_can_be_told() {
        let mine = Job { cancel_requested: true, ..running() };
        assert_eq!(ended(mine.clone(), Ending::Canceled, "").1.as_deref(), Some(reason::CANCELED_BY_CALLER));
        assert_eq!(ended(running(), Ending::Canceled, "").1.as_deref(), Some(reason::CANCELED_ON_CONTROLLER));
        assert_eq!(ended(mine, Ending::Successful, "").0, JobState::Succeeded, "it ended before it could be stopped");
    }

    #[test]
    fn a_run_that_dropped_what_was_asked_is_an_error_even_if_it_succeeds() {
        let condemned =
            Some(Condemned { state: JobState::Error, reason: reason::FIELDS_IGNORED.into(), detail: "limit".into() });
        let job = Job { condemned, ..running() };
        assert_eq!(ended(job, Ending::Successful, ""), (JobState::Error, Some(reason::FIELDS_IGNORED.into())));
    }
}
