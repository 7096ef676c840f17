//! Finding out what became of a launch whose answer was lost: look, compare, wait out what may still come, and only
//! then conclude. Never a guess, never a second launch on a guess.

use std::sync::Arc;

use runwarden_kit::Result;
use time::OffsetDateTime;

use crate::attempt::{Attempt, AttemptState, Candidate, Verdict, judge};
use crate::awx::{AwxError, Client, Found, LaunchBody, LaunchInput, Marker, RunRow, Search};
use crate::job::Job;
use crate::launcher::{Halt, Launcher};
use crate::ports::Template;
use crate::prepare;
use crate::protocol::{self, Stop};

impl Launcher {
    /// One look at what an open attempt may have become.
    pub(crate) async fn reconcile(&self, job: Job, attempt: Attempt) -> Result<(), Halt> {
        if let AttemptState::Ambiguous { .. } = attempt.state {
            return Err(Halt::Lost);
        }
        let Some(template) = self.templates.template(&job.tenant, &job.template).await? else {
            return Err(Stop::Later(
                "its template was removed while the launch was out; waiting for it to be found".into(),
            )
            .into());
        };
        if let Some(stop) = elsewhere(&template, &attempt) {
            return Err(stop.into());
        }
        let purpose = format!("find {}", job.id);
        let client = self.controllers.client(&template.controller, &purpose).await?;
        let (found, gap) = match self.search(&client, &attempt).await {
            Ok(found) => (found.rows().to_vec(), found.gap()),
            Err(error) => {
                if error == AwxError::Unauthorized {
                    self.controllers.forget(&job.tenant, &job.controller);
                }
                return Err(Stop::Later(format!("finding out whether it was launched: {error}")).into());
            }
        };
        let candidates = self.candidates(&job, &attempt, &template, &found).await?;
        let verdict = judge(&attempt, &self.patience, self.clock.now(), &candidates);
        // What was not seen may be it, too; only a marker is proof enough.
        if let Some(gap) = gap
            && !(attempt.is_marked() && matches!(verdict, Verdict::Adopt(_)))
        {
            return Err(Stop::Later(format!("finding out whether it was launched at the controller: {gap}")).into());
        }
        let adopted = match &verdict {
            Verdict::Adopt(id) => found.iter().find(|row| row.run.id == *id),
            Verdict::Wait(_) | Verdict::Absent | Verdict::Ambiguous(_) => None,
        };
        let kind = adopted.map_or("job", |row| row.run.kind.as_str());
        self.learn(&job.id, attempt.number, move |job, attempt, now| {
            protocol::judged(job, attempt, verdict, kind, now)
        })
        .await?;
        Ok(())
    }

    async fn search(&self, client: &Arc<Client>, attempt: &Attempt) -> Result<Found, AwxError> {
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
}

/// That nothing is found on another installation proves nothing about this launch: whoever moved the controller while
/// the launch was out has to say where it went.
fn elsewhere(template: &Template, attempt: &Attempt) -> Option<Stop> {
    let same = template.controller.installation() == attempt.installation
        && template.controller_template == attempt.controller_template;
    (!same).then(|| {
        Stop::Later(format!(
            "its launch went to template {} at {}, where the template no longer leads; waiting for it to be mapped \
             there again",
            attempt.controller_template, attempt.installation
        ))
    })
}

#[cfg(test)]
mod tests {
    use runwarden_kit::clock::Moment;

    use super::*;
    use crate::awx::Target;
    use crate::ports::Controller;
    use crate::test_doubles::template;

    #[test]
    fn a_launch_is_only_looked_for_where_it_was_sent() {
        let sent = template();
        let attempt = Attempt {
            job_id: "job_1".into(),
            number: 1,
            installation: sent.controller.installation(),
            controller_template: sent.controller_template,
            account: 1,
            marker: "rw_1-1".into(),
            placement: "none".into(),
            sent_at: Moment::from_micros(1),
            state: AttemptState::Unresolved { why: "cut".into() },
        };
        assert_eq!(elsewhere(&sent, &attempt), None);
        let target = Target { url: "http://127.0.0.1:2".into(), ..sent.controller.target.clone() };
        let moved = Template { controller: Controller { target, ..sent.controller.clone() }, ..sent.clone() };
        assert!(matches!(elsewhere(&moved, &attempt), Some(Stop::Later(_))));
        let other = Template { controller_template: 10, ..sent };
        assert!(matches!(elsewhere(&other, &attempt), Some(Stop::Later(_))));
    }
}
