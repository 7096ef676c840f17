//! The protocol of launching once, as pure transitions: what a job and its last attempt become when something is
//! learned. No clock, no store, no network: the caller has those, and writes the result in one transaction. The model
//! in `model` explores every order in which these can happen, with crashes between them.

#[cfg(test)]
mod model;

use std::time::Duration;

use runwarden_kit::Result;
use runwarden_kit::clock::Moment;

use crate::job::{Attempt, AttemptState};
use crate::job::{Condemned, Job, JobState, Run, reason};
use crate::launch::judging::Verdict;
use crate::launch::patience::Patience;
use crate::wait::limits::LimitScope;

/// How long after its intent a launch may still be sent. A process that was held up for longer sends nothing: by then
/// another executor may have concluded that it never would.
pub const SEND_WITHIN: Duration = Duration::from_secs(2);
/// How long a launch that is sent may take to connect.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How long the system may keep trying to deliver what was sent before it gives up the connection.
pub const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(5);
/// How long after its intent a launch can reach the controller at the latest: the three above, one after the other.
pub const DELIVERED_WITHIN: Duration = Duration::from_secs(10);
/// How soon to search for a launch whose answer was lost.
const LOOK_SOON: Duration = Duration::from_millis(500);
/// How often to look while it may still commit.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The longest pause between two looks when each reads all that a search may read and still does not see everything.
const LOOK_AGAIN_AT_MOST: Duration = Duration::from_secs(60);

/// What a worker that claimed a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Finds out what became of the last attempt. It launches nothing.
    Reconcile,
    /// Ends the job: it was cancelled and nothing of it is out.
    Cancel,
    /// Ends the job: it is too late to begin it, and nothing of it is out.
    Expire,
    /// Makes an attempt.
    Launch,
    /// Leaves it alone: it is over, bound, or a person's to decide.
    Nothing,
}

/// What to do with a claimed job.
#[must_use]
pub fn next_step(job: &Job, last: Option<&Attempt>, now: Moment) -> Step {
    if !matches!(job.state, JobState::New | JobState::Launching) {
        return Step::Nothing;
    }
    match last {
        Some(attempt) if attempt.is_open() => Step::Reconcile,
        Some(_) | None if job.cancel_requested => Step::Cancel,
        Some(_) | None if job.has_expired(now) => Step::Expire,
        Some(_) | None => Step::Launch,
    }
}

/// What else is going on, read in the same transaction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around {
    /// Whether another launch of the controller's template is open that could not be distinguished from this one.
    pub blocked: bool,
    /// What is full, and until when if only a period has to pass.
    pub full: Option<(LimitScope, Moment)>,
}

/// What became of beginning an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// The intent may be written, and after that the launch sent.
    Begun,
    /// Another launch blocks it.
    Blocked,
    /// A limit of jobs in progress, or of recent starts, has been reached; until when.
    Full(LimitScope, Moment),
    /// The claim was lost, or the job is cancelled, expired or ended, or has an open attempt.
    Lost,
}

/// Begins an attempt, under the fence of a claim. `last` is the attempt before it.
///
/// # Errors
/// `INTERNAL` if the job may not be launched from where it stands.
pub fn begin(
    job: &mut Job,
    last: Option<&Attempt>,
    attempt: &Attempt,
    fence: i64,
    around: &Around,
    now: Moment,
) -> Result<Beginning> {
    let mine = job.lease.fence == fence && job.attempts + 1 == attempt.number;
    if !mine || next_step(job, last, now) != Step::Launch {
        return Ok(Beginning::Lost);
    }
    if around.blocked {
        return Ok(Beginning::Blocked);
    }
    if job.state == JobState::New {
        // A job that has started keeps its place among the jobs in progress.
        if let Some((scope, until)) = around.full {
            return Ok(Beginning::Full(scope, until));
        }
        job.become_state(JobState::Launching)?;
        job.begun_at = Some(now);
    }
    job.attempts = attempt.number;
    job.attempt_open = true;
    job.progress = String::new();
    Ok(Beginning::Begun)
}

