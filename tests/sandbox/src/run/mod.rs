//! The dispatcher: starts what is due, runs it on the engine there is, files what it prints.

pub(crate) mod ansible;
pub(crate) mod hosts;
pub(crate) mod narrator;
pub(crate) mod play;
pub(crate) mod processes;
pub(crate) mod report;
pub(crate) mod simulated;
pub(crate) mod workflow;

use std::sync::Arc;
use std::time::Duration;

use crate::app::{App, Engine};
use crate::state::job::{Job, JobKind, Status};
use crate::state::{State, now};

const TICK: Duration = Duration::from_millis(25);
/// How long a launched job stays pending before the dispatcher looks at it.
const PENDING: Duration = Duration::from_millis(300);
/// After this long a blocked job says what it waits for.
const EXPLAIN_BLOCK: Duration = Duration::from_secs(30);

/// Runs until the sandbox stops.
pub(crate) async fn dispatch(app: Arc<App>) {
    loop {
        let idle = app.read().active.is_empty();
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = app.wake.notified(), if idle => {}
            () = tokio::time::sleep(TICK), if !idle => {}
        }
        if !app.read().dispatcher_down {
            tick(&app);
        }
    }
}

fn tick(app: &Arc<App>) {
    let ids: Vec<u64> = app.read().active.iter().copied().collect();
    for id in ids {
        let due = {
            let state = app.read();
            state.jobs.get(&id).map(|job| (job.kind, is_due(app, &state, job), explanation(app, &state, job)))
        };
        match due {
            Some((JobKind::Workflow, ..)) => workflow::advance(app, id),
            Some((JobKind::Job, true, _)) => {
                app.change(|state| {
                    if let Some(job) = state.jobs.get_mut(&id) {
                        job.job_explanation.clear();
                        job.dispatched = true;
                    }
                    state.turn(id, Status::Waiting);
                });
                app.tasks.spawn(play::run(Arc::clone(app), id));
            }
            Some((JobKind::Job, false, Some(why))) => app.change(|state| {
                if let Some(job) = state.jobs.get_mut(&id) {
                    job.job_explanation = why;
                }
            }),
            _ => {}
        }
    }
}

fn is_due(app: &App, state: &State, job: &Job) -> bool {
    job.status == Status::Pending
        && !job.dispatched
        && now() - job.created >= app.pace(PENDING)
        && blocker(state, job).is_none()
        && has_room(app, state)
}

/// The job that a template without simultaneous runs has to wait for.
fn blocker(state: &State, job: &Job) -> Option<u64> {
    if job.allow_simultaneous || job.slice_count > 1 {
        return None;
    }
    state
        .active
        .iter()
        .filter_map(|id| state.jobs.get(id))
        .find(|other| {
            other.id != job.id
                && other.kind == JobKind::Job
                && other.template == job.template
                && (other.id < job.id || other.status != Status::Pending)
        })
        .map(|other| other.id)
}

fn explanation(app: &App, state: &State, job: &Job) -> Option<String> {
    if job.status != Status::Pending || now() - job.created < app.pace(EXPLAIN_BLOCK) {
        return None;
    }
    let why = format!("waiting for job-{} to finish", blocker(state, job)?);
    (job.job_explanation != why).then_some(why)
}

fn has_room(app: &App, state: &State) -> bool {
    let room = match app.engine {
        Engine::Ansible(_) => 4,
        Engine::Simulated => 200,
    };
    let busy = state
        .active
        .iter()
        .filter_map(|id| state.jobs.get(id))
        .filter(|j| j.kind == JobKind::Job && j.status != Status::Pending)
        .count();
    busy < room
}

/// Cancels a job or a workflow with all it started. False if it is over already.
pub(crate) fn cancel(app: &App, id: u64) -> bool {
    let (under_way, found) = app.change(|state| {
        let Some(job) = state.jobs.get_mut(&id).filter(|j| j.status.is_active()) else {
            return (Vec::new(), false);
        };
        let mut under_way = Vec::new();
        if job.kind == JobKind::Workflow {
            for node in &mut job.nodes {
                match node.job {
                    Some(run) => under_way.push(run),
                    None => node.do_not_run = true,
                }
            }
            state.turn(id, Status::Canceled);
        } else if job.status == Status::Pending {
            job.event_processing_finished = true;
            state.turn(id, Status::Canceled);
        }
        (under_way, true)
    });
    if found {
        app.cancel_switch(id).cancel();
    }
    for run in under_way {
        cancel(app, run);
    }
    found
}
