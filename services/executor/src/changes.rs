//! The one way in which a job is changed. The store writes row, events, attempt and audit entries in one transaction;
//! only then, and only if it did, is counted, logged and woken what its effects name.

use std::time::Duration;

use runwarden_kit::Result;
use runwarden_kit::audit::Entry;
use runwarden_kit::clock::Moment;

use crate::failpoint::At;
use crate::job::{Job, Run, Stray};
use crate::shared::Shared;
use crate::store::{Acceptance, Accepted, Begin, Begun, Committed, Effects, JobChange, News};

/// The launcher need not be woken for a job that is due later than this: it looks for itself more often.
const SOON: Duration = Duration::from_secs(1);

impl Shared {
    /// Changes a job; none if there is no such job. The change is told whether another job has `run`.
    ///
    /// # Errors
    /// What the change answers, or when the store fails. Then nothing was counted and nobody woken.
    pub async fn change(
        &self,
        id: &str,
        now: Moment,
        run: Option<&Run>,
        change: &JobChange<'_>,
    ) -> Result<Option<Committed>> {
        let committed = self.store.change(id, now, run, change).await?;
        self.follow_up(committed.as_ref());
        Ok(committed)
    }

    /// As [`Shared::change`], where a test may have the process die just before it and just after it.
    ///
    /// # Errors
    /// As [`Shared::change`].
    pub async fn change_between(
        &self,
        (before, after): (At, At),
        id: &str,
        now: Moment,
        run: Option<&Run>,
        change: &JobChange<'_>,
    ) -> Result<Option<Committed>> {
        self.failpoint.pass(before);
        let committed = self.store.change(id, now, run, change).await?;
        self.failpoint.pass(after);
        self.follow_up(committed.as_ref());
        Ok(committed)
    }

    /// Makes a job durable, or finds the one an earlier request made.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn accept(&self, acceptance: Acceptance) -> Result<Accepted> {
        let job = acceptance.job.clone();
        self.failpoint.pass(At::SubmitBeforeCommit);
        let accepted = self.store.accept(acceptance).await?;
        if let Accepted::New(effects) = &accepted {
            self.failpoint.pass(At::SubmitAfterCommit);
            self.tell(&job, effects);
        }
        Ok(accepted)
    }

    /// Makes an attempt's intent durable.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn begin_attempt(&self, begin: Begin) -> Result<Begun> {
        let begun = self.store.begin_attempt(begin).await?;
        if let Begun::Yes(job, effects) = &begun {
            self.failpoint.pass(At::BeginAfter);
            self.tell(job, effects);
        }
        Ok(begun)
    }

    /// Forgets a stray run of a job, with the entry that says how it came to its end.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn settle_stray(&self, job: &Job, stray: &Stray, entry: Entry) -> Result<()> {
        if let Some(effects) = self.store.settle_stray(stray, entry).await? {
            self.tell(job, &effects);
        }
        Ok(())
    }

    fn follow_up(&self, committed: Option<&Committed>) {
        if let Some(Committed { job, effects: Some(effects) }) = committed {
            self.tell(job, effects);
        }
    }

    /// Counts, logs and wakes what effects name that are durable.
    fn tell(&self, job: &Job, effects: &Effects) {
        if let Some(stray) = &effects.stray {
            tracing::error!(job = job.id, run = stray.run.id, "a run was found that no job counts on; stopping it");
            metrics::counter!("runwarden_stray_runs_total").increment(1);
        }
        for news in &effects.news {
            self.pass_on(job, *news);
        }
        if effects.announced || effects.output.is_some() {
            self.live.ring(&job.id);
        }
        if !effects.entries.is_empty() {
            self.bell.ring();
        }
    }

    fn pass_on(&self, job: &Job, news: News) {
        match news {
            News::Accepted => {
                metrics::counter!("runwarden_jobs_accepted_total", "tenant" => job.tenant.to_string()).increment(1);
                tracing::info!(job = job.id, template = job.template, "job accepted");
                if job.due_at.is_some_and(|due| due <= self.clock.now().plus(SOON)) {
                    self.work.ring();
                }
            }
            News::Due => self.work.ring(),
            // What is settled may have made room for another. What only waits has not: were that taken for it, the wait
            // itself would have everything tried again at once.
            News::Learned => self.work.ring_ended(),
            News::Bound => {
                tracing::info!(job = job.id, run = job.run.as_ref().map(|run| run.id), "bound");
                self.watch.ring();
            }
            News::ToStop => self.watch.ring(),
            News::Finished => {
                metrics::counter!("runwarden_jobs_finished_total", "state" => job.state.name()).increment(1);
                tracing::info!(
                    job = job.id,
                    tenant = %job.tenant,
                    principal = job.requested_by,
                    state = job.state.name(),
                    reason = job.reason,
                    "job finished"
                );
                self.work.ring_ended();
            }
        }
    }
}

#[cfg(test)]
mod tests;
