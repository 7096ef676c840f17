//! The rules of the store, once for all engines: what is judged and written in one transaction, and what must not happen
//! at the same time. Engines know rows only.

mod executors;
mod jobs;
pub(super) mod queues;
mod strays;
mod watches;

use runwarden_kit::Result;
use runwarden_kit::clock::Moment;

use super::Effects;
use super::engine::{Engine, EventRow, Kept, Rows};
use crate::job::Job;

/// A store of jobs over an engine.
pub(crate) struct Kernel<E> {
    pub(super) engine: E,
}

impl<E: Engine> Kernel<E> {
    /// Over this engine.
    pub(super) const fn over(engine: E) -> Self {
        Self { engine }
    }
}

/// The events of a change, numbered in the job.
fn number(job: &mut Job, now: Moment, effects: &Effects) -> Vec<EventRow> {
    let mut events = Vec::new();
    if let Some(text) = effects.output.as_ref().filter(|text| !text.is_empty()) {
        job.last_event += 1;
        let output = Kept::Output { offset: job.output_bytes, text: text.clone() };
        job.output_bytes += text.len() as u64;
        events.push(EventRow { number: job.last_event, at: now, what: output });
    }
    if effects.announced {
        job.last_event += 1;
        // What was asked never changes: it is kept once, with the job, and not again with all that happens to it.
        let asked = (std::mem::take(&mut job.parameters), job.sealed_parameters.take());
        let state = Kept::State(Box::new(job.clone()));
        (job.parameters, job.sealed_parameters) = asked;
        events.push(EventRow { number: job.last_event, at: now, what: state });
    }
    events
}

/// Writes what a change brings beside the row of its job.
async fn bring(rows: &mut dyn Rows, job: &Job, events: &[EventRow], effects: &Effects) -> Result<()> {
    for event in events {
        rows.append_event(&job.id, event).await?;
    }
    if let Some(attempt) = &effects.attempt {
        rows.put_attempt(attempt).await?;
    }
    if let Some(stray) = &effects.stray {
        rows.put_stray(stray).await?;
    }
    rows.put_entries(&effects.entries).await
}

/// Writes a job over, with all that its change brings.
async fn save(rows: &mut dyn Rows, job: &Job, events: &[EventRow], effects: &Effects) -> Result<()> {
    rows.save_job(job).await?;
    bring(rows, job, events, effects).await
}
