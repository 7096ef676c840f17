//! One claimed job, taken one step further: everything a launch needs, checked; then the intent; then the launch; then
//! what became of it.

use std::sync::Arc;
use std::time::Instant;

use runwarden_awx::{
    self, Ask, AwxError, Client, Installation, LaunchBody, LaunchError, Launched, MarkerPlacement, TemplateView,
};
use runwarden_kit::Result;
use tracing::Instrument as _;

use crate::failpoint::At;
use crate::job::{Attempt, AttemptState};
use crate::job::{Job, JobState, Run, moment, reason};
use crate::launch::launcher::{Halt, Launcher, waiting_for};
use crate::launch::prepare::{self, Prepared};
use crate::launch::protocol::{self, Answer, SEND_WITHIN, Step, Stop};
use crate::ports::{Controller, Template};
use crate::records;
use crate::store::{Begin, Begun};
use crate::wait::limits::Scope;
use crate::wait::scheduler::Goal;

impl Launcher {
    /// What is next for a claimed job.
    pub(crate) async fn step(&self, job: Job) -> Result<(), Halt> {
        let last = self.store.last_attempt(&job.id).await?;
        match (protocol::next_step(&job, last.as_ref(), self.clock.now()), last) {
            (Step::Reconcile, Some(attempt)) => self.reconcile(job, attempt).await,
            (Step::Launch, _) => self.launch(job).await,
            (Step::Cancel, _) => Err(Stop::End(
                JobState::Canceled,
                reason::CANCELED_BY_CALLER,
                "It was cancelled before it was launched.".into(),
            )
            .into()),
            (Step::Expire, _) => {
                let (reason, detail) = protocol::too_late(&job);
                Err(Stop::End(JobState::Error, reason, detail).into())
            }
            (Step::Reconcile | Step::Nothing, _) => Err(Halt::Lost),
        }
    }

    /// Everything a launch needs, checked; then the intent; then the launch; then what became of it.
    async fn launch(&self, job: Job) -> Result<(), Halt> {
        let template = prepare::current_template(&*self.templates, &job).await?;
        self.known.learn(&job.tenant, &job.template, template.limits);
        let first = self.authority.demand(&job).await?;
        let client = self.client(&template, &job).await?;
        // Asked at each launch: one that is set up anew at its address need not have been missed by anybody.
        let here = self.installation(&template.controller, &client, Ask::Afresh).await?;
        prepare::check_installation(&template, &here)?;
        let view = self.read_template(&client, &template).await?;
        let drift = view.changed_since(&template.fingerprint, &template.fingerprint_parts, &here);
        prepare::check_drift(&*self.templates, &template, &drift).await?;
        let number = job.attempts + 1;
        let Prepared { body, marker, placement } = prepare::build(&*self.seals, &template, &view, &job, number).await?;
        self.check_objects(&client, &template, &view, &body).await?;
        self.known.marks(&job.tenant, &job.template, placement != MarkerPlacement::None);
        // Without a marker everything hangs on nothing else of this template being out there, whoever mapped it under
        // whatever name; and where the template is not what it was, perhaps nothing is.
        let sure = placement != MarkerPlacement::None && drift.is_empty();
        let installation =
            if sure { here } else { self.installation(&template.controller, &client, Ask::Afresh).await? };
        prepare::check_installation(&template, &installation)?;
        // The controller may have taken its time: what begins now begins on what is held now.
        let decision = self.authority.demand(&job).await?.or(first);
        let again = prepare::current_template(&*self.templates, &job).await?;
        if !again.controller.leads_where(&template.controller) {
            return Err(Stop::Later("its controller was changed just now; preparing the launch again".into()).into());
        }
        let now = self.clock.now();
        let attempt = Attempt {
            job_id: job.id.clone(),
            number,
            installation,
            controller_template: template.controller_template,
            account: template.controller.account,
            marker,
            placement: placement.as_str().into(),
            sent_at: now,
            controller_time: client.controller_time().map(moment),
            named: None,
            marker_took: None,
            state: AttemptState::Intent,
        };
        let begin = Begin {
            fence: job.lease.fence,
            limits: template.limits,
            now,
            entries: vec![records::launch(&*self.clock, &job, &attempt, decision.as_ref())],
            attempt: attempt.clone(),
        };
        self.failpoint.pass(At::BeginBefore);
        // From here on the launch must leave soon or not at all. The wall clock may be set; the steady one may not.
        let begun = Instant::now();
        let job = match self.store.begin_attempt(begin).await? {
            Begun::Yes(job) => *job,
            Begun::Blocked => {
                let Attempt { installation, controller_template, .. } = attempt;
                let marked = placement != MarkerPlacement::None;
                return Err(Halt::Blocked(Goal { installation, controller_template, marked }));
            }
            Begun::Full(scope, until) => {
                let free_in = Some(until.since(now)).filter(|free_in| !free_in.is_zero());
                return Err(Halt::Held { scope, name: limited(scope, &job), free_in });
            }
            Begun::Lost => return Err(Halt::Lost),
        };
        self.failpoint.pass(At::BeginAfter);
        self.seen.since(&attempt);
        self.live.ring(&job.id);
        self.bell.ring();
        let answer = if protocol::may_send(&attempt, self.clock.now()) && begun.elapsed() <= SEND_WITHIN {
            metrics::histogram!("runwarden_launch_wait_seconds").record(now.since(job.created_at).as_secs_f64());
            let answer = send(client.clone(), &template, &body).await;
            self.failpoint.pass(At::SendAfter);
            self.understand(answer, &attempt, &template, &client)
        } else {
            held_up(&attempt)
        };
        let launched = match &answer {
            Answer::Launched { run, .. } => Some(run.clone()),
            Answer::NotLaunched { .. } | Answer::Unresolved { .. } => None,
        };
        self.learn(&job.id, attempt.number, job.lease.fence, launched, move |job, attempt, held, now| {
            protocol::answered(job, attempt, answer, held, now)
        })
        .await?;
        Ok(())
    }

