//! Finding out what became of a launch whose answer was lost: look, compare, wait out what may still come, and only
//! then conclude. Never a guess, never a second launch on a guess.

use std::sync::Arc;

use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use time::OffsetDateTime;

use crate::attempt::{Attempt, AttemptState, Candidate, Inputs, Marked, Sight, Verdict, in_sight, judge};
use crate::awx::{
    AwxError, Client, Found, LaunchBody, LaunchInput, Marker, RunRow, Search, Sighting, TemplateSight, asked_for,
};
use crate::failpoint::At;
use crate::job::Job;
use crate::launcher::{Halt, Launcher};
use crate::ports::{Controller, Template};
use crate::prepare;
use crate::protocol::{self, Finding, Stop};

/// How many runs a person is told of among which a lost launch may be.
const MOST_CANDIDATES: usize = 200;

impl Launcher {
    /// One look at what an open attempt may have become.
    pub(crate) async fn reconcile(&self, job: Job, attempt: Attempt) -> Result<(), Halt> {
        if let AttemptState::Ambiguous { .. } = attempt.state {
            return Err(Halt::Lost);
        }
        self.failpoint.pass(At::ReconcileBefore);
        let controller = match self.templates.controller(&job.tenant, &job.controller).await? {
            Some(controller) if controller.installation() == attempt.installation => controller,
            gone_or_moved => return self.nobody_to_ask(&job, &attempt, gone_or_moved.as_ref()).await,
        };
        let purpose = format!("find {}", job.id);
        let client = self.controllers.client(&controller, &purpose).await?;
        let sent = self.sent_body(&job, &attempt).await?;
        // Looked at before the search and after it: a right that was away only meanwhile must not make a run look
        // absent.
        let over = self.clock.now() >= self.patience.over_at(&attempt);
        let before = if over { self.sight(&client, &controller, &attempt).await? } else { Sight::Clear };
        let (found, before) = match self.search(&client, &attempt, sent.as_ref()).await {
            // AWX itself does not let our account look.
            Err(error) if error.is_refusal() => (Found::All(Vec::new()), Sight::Blind(error.to_string())),
            found => (self.told(&controller, found)?, before),
        };
        // What was created when nothing of this attempt could be any more is somebody else's.
        let latest = self.patience.latest(&attempt);
        let rows = found.rows().iter().filter(|row| row.created.is_none_or(|created| moment(created) <= latest));
        let rows: Vec<&Sighting<Likeness>> = rows.collect();
        let candidates = self.candidates(&attempt, &rows).await?;
        let verdict = judge(&attempt, &self.patience, self.clock.now(), &candidates);
        let verdict = match found.gap() {
            Some(gap) => seen_in_part(&attempt, verdict, &candidates, &found, &gap),
            None => verdict,
        };
        let sight = match (&verdict, before) {
            (Verdict::Absent, Sight::Clear) => self.sight(&client, &controller, &attempt).await?,
            (_, before) => before,
        };
        let verdict = in_sight(verdict, sight, &attempt, &self.patience, self.clock.now());
        let verdict = match verdict {
            // All of them would be no help to whoever decides.
            Verdict::Ambiguous(runs) => Verdict::Ambiguous(runs.into_iter().take(MOST_CANDIDATES).collect()),
            Verdict::Adopt(_) | Verdict::Wait(_) | Verdict::Blind(..) | Verdict::Absent | Verdict::Untraceable(_) => {
                verdict
            }
        };
        let adopted = match &verdict {
            Verdict::Adopt(id) => rows.iter().find(|row| row.run.id == *id).copied(),
            Verdict::Wait(_)
            | Verdict::Blind(..)
            | Verdict::Absent
            | Verdict::Ambiguous(_)
            | Verdict::Untraceable(_) => None,
        };
        let finding = Finding {
            kind: adopted.map_or("job", |row| row.run.kind.as_str()),
            dropped: adopted.map(|row| asked_for(row.note.dropped.clone())).unwrap_or_default(),
            verdict,
        };
        self.conclude(&job, &attempt, finding).await
    }

    /// What a look at a controller came to; what is no answer is waited out.
    fn told<T>(&self, controller: &Controller, look: Result<T, AwxError>) -> Result<T, Halt> {
        self.note(controller, &look)?;
        look.map_err(|error| Stop::Later(format!("finding out whether it was launched: {error}")).into())
    }

