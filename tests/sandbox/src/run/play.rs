//! One job from waiting to its end.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::ansible::{Order, Play};
use super::hosts;
use super::narrator::{Narrator, Telling};
use super::report::Reporter;
use super::simulated::{self, End};
use crate::app::{App, Engine, lock};
use crate::state::State;
use crate::state::job::{Job, Status};

const WAITING: Duration = Duration::from_millis(200);
/// Silence after which what was printed so far is filed.
const SILENCE: Duration = Duration::from_millis(100);
/// Silence after which even a late event arrives.
const LONG_SILENCE: Duration = Duration::from_millis(700);
/// Events are complete only a moment after the job is over.
const EVENTS_LAG: Duration = Duration::from_millis(150);

enum Outcome {
    Ended(Status),
    /// Not over, and nothing to do until somebody ends it or its time is up.
    Hangs(Duration),
    TimedOut,
    Broken(String),
}

/// Runs one job. On the sandbox's stop it returns at once; what was running is then marked as interrupted.
pub(crate) async fn run(app: Arc<App>, id: u64, switch: CancellationToken) {
    let outcome = tokio::select! {
        () = app.stop.cancelled() => return,
        () = switch.cancelled() => Outcome::Ended(Status::Canceled),
        // Apart, so that a run that hangs holds no more than this.
        outcome = Box::pin(work(&app, id)) => outcome,
    };
    let outcome = match outcome {
        Outcome::Hangs(limit) => tokio::select! {
            () = app.stop.cancelled() => return,
            () = switch.cancelled() => Outcome::Ended(Status::Canceled),
            () = tokio::time::sleep(limit) => Outcome::TimedOut,
        },
        over @ (Outcome::Ended(_) | Outcome::TimedOut | Outcome::Broken(_)) => over,
    };
    app.change(|state| end(state, id, outcome));
    tokio::select! {
        () = tokio::time::sleep(app.pace(EVENTS_LAG)) => {}
        () = app.stop.cancelled() => {}
    }
    app.change(|state| {
        // After a restore its id may be another run's, which is not over.
        if let Some(job) = state.jobs.get_mut(&id)
            && !job.reaped
            && !job.status.is_active()
        {
            job.event_processing_finished = true;
        }
    });
}

/// What came of the work; whoever ended the run before had the last word about it.
fn end(state: &mut State, id: u64, outcome: Outcome) {
    state.schedule.forget_switch(id);
    let Some(job) = state.jobs.get_mut(&id) else { return };
    job.at_work = false;
    if !job.status.is_active() {
        return;
    }
    let status = match outcome {
        Outcome::Ended(status) => status,
        Outcome::Hangs(_) | Outcome::TimedOut => {
            explain(state, id, "Job terminated due to timeout", "");
            Status::Failed
        }
        Outcome::Broken(why) => {
            explain(state, id, "", &why);
            Status::Error
        }
    };
    state.turn(id, status);
}

fn explain(state: &mut State, id: u64, why: &str, traceback: &str) {
    if let Some(job) = state.jobs.get_mut(&id) {
        why.clone_into(&mut job.job_explanation);
        traceback.clone_into(&mut job.result_traceback);
    }
}