    /// Which installation a controller leads to.
    pub(crate) async fn installation(
        &self,
        controller: &Controller,
        client: &Arc<Client>,
        ask: Ask,
    ) -> Result<Installation, Halt> {
        let here = client.installation(ask).await;
        self.note(controller, client, &here)?;
        here.map_err(|failure| Stop::Later(format!("finding out which installation this is: {failure}")).into())
    }

    /// The controller's template as it is now.
    async fn read_template(&self, client: &Arc<Client>, template: &Template) -> Result<TemplateView, Halt> {
        let span = tracing::info_span!("awx.read_template", otel.kind = "client");
        let read = client.template(template.kind, template.controller_template).instrument(span).await;
        self.note(&template.controller, client, &read)?;
        read.map_err(|failure| prepare::unreadable(&failure))
    }

    /// Whether our account may use what the launch refers to.
    async fn check_objects(
        &self,
        client: &Arc<Client>,
        template: &Template,
        view: &TemplateView,
        body: &LaunchBody,
    ) -> Result<(), Halt> {
        let wishes = body.wishes();
        let fields: Vec<_> = wishes.iter().map(|wish| (wish.field, wish.value.clone())).collect();
        let found = client.objects(view, &fields).await;
        self.note(&template.controller, client, &found)?;
        let objects = found.map_err(|failure| prepare::unreadable(&failure))?;
        prepare::check_objects(view, &wishes, &objects)
    }

    /// Takes note of what a controller's answer says of it as a whole.
    pub(crate) fn note<T>(
        &self,
        controller: &Controller,
        client: &Arc<Client>,
        result: &Result<T, AwxError>,
    ) -> Result<(), Halt> {
        let key = (controller.tenant.clone(), controller.name.clone());
        if !self.breaker.note(&key, result) {
            return Ok(());
        }
        let Err(error) = result else { return Ok(()) };
        if error.is_credential() {
            self.controllers.forget(client);
        }
        Err(Stop::Yield(format!("waiting for the controller: {error}")).into())
    }

