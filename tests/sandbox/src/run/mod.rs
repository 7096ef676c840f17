//! The dispatcher: starts what is due, runs it on the engine there is, files what it prints.

pub(crate) mod ansible;
pub(crate) mod approvals;
pub(crate) mod hosts;
pub(crate) mod narrator;
pub(crate) mod play;
pub(crate) mod processes;
pub(crate) mod report;
pub(crate) mod simulated;
pub(crate) mod workflow;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::app::App;
use crate::state::State;
use crate::state::job::{Job, JobKind, Status};

/// After this long a blocked job says what it waits for.
const EXPLAIN_BLOCK: Duration = Duration::from_secs(30);

/// Runs until the sandbox stops. Between what is due it sleeps, however many runs are under way.
pub(crate) async fn dispatch(app: Arc<App>) {
    loop {
        let next = next_look(&app);
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = app.wake.notified() => {}
            () = sleep_until(next) => {}
        }
        while let Some(id) = due(&app) {
            look(&app, id);
        }
        while start_next(&app) {}
    }
}

async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}

/// While the dispatcher is down there is nothing to look at.
fn next_look(app: &App) -> Option<Instant> {
    let state = app.read();
    if state.dispatcher_down { None } else { state.schedule.next() }
}

fn due(app: &App) -> Option<u64> {
    let mut state = app.read();
    if state.dispatcher_down { None } else { state.schedule.take_due() }
}

fn look(app: &App, id: u64) {
    app.change_if(|state| match state.jobs.get(&id).filter(|job| job.status.is_active())?.kind {
        JobKind::Workflow => workflow::advance(state, id, app.speed),
        JobKind::Approval => approvals::look(state, id),
        JobKind::Job => queue_or_block(state, id, app.pace(EXPLAIN_BLOCK)),
    });
}

/// A job that waits either could start, or waits for another and says so after a while.
fn queue_or_block(state: &mut State, id: u64, explain_after: Duration) -> Option<()> {
    let job = state.jobs.get(&id).filter(|job| job.status == Status::Pending && !job.dispatched)?;
    let Some((blocker, template)) = blocker(state, job).zip(job.template) else {
        state.schedule.queue(id);
        return None;
    };
    state.schedule.block(id, template);
    let explain_at = state.schedule.waits_since(id)? + explain_after;
    if Instant::now() < explain_at {
        state.schedule.look_at(id, explain_at);
        return None;
    }
    state.jobs.get_mut(&id)?.job_explanation = format!("waiting for job-{blocker} to finish");
    Some(())
}

/// The job that one of a template without simultaneous runs has to wait for.
fn blocker(state: &State, job: &Job) -> Option<u64> {
    if job.allow_simultaneous || job.slice_count > 1 {
        return None;
    }
    state
        .schedule
        .active_of(job.template?)
        .filter_map(|id| state.jobs.get(&id))
        .find(|other| {
            other.id != job.id && other.kind == JobKind::Job && (other.id < job.id || other.status != Status::Pending)
        })
        .map(|other| other.id)
}

/// Starts the next job that could, if there is room for it.
fn start_next(app: &Arc<App>) -> bool {
    let started = app.change_if(|state| {
        if state.dispatcher_down {
            return None;
        }
        let id = state.schedule.take_queued(app.room)?;
        let job = state.jobs.get_mut(&id)?;
        job.job_explanation.clear();
        job.dispatched = true;
        state.turn(id, Status::Waiting);
        Some((id, state.schedule.begin(id)))
    });
    let Some((id, switch)) = started else { return false };
    app.tasks.spawn(play::run(Arc::clone(app), id, switch));
    true
}

/// Cancels a job or a workflow with all it started. False if it is over already.
pub(crate) fn cancel(app: &App, id: u64) -> bool {
    app.change(|state| cancel_in(state, id))
}

fn cancel_in(state: &mut State, id: u64) -> bool {
    let Some(job) = state.jobs.get_mut(&id).filter(|j| j.status.is_active()) else { return false };
    let mut under_way = Vec::new();
    if job.kind == JobKind::Workflow {
        for node in &mut job.nodes {
            match node.job {
                Some(run) => under_way.push(run),
                None => node.do_not_run = true,
            }
        }
        state.turn(id, Status::Canceled);
    } else if !job.dispatched {
        job.event_processing_finished = true;
        state.turn(id, Status::Canceled);
    }
    state.schedule.throw_switch(id);
    for run in under_way {
        cancel_in(state, run);
    }
    true
}