async fn work(app: &Arc<App>, id: u64) -> Outcome {
    tokio::time::sleep(app.pace(WAITING)).await;
    if lock(&app.faults).backwards() {
        app.change(|state| state.turn(id, Status::Running));
        tokio::time::sleep(app.pace(Duration::from_millis(600))).await;
        // Not `Pending`-and-queued again: only the status shows it, as with a quota in AWX.
        app.change(|state| state.turn(id, Status::Pending));
        tokio::time::sleep(app.pace(Duration::from_millis(1200))).await;
    }
    let started = app.change(|state| {
        state.turn(id, Status::Running);
        let job = state.jobs.get_mut(&id).filter(|job| job.status.is_active())?;
        job.engine = Some(app.engine.name().to_owned());
        job.starts += 1;
        job.at_work = true;
        let job = job.clone();
        let hosts = hosts::of(state, &job);
        Some((job, hosts))
    });
    let Some((job, hosts)) = started else { return Outcome::Ended(Status::Canceled) };
    if let Some(verdict) = job.verdict {
        return Outcome::Ended(verdict);
    }
    let mut reporter = Reporter::new(Arc::clone(app), id);
    reporter.tell(Telling { event: "playbook_on_start", ..Telling::default() });
    let limit = limit_of(&job);
    let ended = match &app.engine {
        _ if job.playbook == "errors.yml" => Ok(Outcome::Broken(
            "Traceback (most recent call last):\nRuntimeError: The execution environment could not be pulled."
                .to_owned(),
        )),
        Engine::Ansible(program) => tokio::time::timeout(limit, play(app, program, &job, hosts, &mut reporter)).await,
        Engine::Simulated => tokio::time::timeout(limit, simulate(app, &job, hosts, &mut reporter)).await,
    };
    reporter.release();
    ended.unwrap_or(Outcome::TimedOut)
}

/// How long a job may run.
fn limit_of(job: &Job) -> Duration {
    match job.timeout {
        seconds if seconds > 0 => Duration::from_secs(seconds.unsigned_abs()),
        _ => Duration::from_secs(86_400),
    }
}

async fn simulate(app: &App, job: &Job, hosts: Vec<String>, reporter: &mut Reporter) -> Outcome {
    let begun = Instant::now();
    let hosts = hosts::limited(hosts, &job.limit);
    let script = simulated::script(&job.playbook, &hosts, &job.extra_vars, &job.secrets);
    let mut narrator = Narrator::default();
    for (pause, line) in script.lines {
        if !pause.is_zero() {
            if let Some(told) = narrator.flush() {
                reporter.tell(told);
            }
            if pause >= LONG_SILENCE {
                reporter.release();
            }
            tokio::time::sleep(app.pace(pause)).await;
        }
        if let Some(told) = narrator.line(&line) {
            reporter.tell(told);
        }
    }
    if let Some(told) = narrator.finish() {
        reporter.tell(told);
    }
    match script.end {
        End::Successful => Outcome::Ended(Status::Successful),
        End::Failed => Outcome::Ended(Status::Failed),
        End::Hangs => {
            reporter.release();
            Outcome::Hangs(limit_of(job).saturating_sub(begun.elapsed()))
        }
    }
}

async fn play(app: &App, program: &Path, job: &Job, hosts: Vec<String>, reporter: &mut Reporter) -> Outcome {
    let order = Order {
        playbook: job.playbook.clone(),
        hosts,
        limit: job.limit.clone(),
        tags: job.job_tags.clone(),
        skip_tags: job.skip_tags.clone(),
        check: job.job_type == "check",
        diff: job.diff_mode,
        verbosity: job.verbosity,
        forks: job.forks,
        vars: job.extra_vars.clone(),
        secrets: job.secrets.clone(),
        pause: 0.6 / app.speed,
    };
    let mut play = match Play::start(program, &order) {
        Ok(play) => play,
        Err(error) => return Outcome::Broken(format!("{error:#}")),
    };
    let mut narrator = Narrator::default();
    loop {
        let next = tokio::select! {
            line = play.line() => Some(line),
            () = tokio::time::sleep(SILENCE) => None,
        };
        match next {
            Some(Ok(Some(line))) => {
                if let Some(told) = narrator.line(line.trim_end_matches('\r')) {
                    reporter.tell(told);
                }
            }
            Some(Ok(None)) => break,
            Some(Err(error)) => return Outcome::Broken(error.to_string()),
            None => match narrator.flush() {
                Some(told) => reporter.tell(told),
                // Silent for longer than one round: nothing may be kept waiting for an event that does not come.
                None => reporter.release(),
            },
        }
    }
    if let Some(told) = narrator.finish() {
        reporter.tell(told);
    }
    match play.end().await {
        Ok(status) if status.success() => Outcome::Ended(Status::Successful),
        Ok(_) => Outcome::Ended(Status::Failed),
        Err(error) => Outcome::Broken(error.to_string()),
    }
}