/// Whether a launch may still be sent at this moment.
#[must_use]
pub fn may_send(attempt: &Attempt, now: Moment) -> bool {
    now >= attempt.sent_at && now.since(attempt.sent_at) <= SEND_WITHIN
}

/// What the answer to a launch, or its absence, says.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It became this run; `condemned` if the run lacks part of the request.
    Launched {
        /// The run.
        run: Run,
        /// Why it must be stopped.
        condemned: Option<Condemned>,
        /// Whether the marker was let through.
        marker_took: bool,
    },
    /// Certainly nothing was launched.
    NotLaunched {
        /// Why not.
        why: String,
        /// How it goes on.
        then: Stop,
    },
    /// It may or may not have been launched.
    Unresolved {
        /// What happened.
        why: String,
        /// The run that the head of the answer named.
        named: Option<i64>,
    },
}

/// How much there is to write after a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Nothing: it came too late, or changes nothing.
    Nothing,
    /// The job alone, without notifying anyone.
    Quietly,
    /// The job and the attempt, with watchers notified and an audit entry.
    Aloud,
    /// The job does not change. But a stray run was found: its attempt had been settled without it. It is recorded and
    /// must be stopped.
    Stray,
}

/// An attempt's answer arrived. Facts need no fence: a launch that happened has happened, whichever worker holds the
/// claim now. `attempt` is none if a later one was begun meanwhile; `held` if another job has the run the answer names.
///
/// # Errors
/// `INTERNAL` if the job may not go where this leads.
pub fn answered(
    job: &mut Job,
    attempt: Option<&mut Attempt>,
    answer: Answer,
    held: bool,
    now: Moment,
) -> Result<Written> {
    let waits = matches!(job.state, JobState::Launching | JobState::Unknown);
    let current = attempt.filter(|attempt| waits && job.attempts == attempt.number && job.run.is_none());
    match (answer, current) {
        (Answer::Launched { run, .. }, Some(attempt)) if held => taken(job, attempt, run.id),
        (Answer::Launched { run, condemned, marker_took }, Some(attempt)) => {
            attempt.state = AttemptState::Bound { run_id: run.id };
            attempt.marker_took = Some(marker_took);
            job.bind(run, now)?;
            job.condemned = condemned;
            Ok(Written::Aloud)
        }
        (Answer::Launched { run, condemned, .. }, None) => {
            if !job.run.as_ref().is_some_and(|bound| bound.is(&run, job.launched_at)) {
                return Ok(Written::Stray);
            }
            if job.state == JobState::Running && job.condemned.is_none() && condemned.is_some() {
                // The reconciler was faster, but only the launch's own answer shows what was dropped.
                job.condemned = condemned;
                return Ok(Written::Quietly);
            }
            Ok(Written::Nothing)
        }
        (Answer::NotLaunched { why, then }, Some(attempt)) if attempt.is_open() && job.state == JobState::Launching => {
            attempt.state = AttemptState::NotLaunched { why };
            job.attempt_open = false;
            go_on(job, then, now)?;
            Ok(Written::Aloud)
        }
        (Answer::Unresolved { why, named }, Some(attempt)) if attempt.state == AttemptState::Intent => {
            attempt.state = AttemptState::Unresolved { why };
            attempt.named = named;
            job.progress = "the controller's answer was lost; finding out whether it was launched".into();
            job.due_at = Some(now.plus(LOOK_SOON));
            Ok(Written::Aloud)
        }
        (Answer::NotLaunched { .. } | Answer::Unresolved { .. }, _) => Ok(Written::Nothing),
    }
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What it says.
    pub verdict: Verdict,
    /// The run, should one be adopted.
    pub run: Option<Run>,
    /// What was sent and is missing from the run: the launch's own answer, which would have shown it, was lost.
    pub dropped: Vec<String>,
    /// Whether the search was cut off by its budget or could not read everything: it is expensive and is repeated less
    /// and less often.
    pub partial: bool,
}

