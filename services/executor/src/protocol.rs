//! The protocol of launching once, as pure transitions: what a job and its last attempt become when something is
//! learned. No clock, no store, no network: whoever calls has those, and writes what comes out in one transaction.
//! The model in `protocol/model.rs` explores every order in which these can happen, with crashes between them.

#[cfg(test)]
mod model;

use std::time::Duration;

use runwarden_kit::Result;
use runwarden_kit::clock::Moment;

use crate::attempt::{Attempt, AttemptState, Verdict};
use crate::job::{Condemned, Job, JobState, Run, reason};

/// How long after its intent a launch may still be sent. A process that was held up for longer sends nothing: by then
/// somebody else may have concluded that it never would.
pub const SEND_WITHIN: Duration = Duration::from_secs(5);
/// How long a job that waits for others waits before it looks again.
const WAIT_FOR_OTHERS: Duration = Duration::from_secs(1);
/// How soon to look for a launch whose answer was lost.
const LOOK_SOON: Duration = Duration::from_millis(500);
/// How often to look while it may still commit.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What a worker that claimed a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Finds out what became of the last attempt. It launches nothing.
    Reconcile,
    /// Ends the job: it was cancelled and nothing of it is out.
    Cancel,
    /// Makes an attempt.
    Launch,
    /// Leaves it alone: it is over, bound, or a person's to decide.
    Nothing,
}

/// What to do with a claimed job.
#[must_use]
pub fn next_step(job: &Job, last: Option<&Attempt>) -> Step {
    if !matches!(job.state, JobState::New | JobState::Launching) {
        return Step::Nothing;
    }
    match last {
        Some(attempt) if attempt.is_open() => Step::Reconcile,
        Some(_) | None if job.cancel_requested => Step::Cancel,
        Some(_) | None => Step::Launch,
    }
}

/// What else is going on, read in the same transaction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around {
    /// Whether another launch of the controller's template is open that could not be told from this one.
    pub blocked: bool,
    /// How many jobs of the template are launching or running.
    pub active: u32,
    /// How many may be; 0 for no limit.
    pub max_concurrent: u32,
}

/// What became of beginning an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// The intent may be written, and after that the launch sent.
    Begun,
    /// Another launch stands in the way.
    Blocked,
    /// As many jobs of the template as may are under way.
    Full,
    /// The job is no longer the claimant's, or is cancelled, over, or has an open attempt.
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
    fence: u64,
    around: &Around,
) -> Result<Beginning> {
    let mine = job.lease.fence == fence && job.attempts + 1 == attempt.number;
    if !mine || next_step(job, last) != Step::Launch {
        return Ok(Beginning::Lost);
    }
    if around.blocked {
        return Ok(Beginning::Blocked);
    }
    if job.state == JobState::New {
        if around.max_concurrent > 0 && around.active >= around.max_concurrent {
            return Ok(Beginning::Full);
        }
        job.become_state(JobState::Launching)?;
    }
    job.attempts = attempt.number;
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
    /// It became this run; `condemned` if the run is not what was asked for.
    Launched {
        /// The run.
        run: Run,
        /// Why it must be stopped.
        condemned: Option<Condemned>,
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
    },
}

/// How much there is to write after a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Nothing: it came too late, or changes nothing.
    Nothing,
    /// The job alone, told to nobody.
    Quietly,
    /// The job and the attempt, told to watchers and to the audit log.
    Aloud,
}

/// An attempt's answer came. Facts need no fence: a launch that happened happened, whoever holds the claim by now.
///
/// # Errors
/// `INTERNAL` if the job may not go where this leads.
pub fn answered(job: &mut Job, attempt: &mut Attempt, answer: Answer, now: Moment) -> Result<Written> {
    let current = job.state == JobState::Launching && job.attempts == attempt.number;
    match answer {
        Answer::Launched { run, condemned } => {
            attempt.state = AttemptState::Bound { run_id: run.id };
            if current {
                job.bind(run, now)?;
                job.condemned = condemned;
                return Ok(Written::Aloud);
            }
            if job.run.as_ref() == Some(&run) && job.condemned.is_none() && condemned.is_some() {
                // The reconciler was faster, but only the launch's own answer tells what was dropped.
                job.condemned = condemned;
                return Ok(Written::Quietly);
            }
            Ok(Written::Nothing)
        }
        Answer::NotLaunched { why, then } if current => {
            attempt.state = AttemptState::NotLaunched { why };
            go_on(job, then, now)?;
            Ok(Written::Aloud)
        }
        Answer::Unresolved { why } if current => {
            attempt.state = AttemptState::Unresolved { why };
            job.progress = "the controller's answer was lost; finding out whether it was launched".into();
            job.due_at = Some(now.plus(LOOK_SOON));
            Ok(Written::Aloud)
        }
        Answer::NotLaunched { .. } | Answer::Unresolved { .. } => Ok(Written::Nothing),
    }
}

/// A search was judged. `kind` is the kind of the run, should one be adopted.
///
/// # Errors
/// `INTERNAL` if the job may not go where this leads.
pub fn judged(job: &mut Job, attempt: &mut Attempt, verdict: Verdict, kind: &str, now: Moment) -> Result<Written> {
    if job.state != JobState::Launching || job.attempts != attempt.number {
        return Ok(Written::Nothing);
    }
    match verdict {
        Verdict::Adopt(id) => {
            attempt.state = AttemptState::Bound { run_id: id };
            job.bind(Run { installation: attempt.installation.clone(), kind: kind.to_owned(), id }, now)?;
            Ok(Written::Aloud)
        }
        Verdict::Wait(until) => {
            job.due_at = Some(now.plus(LOOK_AGAIN).min(until.plus(Duration::from_millis(10))));
            job.progress = format!(
                "the controller's answer was lost; it may still launch until {}, so nothing is repeated before then",
                until.rfc3339()
            );
            Ok(Written::Quietly)
        }
        Verdict::Absent => {
            let why = "no run of it appeared within the longest time a request can take".to_owned();
            attempt.state = AttemptState::NotLaunched { why };
            job.due_at = Some(now);
            job.progress = "it was not launched; launching again".into();
            Ok(Written::Aloud)
        }
        Verdict::Ambiguous(runs) => {
            job.become_state(JobState::Unknown)?;
            job.due_at = None;
            job.progress = String::new();
            job.reason = Some(reason::AMBIGUOUS.into());
            job.reason_detail = Some(format!(
                "The controller's answer was lost and {} of its runs could be this job's. A person must decide.",
                runs.len()
            ));
            attempt.state = AttemptState::Ambiguous { candidates: runs };
            Ok(Written::Aloud)
        }
    }
}

/// Why a step ended without a launch being out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Try again later, after a pause that grows.
    Later(String),
    /// Try again in a moment: it waits for other jobs, not for something that is broken.
    Soon(String),
    /// The job is over.
    End(JobState, &'static str, String),
}

/// A step ended. Only who still holds the claim may say so, and only while no attempt is open: an end is an end.
///
/// # Errors
/// `INTERNAL` if the job may not go where this leads.
pub fn stopped(job: &mut Job, last: Option<&Attempt>, fence: u64, stop: Stop, now: Moment) -> Result<Written> {
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

fn go_on(job: &mut Job, stop: Stop, now: Moment) -> Result<()> {
    match stop {
        Stop::Later(why) => job.set_back(now, why),
        Stop::Soon(why) => {
            job.due_at = Some(now.plus(WAIT_FOR_OTHERS));
            job.progress = why;
        }
        Stop::End(state, reason, detail) => job.end(state, now, Some((reason, detail)))?,
    }
    Ok(())
}