    /// Whether what a search does not find now can be counted as not there.
    async fn sight(&self, client: &Client, controller: &Controller, attempt: &Attempt) -> Result<Sight, Halt> {
        let seen = match client.sight(attempt.account, attempt.controller_template).await {
            // No account of its own, or one that may not even ask who it is.
            Err(error) if error.is_refusal() => Ok(TemplateSight::Hidden(error.to_string())),
            seen => seen,
        };
        Ok(match self.told(controller, seen)? {
            TemplateSight::Clear => Sight::Clear,
            TemplateSight::Hidden(why) => Sight::Blind(why),
            TemplateSight::Gone => {
                let template = attempt.controller_template;
                Sight::Blind(format!(
                    "template {template} is not there any more, and what it ran cannot be found by it"
                ))
            }
        })
    }

    /// That nothing is found elsewhere proves nothing: only where the launch was sent can anybody tell. Nobody can be
    /// asked there any more. That may be mended, so it is left to a person only when nothing can come any more.
    async fn nobody_to_ask(&self, job: &Job, attempt: &Attempt, moved: Option<&Controller>) -> Result<(), Halt> {
        let (to, template) = (&attempt.installation, attempt.controller_template);
        let why = match moved {
            None => format!("Its launch went to template {template} at {to}, and its controller was removed."),
            Some(elsewhere) => format!(
                "Its launch went to template {template} at {to}, and its controller is now {}.",
                elsewhere.installation()
            ),
        };
        if self.clock.now() < self.patience.over_at(attempt) {
            return Err(Stop::Later(why).into());
        }
        let verdict = Verdict::Untraceable(why);
        self.conclude(job, attempt, Finding { verdict, kind: "job", dropped: Vec::new() }).await
    }

    async fn conclude(&self, job: &Job, attempt: &Attempt, finding: Finding) -> Result<(), Halt> {
        self.failpoint.pass(At::ReconcileAfter);
        let written = self.learn(&job.id, attempt.number, job.lease.fence, None, move |job, attempt, now| {
            // A later attempt: what this one came to was settled by somebody else.
            attempt.map_or(Ok(protocol::Written::Nothing), |attempt| protocol::judged(job, attempt, finding, now))
        });
        written.await?;
        Ok(())
    }