/// A search was judged. `held` is whether another job has the run that is to be adopted.
///
/// # Errors
/// `INTERNAL` if the job may not go where this leads.
pub fn judged(job: &mut Job, attempt: &mut Attempt, finding: Finding, held: bool, now: Moment) -> Result<Written> {
    if job.state != JobState::Launching || job.attempts != attempt.number || !attempt.is_open() {
        return Ok(Written::Nothing);
    }
    match finding.verdict {
        Verdict::Adopt(id) => match finding.run.filter(|run| run.id == id && !held) {
            Some(run) => {
                attempt.state = AttemptState::Bound { run_id: id };
                job.bind(run, now)?;
                job.condemned = dropped(&finding.dropped);
                Ok(Written::Aloud)
            }
            None => taken(job, attempt, id),
        },
        Verdict::Wait(until) => {
            let pause = if finding.partial { growing_pause(job) } else { LOOK_AGAIN };
            job.due_at = Some(now.plus(pause).min(until.plus(Duration::from_millis(10))));
            job.progress = format!(
                "the controller's answer was lost; it may still launch until {}, so nothing is repeated before then",
                until.rfc3339()
            );
            Ok(Written::Quietly)
        }
        Verdict::Blind(until, why) => {
            job.due_at = Some(now.plus(LOOK_AGAIN).min(until.plus(Duration::from_millis(10))));
            job.progress = format!("nothing is known of its launch: {why}");
            Ok(Written::Quietly)
        }
        Verdict::Absent => {
            let why = "none of its runs appeared within the longest time a request can take".to_owned();
            attempt.state = AttemptState::NotLaunched { why };
            job.attempt_open = false;
            job.look_now();
            job.progress = "it was not launched; launching again".into();
            Ok(Written::Aloud)
        }
        Verdict::Ambiguous(runs) => {
            let detail = match runs.len() {
                1 => "The controller's answer was lost, and one of its runs may or may not be this job's.".to_owned(),
                n => format!("The controller's answer was lost and {n} of its runs could be this job's."),
            };
            park(job, attempt, runs, reason::AMBIGUOUS, &detail)
        }
        Verdict::Untraceable(why) => park(job, attempt, Vec::new(), reason::UNTRACEABLE, &why),
    }
}

/// How long to wait before a search is repeated that could not see everything; each one in a row doubles it.
fn growing_pause(job: &mut Job) -> Duration {
    let pause = LOOK_AGAIN.saturating_mul(1 << job.setbacks.min(8)).min(LOOK_AGAIN_AT_MOST);
    job.setbacks = job.setbacks.saturating_add(1);
    pause
}

/// Its run belongs to another job: no run is ever bound twice, and what was launched is not launched again.
fn taken(job: &mut Job, attempt: &mut Attempt, run: i64) -> Result<Written> {
    if job.state == JobState::Unknown {
        return Ok(Written::Nothing);
    }
    let detail = format!("It became run {run} on the controller, which is bound to another job.");
    park(job, attempt, vec![run], reason::AMBIGUOUS, &detail)
}

/// Leaves a job to a person.
fn park(job: &mut Job, attempt: &mut Attempt, runs: Vec<i64>, reason: &str, detail: &str) -> Result<Written> {
    job.become_state(JobState::Unknown)?;
    job.progress = String::new();
    job.reason = Some(reason.to_owned());
    job.reason_detail = Some(format!("{detail} An operator must decide."));
    attempt.state = AttemptState::Ambiguous { candidates: runs };
    Ok(Written::Aloud)
}

/// Why a run that lacks part of the request must be cancelled.
#[must_use]
pub fn dropped(names: &[String]) -> Option<Condemned> {
    (!names.is_empty()).then(|| Condemned {
        state: JobState::Error,
        reason: reason::FIELDS_IGNORED.into(),
        detail: format!(
            "The controller launched it without {}, so the run was cancelled: its template no longer prompts for that.",
            names.join(", ")
        ),
    })
}

/// What a person says about a job that is `unknown`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It became this run.
    Bind(Run),
    /// It was not launched.
    Retry,
    /// It cannot be found out.
    GiveUp,
}

/// Whether a person may say what became of an attempt: no machine can know, or none could find out although nothing can
/// come of it any more, for example because its controller's credential was deleted.
#[must_use]
pub fn may_be_resolved(job: &Job, attempt: &Attempt, patience: &Patience, now: Moment) -> bool {
    let open = job.attempts == attempt.number && attempt.is_open();
    let overdue = job.state == JobState::Launching && now >= patience.over_at(attempt);
    open && (job.state == JobState::Unknown || overdue)
}

