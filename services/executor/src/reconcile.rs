//! Finding out what became of a launch whose answer was lost: look, compare, wait out what may still come, and only
//! then conclude. Never a guess, never a second launch on a guess.

use std::sync::Arc;
use std::time::Duration;

use runwarden_kit::Result;
use runwarden_kit::clock::Moment;

use crate::attempt::{Attempt, AttemptState, Candidate, Inputs, Marked, Sight, Verdict, doubted, in_sight, judge};
use crate::awx::{
    Ask, AwxError, Client, Found, Installation, LaunchBody, LaunchInput, Marker, RunRow, Search, Sighting,
    TemplateSight, asked_for,
};
use crate::failpoint::At;
use crate::job::{Job, Run, moment, time_of};
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
        let Some(controller) = self.templates.controller(&job.tenant, &job.controller).await? else {
            return self.nobody_to_ask(&job, &attempt, None).await;
        };
        let purpose = format!("find {}", job.id);
        let client = self.controllers.client(&controller, &purpose).await?;
        let mut here = self.installation(&controller, &client, Ask::Once).await?;
        if !here.is_same(&attempt.installation) {
            here = self.installation(&controller, &client, Ask::Afresh).await?;
        }
        if !here.is_same(&attempt.installation) {
            return self.nobody_to_ask(&job, &attempt, Some(&here)).await;
        }
        let sent = self.sent_body(&job, &attempt).await?;
        // Looked at before the search and after it: a right that was away only meanwhile must not make a run look
        // absent.
        let over = self.clock.now() >= self.patience.over_at(&attempt);
        let before = if over { self.sight(&client, &controller, &attempt).await? } else { Sight::Clear };
        let (found, before) = match self.search(&client, &attempt, sent.as_ref()).await {
            // AWX itself does not let our account look.
            Err(error) if error.is_refusal() => (Found::All(Vec::new()), Sight::Blind(error.to_string())),
            found => (self.told(&controller, &client, found)?, before),
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
        let doubt = match &verdict {
            Verdict::Absent => self.doubt(&controller, &client, &attempt).await?,
            Verdict::Adopt(_)
            | Verdict::Wait(_)
            | Verdict::Blind(..)
            | Verdict::Ambiguous(_)
            | Verdict::Untraceable(_) => None,
        };
        let verdict = match doubted(verdict, doubt) {
            // All of them would be no help to whoever decides.
            Verdict::Ambiguous(runs) => Verdict::Ambiguous(runs.into_iter().take(MOST_CANDIDATES).collect()),
            verdict => verdict,
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
            run: adopted.map(|row| Run::of(row, &attempt.installation)),
            dropped: adopted.map(|row| asked_for(row.note.dropped.clone())).unwrap_or_default(),
            verdict,
        };
        self.conclude(&job, &attempt, finding).await
    }

    /// What a look at a controller came to; what is no answer is waited out.
    fn told<T>(&self, controller: &Controller, client: &Arc<Client>, look: Result<T, AwxError>) -> Result<T, Halt> {
        self.note(controller, client, &look)?;
        look.map_err(|error| Stop::Later(format!("finding out whether it was launched: {error}")).into())
    }

    /// Whether what a search does not find now can be counted as not there.
    async fn sight(&self, client: &Arc<Client>, controller: &Controller, attempt: &Attempt) -> Result<Sight, Halt> {
        let seen = match client.sight(attempt.account, attempt.controller_template).await {
            // No account of its own, or one that may not even ask who it is.
            Err(error) if error.is_refusal() => Ok(TemplateSight::Hidden(error.to_string())),
            seen => seen,
        };
        Ok(match self.told(controller, client, seen)? {
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

    /// Why it proves nothing that a controller has no run of an attempt; none if it does. The controller that is asked
    /// must be the one the launch went to, now, and still know what it knew before the launch: one that was restored
    /// from an older backup has forgotten what it did since.
    async fn doubt(
        &self,
        controller: &Controller,
        client: &Arc<Client>,
        attempt: &Attempt,
    ) -> Result<Option<String>, Halt> {
        let here = self.installation(controller, client, Ask::Afresh).await?;
        // A copy of a database calls itself what the original does, and only the one that was asked has the launch.
        if !here.is_same(&attempt.installation) || here.address() != attempt.installation.address() {
            return Ok(Some(gone_elsewhere(attempt, Some(&here))));
        }
        // It tells whole seconds.
        let sent = attempt.controller_time.map_or(attempt.sent_at, |time| time.plus(Duration::from_secs(1)));
        let Some(known) = self.store.latest_run(&attempt.installation, sent).await? else { return Ok(None) };
        let remembers = self.told(controller, client, remembers(client, &known, sent).await)?;
        Ok((!remembers).then(|| {
            format!(
                "{here} does not know run {} any more, which was there before the launch: it may have been restored from \
                 an older backup, and have forgotten the launch, too.",
                known.id
            )
        }))
    }

    /// That nothing is found elsewhere proves nothing: only where the launch was sent can anybody tell. Nobody can be
    /// asked there any more. That may be mended, so it is left to a person only when nothing can come any more.
    async fn nobody_to_ask(&self, job: &Job, attempt: &Attempt, here: Option<&Installation>) -> Result<(), Halt> {
        let why = gone_elsewhere(attempt, here);
        if self.clock.now() < self.patience.over_at(attempt) {
            return Err(Stop::Later(why).into());
        }
        let verdict = Verdict::Untraceable(why);
        self.conclude(job, attempt, Finding { verdict, run: None, dropped: Vec::new() }).await
    }

    async fn conclude(&self, job: &Job, attempt: &Attempt, finding: Finding) -> Result<(), Halt> {
        self.failpoint.pass(At::ReconcileAfter);
        let run = finding.run.clone();
        let written = self.learn(&job.id, attempt.number, job.lease.fence, run, move |job, attempt, held, now| {
            // A later attempt: what this one came to was settled by somebody else.
            attempt.map_or(Ok(protocol::Written::Nothing), |attempt| protocol::judged(job, attempt, finding, held, now))
        });
        Ok(written.await?)
    }

    async fn search(
        &self,
        client: &Arc<Client>,
        attempt: &Attempt,
        sent: Option<&LaunchBody>,
    ) -> Result<Found<Likeness>, AwxError> {
        let created_from = time_of(self.patience.earliest(attempt));
        let search = Search { template: attempt.controller_template, account: attempt.account, created_from };
        let marker = Marker::of(&attempt.marker);
        client.search(&search, |row| Likeness::of(row, attempt, marker.as_ref(), sent)).await
    }

    async fn candidates(&self, attempt: &Attempt, found: &[&Sighting<Likeness>]) -> Result<Vec<Candidate>> {
        let ids: Vec<i64> = found.iter().map(|row| row.run.id).collect();
        let bound = self.store.bound(&ids).await?;
        let candidate = |row: &&Sighting<Likeness>| Candidate {
            run_id: row.run.id,
            marked: row.note.marked,
            inputs: row.note.inputs,
            bound: {
                let run = Run::of(row, &attempt.installation);
                bound.iter().any(|bound| bound.is(&run))
            },
        };
        Ok(found.iter().map(candidate).collect())
    }

    /// The request as it was sent, for comparison with what a run carries. None if the template is no longer what it
    /// was sent under: then nobody knows any more what was sent.
    async fn sent_body(&self, job: &Job, attempt: &Attempt) -> Result<Option<LaunchBody>> {
        let template = self.templates.template(&job.tenant, &job.template).await?;
        let Some(template) = template.filter(|template| is_unchanged(template, job, attempt)) else { return Ok(None) };
        let parameters = prepare::open_parameters(&*self.seals, job).await?;
        let marker = Marker::of(&attempt.marker);
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

/// Whether a template is still what an attempt was sent under.
fn is_unchanged(template: &Template, job: &Job, attempt: &Attempt) -> bool {
    template.launch_digest == job.launch_digest
        && template.controller_template == attempt.controller_template
        && template.controller.name == job.controller
}

/// Why nobody can be asked any more what became of an attempt.
fn gone_elsewhere(attempt: &Attempt, here: Option<&Installation>) -> String {
    let (to, template) = (&attempt.installation, attempt.controller_template);
    match here {
        None => format!("Its launch went to template {template} at {to}, and its controller was removed."),
        Some(here) => format!("Its launch went to template {template} at {to}, and its controller is now {here}."),
    }
}

/// Whether a controller still knows a run that it had. One that was deleted says nothing, as long as the ids after it
/// were given before the same moment.
async fn remembers(client: &Client, known: &Run, before: Moment) -> Result<bool, AwxError> {
    let found = client.runs(&[known.to_ref()]).await?;
    match found.rows.first() {
        Some(row) => Ok(known.is_shown_by(row, None)),
        None if found.missing.is_empty() => Ok(true),
        None => client.goes_beyond(known.id, time_of(before)).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::tests::example;
    use crate::test_doubles::template;

    #[test]
    fn inputs_are_compared_only_with_what_was_sent() {
        let sent = template();
        let job = Job { launch_digest: sent.launch_digest.clone(), ..example() };
        let attempt = Attempt {
            job_id: "job_1".into(),
            number: 1,
            installation: Installation::new(None, &sent.controller.target),
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
        let moved = Controller { name: "other".into(), ..sent.controller.clone() };
        let moved = Template { controller: moved, ..sent.clone() };
        let other = Template { controller_template: 10, ..sent.clone() };
        let changed = Template { launch_digest: "other".into(), ..sent };
        for template in [moved, other, changed] {
            assert!(!is_unchanged(&template, &job, &attempt));
        }
    }
}
