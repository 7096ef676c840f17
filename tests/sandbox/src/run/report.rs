//! Files a run's events. Some arrive late and out of order, as they do from AWX's callback receiver.

use std::sync::Arc;

use super::narrator::Telling;
use crate::app::App;
use crate::state::job::Event;

/// Every fifth event waits for the one after it.
const LATE: u64 = 5;

/// Files the events of one job.
pub(crate) struct Reporter {
    app: Arc<App>,
    job: u64,
    late: Option<Event>,
}

impl Reporter {
    pub(crate) fn new(app: Arc<App>, job: u64) -> Self {
        Self { app, job, late: None }
    }

    /// Files one event, and the one that was held back before it.
    pub(crate) fn tell(&mut self, telling: Telling) {
        let Some(event) = self.number(telling) else { return };
        if event.counter % LATE == 0 && self.late.is_none() {
            self.late = Some(event);
            return;
        }
        self.arrive(event);
        self.release();
    }

    /// Lets go of what was held back.
    pub(crate) fn release(&mut self) {
        if let Some(event) = self.late.take() {
            self.arrive(event);
        }
    }

    fn number(&self, telling: Telling) -> Option<Event> {
        let mut state = self.app.read();
        // Of a run that was lost or ended nothing arrives any more.
        let created = state.now();
        let job = state.jobs.get_mut(&self.job).filter(|job| job.status.is_active())?;
        job.counter += 1;
        let start_line = job.lines;
        let ends = telling.lines.len().saturating_sub(usize::from(telling.open));
        job.lines += u64::try_from(ends).unwrap_or(0);
        Some(Event {
            id: 0,
            counter: job.counter,
            uuid: uuid::Uuid::new_v4().to_string(),
            event: telling.event.to_owned(),
            play: telling.play,
            task: telling.task,
            host: telling.host,
            failed: telling.failed,
            changed: telling.changed,
            stdout: telling.lines.join("\r\n"),
            start_line,
            end_line: job.lines,
            created,
        })
    }

    fn arrive(&self, event: Event) {
        let filed = self.app.read().arrive(self.job, event);
        if let (Some(event), Some(store)) = (filed, &self.app.store)
            && let Err(error) = store.append(self.job, &event)
        {
            tracing::error!(job = self.job, %error, "cannot store an event");
        }
    }
}
