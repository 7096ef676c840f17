//! Finding out what became of a launch whose answer was lost: look, compare, wait out what may still come, and only
//! then conclude. Never a guess, never a second launch on a guess.

use std::sync::Arc;
use std::time::Duration;

use runwarden_kit::Result;
use runwarden_kit::audit::Outcome;
use time::OffsetDateTime;

use crate::attempt::{Attempt, AttemptState, Candidate, Verdict, judge};
use crate::awx::{AwxError, Client, LaunchBody, LaunchInput, Marker, RunRow, Search};
use crate::job::{Job, JobState, Run, reason};
use crate::launcher::{Launcher, Stop};
use crate::ports::Template;
use crate::prepare;
use crate::records;
use crate::store::Effects;

/// How often to look while a launch may still commit.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl Launcher {
    /// One look at what an open attempt may have become.
    pub(crate) async fn reconcile(&self, job: Job, attempt: Attempt) -> Result<(), Stop> {
        if let AttemptState::Ambiguous { .. } = attempt.state {
            return Err(Stop::Lost);
        }
        let Some(template) = self.templates.template(&job.tenant, &job.template).await? else {
            return Err(Stop::Later(
                "its template was removed while the launch was out; waiting for it to be found".into(),
            ));
        };
        let purpose = format!("find {}", job.id);
        let client = self.controllers.client(&template.controller, &purpose).await?;
        let found = match self.search(&client, &attempt).await {
            Ok(found) => found,
            Err(error) => {
                if error == AwxError::Unauthorized {
                    self.controllers.forget(&job.tenant, &job.controller);
                }
                return Err(Stop::Later(format!("finding out whether it was launched: {error}")));
            }
        };
        let candidates = self.candidates(&job, &attempt, &template, &found).await?;
        match judge(&attempt, &self.patience, self.clock.now(), &candidates) {
            Verdict::Adopt(id) => {
                let kind = found.iter().find(|row| row.run.id == id).map(|row| row.run.kind.as_str());
                let run = Run { installation: attempt.installation.clone(), kind: kind.unwrap_or("job").into(), id };
                tracing::info!(job = job.id, run = id, "a launch whose answer was lost has been found");
                self.bind_run(&job.id, attempt, run, None).await
            }
            Verdict::Wait(until) => self.wait(&job, until).await,
            Verdict::Absent => self.absent(&job, attempt).await,
            Verdict::Ambiguous(runs) => self.park(&job, attempt, runs).await,
        }
    }

    async fn search(&self, client: &Arc<Client>, attempt: &Attempt) -> Result<Vec<RunRow>, AwxError> {
        let earliest = self.patience.earliest(attempt).micros();
        let created_from = OffsetDateTime::from_unix_timestamp_nanos(i128::from(earliest) * 1000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        client.search(&Search { template: attempt.controller_template, account: attempt.account, created_from }).await
    }

    async fn candidates(
        &self,
        job: &Job,
        attempt: &Attempt,
        template: &Template,
        found: &[RunRow],
    ) -> Result<Vec<Candidate>> {
        let ids: Vec<i64> = found.iter().map(|row| row.run.id).collect();
        let bound = self.store.bound(&attempt.installation, &ids).await?;
        let marker = attempt.marker.strip_prefix("rw_").and_then(Marker::new);
        let body = self.sent_body(job, attempt, template, marker.as_ref()).await?;
        Ok(found
            .iter()
            .map(|row| Candidate {
                run_id: row.run.id,
                has_marker: marker.as_ref().is_some_and(|m| m.is_in(row, attempt.placement())),
                inputs_match: body.as_ref().is_some_and(|b| b.matches(row)),
                bound: bound.contains(&row.run.id),
            })
            .collect())
    }

    /// The request as it was sent, for comparison with what a run carries. Only a launch without a marker needs it.
    async fn sent_body(
        &self,
        job: &Job,
        attempt: &Attempt,
        template: &Template,
        marker: Option<&Marker>,
    ) -> Result<Option<LaunchBody>> {
        if attempt.is_marked() {
            return Ok(None);
        }
        let parameters = prepare::open_parameters(&*self.seals, job).await?;
        Ok(LaunchBody::build(LaunchInput {
            schema: &template.schema,
            parameters: &parameters,
            fixed: &template.fixed,
            marker: marker.filter(|_| attempt.is_marked()).map(|m| (m, attempt.placement())),
            default_skip_tags: "",
        })
        .ok())
    }

    async fn wait(&self, job: &Job, until: runwarden_kit::clock::Moment) -> Result<(), Stop> {
        let now = self.clock.now();
        let fence = job.lease.fence;
        let next = now.plus(LOOK_AGAIN).min(until.plus(Duration::from_millis(10)));
        let change = move |job: &mut Job| {
            if job.lease.fence != fence || job.state != JobState::Launching {
                return Ok(None);
            }
            job.due_at = Some(next);
            job.progress = format!(
                "the controller's answer was lost; it may still launch until {}, so nothing is repeated before then",
                until.rfc3339()
            );
            Ok(Some(Effects::default()))
        };
        self.store.update(&job.id, now, Box::new(change)).await?;
        Ok(())
    }

    /// It certainly did not happen: another attempt may begin.
    async fn absent(&self, job: &Job, attempt: Attempt) -> Result<(), Stop> {
        let now = self.clock.now();
        let why = "no run of it appeared within the longest time a request can take".to_owned();
        let attempt = Attempt { state: AttemptState::NotLaunched { why }, ..attempt };
        let clock = self.clock.clone();
        let change = move |job: &mut Job| {
            if job.state != JobState::Launching || job.attempts != attempt.number {
                return Ok(None);
            }
            job.due_at = Some(now);
            job.progress = "it was not launched; launching again".into();
            let entry = records::attempt(&*clock, job, &attempt, Outcome::Failed);
            Ok(Some(Effects::told().with_attempt(attempt).with_entry(entry)))
        };
        self.store.update(&job.id, now, Box::new(change)).await?;
        self.live.ring(&job.id);
        self.bell.ring();
        self.work.ring();
        Ok(())
    }

    /// No machine can know: a person must.
    async fn park(&self, job: &Job, attempt: Attempt, runs: Vec<i64>) -> Result<(), Stop> {
        let now = self.clock.now();
        let clock = self.clock.clone();
        let attempt = Attempt { state: AttemptState::Ambiguous { candidates: runs.clone() }, ..attempt };
        let change = move |job: &mut Job| {
            if job.state != JobState::Launching || job.attempts != attempt.number {
                return Ok(None);
            }
            job.become_state(JobState::Unknown)?;
            job.due_at = None;
            job.progress = String::new();
            job.reason = Some(reason::AMBIGUOUS.into());
            job.reason_detail = Some(format!(
                "The controller's answer was lost and {} of its runs could be this job's. A person must decide.",
                runs.len()
            ));
            let entries =
                vec![records::attempt(&*clock, job, &attempt, Outcome::Failed), records::finish(&*clock, job)];
            Ok(Some(Effects { entries, ..Effects::told().with_attempt(attempt) }))
        };
        self.store.update(&job.id, now, Box::new(change)).await?;
        self.live.ring(&job.id);
        self.bell.ring();
        Ok(())
    }
}
