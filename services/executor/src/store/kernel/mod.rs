//! The rules of the store, once for all engines: what is judged and written in one transaction, and what must not happen
//! at the same time. Engines know rows only.

mod executors;
mod jobs;
mod places;
pub(super) mod queues;
mod strays;
mod told;
mod watches;

use runwarden_kit::clock::Moment;
use runwarden_kit::{Error, Result};

use super::Effects;
use super::engine::{Engine, EventRow, FoundBy, Kept, Rows};
use crate::job::Job;

/// A store of jobs over an engine.
pub(crate) struct Kernel<E> {
    pub(super) engine: E,
    places: places::Places,
}

impl<E: Engine> Kernel<E> {
    /// Over this engine.
    pub(super) fn over(engine: E) -> Self {
        Self { engine, places: places::Places::default() }
    }
}

/// What is written of a job that changes: made before its transaction where that is possible.
#[derive(Clone, Debug)]
struct Written {
    /// What it was found by before; none if it is new.
    before: Option<FoundBy>,
    job: Job,
    /// The job as JSON.
    document: String,
    events: Vec<EventRow>,
    effects: Effects,
}

impl Written {
    /// Numbers the events of a change in the job, and writes down both. `before` is what the job was found by, if it is
    /// not new.
    fn of(before: Option<FoundBy>, mut job: Job, now: Moment, effects: Effects) -> Result<Self> {
        let events = number(&mut job, now, &effects)?;
        let document = serde_json::to_string(&job).map_err(Error::internal)?;
        Ok(Self { before, job, document, events, effects })
    }

    /// Writes the job, with all that its acceptance or its change brings.
    async fn save(&self, rows: &mut dyn Rows) -> Result<()> {
        let Self { before, job, document, events, effects } = self;
        match before {
            None => rows.insert_job(job, document).await?,
            Some(before) => rows.save_job(before, job, document).await?,
        }
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
}

/// The events of a change, numbered in the job.
fn number(job: &mut Job, now: Moment, effects: &Effects) -> Result<Vec<EventRow>> {
    let mut events = Vec::new();
    if let Some(text) = effects.output.as_ref().filter(|text| !text.is_empty()) {
        job.last_event += 1;
        let output = Kept::Output { offset: job.output_bytes, text: text.clone() };
        job.output_bytes += text.len() as u64;
        events.push(EventRow { number: job.last_event, at: now, what: output });
    }
    if effects.announced {
        job.last_event += 1;
        events.push(EventRow { number: job.last_event, at: now, what: Kept::State(told::tell(job)?) });
    }
    Ok(events)
}
