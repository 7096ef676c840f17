//! Finds out what happened to a launch whose answer was lost: search, compare, wait for what may still come, and only
//! then conclude. Never a guess, never a second launch on a guess.

use std::sync::Arc;
use std::time::Duration;

use runwarden_awx::{
    Ask, AwxError, Client, Found, Installation, LaunchBody, LaunchInput, Marker, RunRow, Search, Sighting,
    TemplateSight, Whereabouts, asked_for,
};
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;

use crate::failpoint::At;
use crate::job::{Attempt, AttemptState, Job, Run, moment, time_of};
use crate::launch::first_seen::FirstSeen;
use crate::launch::halt::Halt;
use crate::launch::judging::{Candidate, Facts, Inputs, Marked, Verdict, conclude};
use crate::launch::patience::Patience;
use crate::launch::prepare;
use crate::launch::protocol::{self, Finding, Stop};
use crate::launch::{ledger, reach};
use crate::ports::{Controller, Seals, Template};
use crate::shared::Shared;

/// How many candidate runs of a lost launch an operator is shown.
const MOST_CANDIDATES: usize = 200;
/// How much earlier than clocks allow a run with a marker is searched for.
const CLOCKS_WRONG: Duration = Duration::from_secs(3600);

/// Finds out what became of open attempts.
pub(super) struct Reconciler<'a> {
    pub(super) shared: &'a Shared,
    pub(super) seals: &'a dyn Seals,
    pub(super) patience: &'a Patience,
    pub(super) seen: &'a FirstSeen,
}