    async fn search(
        &self,
        client: &Arc<Client>,
        attempt: &Attempt,
        sent: Option<&LaunchBody>,
    ) -> Result<Found<Likeness>, AwxError> {
        let earliest = self.patience.earliest(attempt).micros();
        let created_from = OffsetDateTime::from_unix_timestamp_nanos(i128::from(earliest) * 1000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let search = Search { template: attempt.controller_template, account: attempt.account, created_from };
        let marker = marker(attempt);
        client.search(&search, |row| Likeness::of(row, attempt, marker.as_ref(), sent)).await
    }

    async fn candidates(&self, attempt: &Attempt, found: &[&Sighting<Likeness>]) -> Result<Vec<Candidate>> {
        let ids: Vec<i64> = found.iter().map(|row| row.run.id).collect();
        let bound = self.store.bound(&attempt.installation, &ids).await?;
        let candidate = |row: &&Sighting<Likeness>| Candidate {
            run_id: row.run.id,
            marked: row.note.marked,
            inputs: row.note.inputs,
            bound: bound.contains(&row.run.id),
        };
        Ok(found.iter().map(candidate).collect())
    }

    /// The request as it was sent, for comparison with what a run carries. None if the template is no longer what it
    /// was sent under: then nobody knows any more what was sent.
    async fn sent_body(&self, job: &Job, attempt: &Attempt) -> Result<Option<LaunchBody>> {
        let template = self.templates.template(&job.tenant, &job.template).await?;
        let Some(template) = template.filter(|template| is_unchanged(template, job, attempt)) else { return Ok(None) };
        let parameters = prepare::open_parameters(&*self.seals, job).await?;
        let marker = marker(attempt);
        Ok(LaunchBody::build(LaunchInput {
            schema: &template.schema,
            parameters: &parameters,
            fixed: &template.fixed,
            marker: marker.as_ref().filter(|_| attempt.is_marked()).map(|m| (m, attempt.placement())),
            default_skip_tags: "",
        })
        .ok())
    }
}

/// How much a run looks like an attempt's: what is noted of it while its inputs are at hand.
#[derive(Clone, Debug)]
struct Likeness {
    marked: Marked,
    inputs: Inputs,
    /// What was sent and is not in it; of a run that may be adopted though something is.
    dropped: Vec<String>,
}

impl Likeness {
    fn of(row: &RunRow, attempt: &Attempt, marker: Option<&Marker>, sent: Option<&LaunchBody>) -> Self {
        let marked = if marker.is_some_and(|marker| marker.is_in(row, attempt.placement())) {
            Marked::Mine
        } else if Marker::any_in(row) {
            Marked::Other
        } else {
            Marked::No
        };
        let dropped = sent.map(|sent| sent.dropped_in(row));
        let inputs = match &dropped {
            Some(dropped) if dropped.is_empty() => Inputs::Match,
            Some(_) => Inputs::Differ,
            None => Inputs::Unknown,
        };
        let may_be_adopted = marked == Marked::Mine || attempt.named == Some(row.run.id);
        Self { marked, inputs, dropped: dropped.filter(|_| may_be_adopted).unwrap_or_default() }
    }
}

/// What a search says that did not see all there is: what was not seen may be the attempt's, too. Only a marker and the
/// controller's own word are proof enough. When nothing can come any more, it is a person's to look.
fn seen_in_part<N>(attempt: &Attempt, verdict: Verdict, seen: &[Candidate], found: &Found<N>, gap: &str) -> Verdict {
    match verdict {
        Verdict::Adopt(run) if attempt.is_marked() || attempt.named == Some(run) => verdict,
        Verdict::Wait(_) | Verdict::Blind(..) | Verdict::Untraceable(_) => verdict,
        Verdict::Adopt(_) | Verdict::Absent | Verdict::Ambiguous(_) => {
            let doubtful = seen.iter().filter(|c| !c.bound && c.marked != Marked::Other).map(|c| c.run_id);
            let mut runs: Vec<i64> = doubtful.collect();
            if let Found::Part { unreadable, .. } = found {
                runs.extend(unreadable);
            }
            tracing::warn!(job = attempt.job_id, gap, "not all runs could be seen among which a lost launch may be");
            Verdict::Ambiguous(runs)
        }
    }
}

fn marker(attempt: &Attempt) -> Option<Marker> {
    attempt.marker.strip_prefix("rw_").and_then(Marker::new)
}

/// Whether a template is still what an attempt was sent under.
fn is_unchanged(template: &Template, job: &Job, attempt: &Attempt) -> bool {
    template.launch_digest == job.launch_digest
        && template.controller_template == attempt.controller_template
        && template.controller.installation() == attempt.installation
}

/// A controller's time, as ours are written.
pub(crate) fn moment(time: OffsetDateTime) -> Moment {
    let micros = time.unix_timestamp_nanos().div_euclid(1000);
    Moment::from_micros(i64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::awx::Target;
    use crate::job::tests::example;
    use crate::test_doubles::template;

    #[test]
    fn inputs_are_compared_only_with_what_was_sent() {
        let sent = template();
        let job = Job { launch_digest: sent.launch_digest.clone(), ..example() };
        let attempt = Attempt {
            job_id: "job_1".into(),
            number: 1,
            installation: sent.controller.installation(),
            controller_template: sent.controller_template,
            account: 1,
            marker: "rw_1-1".into(),
            placement: "none".into(),
            sent_at: Moment::from_micros(1),
            controller_time: None,
            named: None,
            marker_took: None,
            state: AttemptState::Unresolved { why: "cut".into() },
        };
        assert!(is_unchanged(&sent, &job, &attempt));
        let target = Target { url: "http://127.0.0.1:2".into(), ..sent.controller.target.clone() };
        let moved = Template { controller: Controller { target, ..sent.controller.clone() }, ..sent.clone() };
        let other = Template { controller_template: 10, ..sent.clone() };
        let changed = Template { launch_digest: "other".into(), ..sent };
        for template in [moved, other, changed] {
            assert!(!is_unchanged(&template, &job, &attempt));
        }
    }
}