/// A person decided. False if the job does not wait for that (any more).
///
/// # Errors
/// `INTERNAL` if the job may not go where this leads.
pub fn resolved(
    job: &mut Job,
    attempt: &mut Attempt,
    resolution: Resolution,
    why: &str,
    patience: &Patience,
    now: Moment,
) -> Result<bool> {
    if !may_be_resolved(job, attempt, patience, now) {
        return Ok(false);
    }
    match resolution {
        Resolution::Bind(run) => {
            attempt.state = AttemptState::Bound { run_id: run.id };
            job.bind(run, now)?;
        }
        Resolution::Retry => {
            attempt.state = AttemptState::NotLaunched { why: format!("an operator said so: {why}") };
            job.attempt_open = false;
            if job.state == JobState::Unknown {
                job.become_state(JobState::Launching)?;
            }
            (job.reason, job.reason_detail) = (None, None);
            job.setbacks = 0;
            job.look_now();
            job.progress = "it was not launched; launching again".into();
        }
        Resolution::GiveUp => {
            attempt.state = AttemptState::GivenUp { why: why.to_owned() };
            let detail = format!("It is not known whether it was launched, and an operator gave it up: {why}");
            job.end(JobState::Failed, now, Some((reason::GIVEN_UP, detail)))?;
        }
    }
    Ok(true)
}

/// Why a step ended without a launch being out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Try again later, after a pause that grows.
    Later(String),
    /// Try again as soon as its queue continues: what it needs is full or down, and the launcher knows.
    Yield(String),
    /// The job is over.
    End(JobState, &'static str, String),
}

/// A deadline passed while no worker held the job: true if it ended.
///
/// # Errors
/// `INTERNAL` if the job may not end.
pub fn expired(job: &mut Job, last: Option<&Attempt>, now: Moment) -> Result<bool> {
    if job.lease.holder.is_some() || next_step(job, last, now) != Step::Expire {
        return Ok(false);
    }
    job.end(JobState::Error, now, Some(too_late(job)))?;
    Ok(true)
}

/// What a waiting job was accepted for no longer holds: true if it ended.
///
/// # Errors
/// `INTERNAL` if the job may not end.
pub fn baseless(job: &mut Job, why: (&str, &str), now: Moment) -> Result<bool> {
    if job.lease.holder.is_some() || job.state != JobState::New {
        return Ok(false);
    }
    job.end(JobState::Error, now, Some((why.0, why.1.to_owned())))?;
    Ok(true)
}

/// The reason of a job that did not start in time.
#[must_use]
pub fn too_late(job: &Job) -> (&'static str, String) {
    let by = job.start_by.map(Moment::rfc3339).unwrap_or_default();
    (reason::EXPIRED, format!("It had not been started by {by}, so it was not launched."))
}

/// A step ended. Only who still holds the claim may say so, and only while no attempt is open: an end is an end.
///
/// # Errors
/// `INTERNAL` if the job may not go where this leads.
pub fn stopped(job: &mut Job, last: Option<&Attempt>, fence: i64, stop: Stop, now: Moment) -> Result<Written> {
    let mine = job.lease.fence == fence && matches!(job.state, JobState::New | JobState::Launching);
    if !mine {
        return Ok(Written::Nothing);
    }
    if matches!(stop, Stop::End(..)) && last.is_some_and(Attempt::is_open) {
        return Ok(Written::Nothing);
    }
    go_on(job, stop, now)?;
    Ok(Written::Aloud)
}

impl Stop {
    /// Why, in words.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::Later(why) | Self::Yield(why) | Self::End(_, _, why) => why,
        }
    }
}

fn go_on(job: &mut Job, stop: Stop, now: Moment) -> Result<()> {
    match stop {
        Stop::Later(why) => job.set_back(now, why),
        Stop::Yield(why) => {
            job.look_now();
            job.progress = why;
        }
        Stop::End(state, reason, detail) => job.end(state, now, Some((reason, detail)))?,
    }
    Ok(())
}

#[cfg(test)]
mod tests;