impl Reconciler<'_> {
    /// One look at what an open attempt may have become.
    pub(super) async fn reconcile(&self, job: Job, attempt: Attempt) -> Result<(), Halt> {
        if let AttemptState::Ambiguous { .. } = attempt.state {
            return Err(Halt::Lost);
        }
        self.shared.failpoint.pass(At::ReconcileBefore);
        // One moment for all of it, from before anything is asked: what a search showed is judged by nothing later.
        let now = self.shared.clock.now();
        let Some(controller) = self.shared.templates.controller(&job.tenant, &job.controller).await? else {
            return self.nobody_to_ask(&job, &attempt, None, now).await;
        };
        let purpose = format!("find {}", job.id);
        let client = self.shared.controllers.client(&controller, &purpose).await?;
        let mut here = reach::installation(self.shared, &controller, &client, Ask::Once).await?;
        if !here.is_same(&attempt.installation) {
            here = reach::installation(self.shared, &controller, &client, Ask::Afresh).await?;
        }
        if !here.is_same(&attempt.installation) {
            return self.nobody_to_ask(&job, &attempt, Some(&here), now).await;
        }
        let sent = match self.sent_body(&job, &attempt).await {
            // Sealed values may never be readable again. Then runs are compared by everything else. A service that is only
            // away is waited for, unless a marker is proof enough: an operator knows no more than it will.
            Err(error)
                if now >= self.patience.over_at(&attempt) && (attempt.is_marked() || error.retry_after().is_none()) =>
            {
                error.log();
                None
            }
            sent => sent?,
        };
        let (mut facts, rows) = self.look(&controller, &client, &attempt, sent.as_ref(), now).await?;
        if conclude(&attempt, self.patience, now, &facts) == Verdict::Absent {
            // Looked at before the search and after it: a right that was away only meanwhile must not make a run look
            // absent.
            facts.blind = self.blindness(&client, &controller, &attempt).await?;
            facts.doubt = self.doubt(&controller, &client, &attempt).await?;
        }
        let verdict = match conclude(&attempt, self.patience, now, &facts) {
            // All of them would not help the operator.
            Verdict::Ambiguous(runs) => Verdict::Ambiguous(runs.into_iter().take(MOST_CANDIDATES).collect()),
            verdict => verdict,
        };
        let adopted = match &verdict {
            Verdict::Adopt(id) => rows.iter().find(|row| row.run.id == *id),
            Verdict::Wait(_)
            | Verdict::Blind(..)
            | Verdict::Absent
            | Verdict::Ambiguous(_)
            | Verdict::Untraceable(_) => None,
        };
        let finding = Finding {
            run: adopted.map(|row| Run::of(row, &attempt.installation)),
            dropped: adopted.map(|row| asked_for(row.note.dropped.clone())).unwrap_or_default(),
            partial: facts.unread.is_some(),
            verdict,
        };
        self.settle(&job, &attempt, finding).await
    }

    /// What there is to see of an attempt, and the runs that may be it.
    async fn look(
        &self,
        controller: &Controller,
        client: &Arc<Client>,
        attempt: &Attempt,
        sent: Option<&LaunchBody>,
        now: Moment,
    ) -> Result<(Facts, Vec<Sighting<Likeness>>), Halt> {
        // Before anything is asked, as `now` is.
        let mut facts = Facts { passed: self.seen.since(attempt), ..Facts::default() };
        let over = now >= self.patience.over_at(attempt);
        if over {
            facts.blind = self.blindness(client, controller, attempt).await?;
        }
        if let Some((then, told)) = attempt.controller_time.zip(client.controller_time()) {
            facts.passed = facts.passed.max(moment(told).since(then));
        }
        let found = match self.search(client, attempt, sent, over).await {
            // AWX itself does not let our account look.
            Err(error) if error.is_refusal() => {
                facts.blind = Some(error.to_string());
                Found::All(Vec::new())
            }
            found => self.told(controller, client, found)?,
        };
        if let Some(gap) = found.gap() {
            tracing::warn!(job = attempt.job_id, gap, "not all runs that a lost launch may be could be searched");
        }
        let rows = match found {
            Found::All(rows) => rows,
            Found::Part { rows, unreadable, .. } => {
                facts.unread = Some(unreadable);
                rows
            }
        };
        // A run created when none of this attempt could be is a foreign one.
        let may_be = |row: &Sighting<Likeness>| self.patience.may_be(attempt, row.note.marked, row.created.map(moment));
        let rows: Vec<_> = rows.into_iter().filter(may_be).collect();
        facts.found = self.candidates(attempt, &rows).await?;
        Ok((facts, rows))
    }

    /// The result of a search on a controller; if there is no answer, it is repeated later.
    fn told<T>(&self, controller: &Controller, client: &Arc<Client>, look: Result<T, AwxError>) -> Result<T, Halt> {
        reach::note(self.shared, controller, client, &look)?;
        look.map_err(|error| Stop::Later(format!("finding out whether it was launched: {error}")).into())
    }

    /// Why what a search does not find now cannot be counted as not there; none if it can.
    async fn blindness(
        &self,
        client: &Arc<Client>,
        controller: &Controller,
        attempt: &Attempt,
    ) -> Result<Option<String>, Halt> {
        let seen = match client.sight(attempt.account, attempt.controller_template).await {
            // No account of its own, or one that may not even ask who it is.
            Err(error) if error.is_refusal() => Ok(TemplateSight::Hidden(error.to_string())),
            seen => seen,
        };
        Ok(match self.told(controller, client, seen)? {
            TemplateSight::Clear => None,
            TemplateSight::Hidden(why) => Some(why),
            TemplateSight::Gone => {
                let template = attempt.controller_template;
                Some(format!("template {template} no longer exists, so its runs cannot be searched"))
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
        let here = reach::installation(self.shared, controller, client, Ask::Afresh).await?;
        // A copy of a database calls itself what the original does, and only the one that was asked has the launch.
        if !here.is_same(&attempt.installation) || here.address() != attempt.installation.address() {
            return Ok(Some(gone_elsewhere(attempt, Some(&here))));
        }
        // It tells whole seconds.
        let sent = attempt.controller_time.map_or(attempt.sent_at, |time| time.plus(Duration::from_secs(1)));
        let Some(known) = self.shared.store.latest_run(&attempt.installation, sent).await? else { return Ok(None) };
        if self.told(controller, client, remembers(client, &known, sent).await)? {
            return Ok(None);
        }
        // It may be another tenant's, so it is named to the operator only.
        tracing::warn!(job = attempt.job_id, run = known.id, "the controller no longer knows a run that it had");
        Ok(Some(format!(
            "{here} no longer knows a run that existed before the launch: it may have been restored from an \
             older backup, and have forgotten the launch, too."
        )))
    }

    /// Finding nothing elsewhere proves nothing: only the installation the launch was sent to can show it, and that one
    /// cannot be asked. This may be fixed, so it is left to an operator only when the launch can no longer take effect.
    async fn nobody_to_ask(
        &self,
        job: &Job,
        attempt: &Attempt,
        here: Option<&Installation>,
        now: Moment,
    ) -> Result<(), Halt> {
        let why = gone_elsewhere(attempt, here);
        if now < self.patience.over_at(attempt) {
            return Err(Stop::Later(why).into());
        }
        let verdict = Verdict::Untraceable(why);
        self.settle(job, attempt, Finding { verdict, run: None, dropped: Vec::new(), partial: false }).await
    }

    async fn settle(&self, job: &Job, attempt: &Attempt, finding: Finding) -> Result<(), Halt> {
        self.shared.failpoint.pass(At::ReconcileAfter);
        let judged = |job: &mut Job, attempt: Option<&mut Attempt>, held: bool, now: Moment| match attempt {
            Some(attempt) => protocol::judged(job, attempt, finding.clone(), held, now),
            // A later attempt has begun: this one was settled by another executor.
            None => Ok(protocol::Written::Nothing),
        };
        let run = finding.run.as_ref();
        Ok(ledger::learn(self.shared, &job.id, attempt.number, job.lease.fence, run, &judged).await?)
    }

    async fn search(
        &self,
        client: &Arc<Client>,
        attempt: &Attempt,
        sent: Option<&LaunchBody>,
        over: bool,
    ) -> Result<Found<Likeness>, AwxError> {
        let created_from = self.patience.earliest(attempt);
        // A marker identifies a run even if clocks are wrong. The search goes that far only when it decides.
        let looked_from = if over && attempt.is_marked() { created_from.minus(CLOCKS_WRONG) } else { created_from };
        let search = Search {
            template: attempt.controller_template,
            account: attempt.account,
            created_from: time_of(created_from),
            looked_from: time_of(looked_from),
        };
        let marker = Marker::of(&attempt.marker);
        client.search(&search, |row| Likeness::of(row, attempt, marker.as_ref(), sent)).await
    }

    async fn candidates(&self, attempt: &Attempt, found: &[Sighting<Likeness>]) -> Result<Vec<Candidate>> {
        let ids: Vec<i64> = found.iter().map(|row| row.run.id).collect();
        let bound = self.shared.store.bound(&ids).await?;
        let candidate = |row: &Sighting<Likeness>| Candidate {
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
    /// was sent under: then it is no longer known what was sent.
    async fn sent_body(&self, job: &Job, attempt: &Attempt) -> Result<Option<LaunchBody>> {
        let template = self.shared.templates.template_now(&job.tenant, &job.template).await?;
        let Some(template) = template.filter(|template| is_unchanged(template, job, attempt)) else { return Ok(None) };
        let parameters = prepare::open_parameters(self.seals, job).await?;
        let marker = Marker::of(&attempt.marker);
        let body = LaunchBody::build(LaunchInput {
            schema: &template.schema,
            parameters: &parameters,
            fixed: &template.fixed,
            marker: marker.as_ref().filter(|_| attempt.is_marked()).map(|m| (m, attempt.placement())),
            default_skip_tags: "",
        });
        // As it was told then: settings may have changed since.
        Ok(body.ok().map(|mut body| {
            body.tell(&attempt.told.variables);
            body
        }))
    }
}

/// How well a run matches an attempt: noted while its inputs are available.
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

/// Whether a template is still what an attempt was sent under.
fn is_unchanged(template: &Template, job: &Job, attempt: &Attempt) -> bool {
    template.launch_digest == job.launch_digest
        && template.controller_template == attempt.controller_template
        && template.controller.name == job.controller
}

/// Why no controller can be asked about an attempt any more.
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
        // Lists leave out what our account may not see, such as what other tenants run with accounts of their own.
        None => match client.whereabouts(known.to_ref()).await? {
            Whereabouts::There(row) => Ok(known.is_shown_by(&row, None)),
            Whereabouts::Hidden => Ok(true),
            Whereabouts::Gone => client.goes_beyond(known.id, time_of(before)).await,
        },
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
            told: crate::job::Told::default(),
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
