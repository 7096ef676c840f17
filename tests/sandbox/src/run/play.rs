//! One job from waiting to its end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::ansible::{Order, Play};
use super::hosts;
use super::narrator::{Narrator, Telling};
use super::report::Reporter;
use super::simulated::{self, End};
use crate::app::{App, Engine, lock};
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
    TimedOut,
    Broken(String),
}

/// Runs one job. On the sandbox's stop it returns at once; what was running is then marked as interrupted.
pub(crate) async fn run(app: Arc<App>, id: u64) {
    let switch = app.cancel_switch(id);
    let outcome = tokio::select! {
        () = app.stop.cancelled() => return,
        () = switch.cancelled() => Outcome::Ended(Status::Canceled),
        outcome = work(&app, id) => outcome,
    };
    app.change(|state| {
        // The reaper may have been faster.
        if !state.jobs.get(&id).is_some_and(|job| job.status.is_active()) {
            return;
        }
        let status = match outcome {
            Outcome::Ended(status) => status,
            Outcome::TimedOut => {
                explain(state, id, "Job terminated due to timeout", "");
                Status::Failed
            }
            Outcome::Broken(why) => {
                explain(state, id, "", &why);
                Status::Error
            }
        };
        state.turn(id, status);
    });
    app.forget_switch(id);
    tokio::select! {
        () = tokio::time::sleep(app.pace(EVENTS_LAG)) => {}
        () = app.stop.cancelled() => {}
    }
    app.change(|state| {
        if let Some(job) = state.jobs.get_mut(&id)
            && !job.job_explanation.starts_with("Task was marked as running")
        {
            job.event_processing_finished = true;
        }
    });
}

fn explain(state: &mut crate::state::State, id: u64, why: &str, traceback: &str) {
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
        let job = state.jobs.get_mut(&id)?;
        job.engine = Some(app.engine.name().to_owned());
        job.starts += 1;
        let job = job.clone();
        let hosts = hosts::of(state, &job);
        Some((job, hosts))
    });
    let Some((job, hosts)) = started else { return Outcome::Ended(Status::Canceled) };
    let mut reporter = Reporter::new(Arc::clone(app), id);
    reporter.tell(Telling { event: "playbook_on_start", ..Telling::default() });
    let limit = match job.timeout {
        seconds if seconds > 0 => Duration::from_secs(seconds.unsigned_abs()),
        _ => Duration::from_secs(86_400),
    };
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

async fn simulate(app: &App, job: &Job, hosts: Vec<String>, reporter: &mut Reporter) -> Outcome {
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
            std::future::pending().await
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
