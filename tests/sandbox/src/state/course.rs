//! The course of a job: onto the books, through its states, to its end or out of existence.

use std::time::Instant;

use super::State;
use super::job::{Event, Job, JobKind, Status};

const REAPED: &str = "Task was marked as running at system start up. The system must have not shut down properly, so it has been marked as failed.";
const SHUT_DOWN: &str = "Task was canceled due to receiving a shutdown signal.";

impl State {
    /// Puts a new job on the books.
    pub(crate) fn insert(&mut self, job: Job) {
        self.schedule.enter(job.id, job.template);
        self.jobs.insert(job);
    }

    /// Changes a job's state. What is over stays as it is.
    pub(crate) fn turn(&mut self, id: u64, status: Status) {
        let now = self.now();
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.status.is_active()) else { return };
        let before = job.status;
        job.turn(status, now);
        let (template, parent) = (job.template, job.parent);
        self.note_change(id, before);
        if !status.is_active() {
            self.leave(id, template, parent);
        }
    }

    /// Files an event under its job; its id is that of its arrival, not of its counter. Nothing arrives of a job that
    /// is over.
    pub(crate) fn arrive(&mut self, job: u64, mut event: Event) -> Option<Event> {
        let job = self.jobs.get_mut(&job).filter(|job| job.status.is_active())?;
        self.last_event += 1;
        event.id = self.last_event;
        job.events.push(event.clone());
        Some(event)
    }

    /// Ends a job on order, with all its steps. One that does not run yet ends so as soon as it runs.
    ///
    /// False if it is over and nothing of it is at work.
    pub(crate) fn finish(&mut self, id: u64, status: Status) -> bool {
        let Some(job) = self.jobs.get_mut(&id) else { return false };
        if !job.status.is_active() {
            let at_work = job.still_at_work();
            self.schedule.throw_switch(id);
            return at_work;
        }
        let mut steps = Vec::new();
        match job.kind {
            JobKind::Workflow => {
                for node in &mut job.nodes {
                    node.do_not_run |= node.job.is_none();
                    steps.extend(node.job);
                }
                job.event_processing_finished = true;
            }
            JobKind::Approval => {}
            JobKind::Job if job.at_work => {}
            JobKind::Job if status == Status::Canceled => job.event_processing_finished = !job.dispatched,
            JobKind::Job => {
                job.verdict = Some(status);
                return true;
            }
        }
        self.turn(id, status);
        self.schedule.throw_switch(id);
        for step in steps {
            self.finish(step, status);
        }
        true
    }

    /// The job is gone as if it had never been, also while it runs. The ledger remembers it.
    pub(crate) fn delete(&mut self, id: u64) -> Option<Job> {
        let job = self.jobs.remove(id)?;
        self.remember(&job);
        self.schedule.throw_switch(id);
        self.leave(id, job.template, job.parent);
        Some(job)
    }

    /// The database is put back to when this was the latest id: what came after is gone, and its ids will come again.
    /// False while the work of some of it has not come to its end yet: ask again.
    pub(crate) fn restore(&mut self, last_job: u64) -> bool {
        let gone: Vec<u64> = self.jobs.after(last_job).map(|job| job.id).collect();
        for id in gone {
            self.delete(id);
        }
        let done = !self.schedule.works_beyond(last_job);
        if done {
            self.last_job = self.last_job.min(last_job);
        }
        done
    }

    /// After an unclean stop: whatever was under way is failed, as AWX does at its start.
    pub(crate) fn reap(&mut self) {
        let active: Vec<(u64, Option<u64>)> =
            self.jobs.values().filter(|job| job.status.is_active()).map(|job| (job.id, job.template)).collect();
        for (id, template) in active {
            self.schedule.enter(id, template);
        }
        for id in self.under_way() {
            self.fail(id, REAPED, false);
        }
    }

    /// At an orderly stop, running jobs are told so.
    pub(crate) fn shut_down(&mut self) {
        for id in self.under_way() {
            self.fail(id, SHUT_DOWN, true);
        }
    }

    /// The dispatcher lost this one: it is failed the way AWX's reaper does it, and its events never count as
    /// complete. Its playbook goes on if it is at work and `goes_on`.
    pub(crate) fn reap_one(&mut self, id: u64, goes_on: bool) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.status.is_active() && job.dispatched) else { return };
        job.reaped = true;
        let goes_on = goes_on && job.at_work;
        self.fail(id, REAPED, false);
        if !goes_on {
            self.schedule.throw_switch(id);
        }
    }

    fn under_way(&self) -> Vec<u64> {
        self.schedule
            .active()
            .filter_map(|id| self.jobs.get(&id))
            .filter(|j| j.kind == JobKind::Job && j.status != Status::Pending)
            .map(|j| j.id)
            .collect()
    }

    fn fail(&mut self, id: u64, why: &str, complete: bool) {
        if let Some(job) = self.jobs.get_mut(&id).filter(|job| job.status.is_active()) {
            job.job_explanation = why.to_owned();
            job.event_processing_finished = complete;
        }
        self.turn(id, Status::Failed);
    }

    /// Whoever waited for this job is to be looked at.
    fn leave(&mut self, id: u64, template: Option<u64>, parent: Option<u64>) {
        self.schedule.leave(id, template);
        if let Some(parent) = parent {
            self.schedule.look_at(parent, Instant::now());
        }
    }
}