    async fn client(&self, template: &Template, job: &Job) -> Result<Arc<Client>, Halt> {
        let purpose = format!("launch {}", job.id);
        self.controllers.client(&template.controller, &purpose).await.map_err(|error| {
            error.log();
            Stop::Later(format!("the controller's credential cannot be read: {}", waiting_for(&error))).into()
        })
    }

    /// What an answer says in the protocol's terms.
    fn understand(
        &self,
        answer: Result<Launched, LaunchError>,
        attempt: &Attempt,
        template: &Template,
        client: &Arc<Client>,
    ) -> Answer {
        let key = (template.controller.tenant.clone(), template.controller.name.clone());
        match answer {
            Ok(launched) => {
                self.breaker.works(&key);
                launched_answer(&launched, attempt)
            }
            Err(LaunchError::NotLaunched(error)) => {
                let why = error.to_string();
                if error.is_credential() {
                    self.controllers.forget(client);
                }
                self.breaker.failed(&key, &why, error.retry_after(), Instant::now());
                // The look at the template before it succeeded, so the breaker alone would let it through at once.
                Answer::NotLaunched { then: Stop::Later(format!("waiting for the controller: {why}")), why }
            }
            Err(LaunchError::Refused { refusal, status }) => {
                self.breaker.works(&key);
                let why = format!("The controller refused the launch ({status}): {refusal}");
                Answer::NotLaunched { then: Stop::End(JobState::Error, reason::CONTROLLER_REFUSED, why.clone()), why }
            }
            Err(LaunchError::Unresolved { why, named }) => {
                tracing::warn!(job = attempt.job_id, why, "it is not known whether the launch happened");
                metrics::counter!("runwarden_launches_unresolved_total").increment(1);
                self.breaker.failed(&key, &why, None, Instant::now());
                Answer::Unresolved { why, named: named.map(|run| run.id) }
            }
        }
    }
}

/// Too much time passed since the intent was written for the launch still to be sent. The controller has no part in
/// that, so it is not held against it.
fn held_up(attempt: &Attempt) -> Answer {
    let why = format!(
        "Runwarden itself was held up: writing down the intent took more than {} s, so the launch was not sent",
        SEND_WITHIN.as_secs()
    );
    tracing::warn!(job = attempt.job_id, why, "a slow store or a busy machine delays launches");
    metrics::counter!("runwarden_launches_held_up_total").increment(1);
    Answer::NotLaunched { then: Stop::Later(format!("{why}; trying again")), why }
}

/// The name of what limits a job.
fn limited(scope: Scope, job: &Job) -> String {
    match scope {
        Scope::Template => job.template.clone(),
        Scope::Controller => job.controller.clone(),
        Scope::Principal => job.requested_by.clone(),
    }
}

/// The run a launch became, and whether it must be stopped because it is not what was asked for.
fn launched_answer(launched: &Launched, attempt: &Attempt) -> Answer {
    let run = Run::of(&launched.row, &attempt.installation);
    let condemned = protocol::dropped(&runwarden_awx::asked_for(launched.ignored.clone()));
    Answer::Launched { run, condemned, marker_took: launched.took_marker(attempt.placement()) }
}

/// Sends the launch from a task of its own: once it is out, nobody's impatience may take its answer away.
async fn send(client: Arc<Client>, template: &Template, body: &LaunchBody) -> Result<Launched, LaunchError> {
    let (kind, id, body) = (template.kind, template.controller_template, body.clone());
    let span = tracing::info_span!("awx.launch", otel.kind = "client", controller_template = id);
    let sent = tokio::spawn(async move { client.launch(kind, id, &body).await }.instrument(span)).await;
    sent.unwrap_or_else(|error| {
        Err(LaunchError::Unresolved { why: format!("sending broke off: {error}"), named: None })
    })
}
