//! Launching one claimed job: everything a launch needs, checked; then the intent; then the launch; then what became of
//! it.

use std::sync::Arc;
use std::time::Instant;

use runwarden_awx::{Ask, Client, Installation, LaunchBody, LaunchError, Launched, TemplateView};
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use tracing::Instrument as _;

use crate::failpoint::At;
use crate::job::{Attempt, AttemptState, Job, JobState, Run, Told, moment, reason};
use crate::launch::authority::Authority;
use crate::launch::first_seen::FirstSeen;
use crate::launch::halt::{Halt, waiting_for};
use crate::launch::looks::Looks;
use crate::launch::prepare::{self, Prepared};
use crate::launch::protocol::{self, Answer, SEND_WITHIN, Stop};
use crate::launch::{ledger, reach};
use crate::ports::{Decision, Seals, Template};
use crate::records;
use crate::shared::Shared;
use crate::store::{Begin, Begun};
use crate::wait::scheduler::Goal;

/// Launches one claimed job.
pub(super) struct Sender<'a> {
    pub(super) shared: &'a Shared,
    pub(super) seals: &'a dyn Seals,
    pub(super) authority: &'a Authority,
    pub(super) seen: &'a FirstSeen,
    pub(super) looks: &'a Looks,
}

/// A launch that has passed every check.
struct Ready {
    template: Arc<Template>,
    client: Arc<Client>,
    installation: Installation,
    launch: Prepared,
    /// What the template is: others that wait may share it as long as this launch lasts.
    _view: Arc<TemplateView>,
    /// The decision made for it; none if that of the job's acceptance is recent enough.
    decision: Option<Decision>,
}

/// An intent that is durable.
struct Intent {
    job: Job,
    attempt: Attempt,
    /// When writing it began, by the steady clock.
    begun: Instant,
}

impl Sender<'_> {
    /// Everything a launch needs, checked; then the intent; then the launch; then what became of it.
    pub(super) async fn launch(&self, job: Job) -> Result<(), Halt> {
        let ready = self.check(&job).await?;
        let intent = self.begin(&job, &ready).await?;
        let answer = self.send(&intent, &ready).await;
        let Intent { job, attempt, .. } = intent;
        let run = match &answer {
            Answer::Launched { run, .. } => Some(run.clone()),
            Answer::NotLaunched { .. } | Answer::Unresolved { .. } => None,
        };
        let answered = |job: &mut Job, attempt: Option<&mut Attempt>, held: bool, now: Moment| {
            protocol::answered(job, attempt, answer.clone(), held, now)
        };
        Ok(ledger::learn(self.shared, &job.id, attempt.number, job.lease.fence, run.as_ref(), &answered).await?)
    }

    /// Whether the job may be launched now, and would be launched as it was asked for.
    async fn check(&self, job: &Job) -> Result<Ready, Halt> {
        let template = prepare::current_template(&*self.shared.templates, job).await?;
        self.shared.known.learn(&job.tenant, &job.template, template.limits);
        let first = self.authority.demand(job).await?;
        let client = self.client(&template, job).await?;
        // Asked at each launch: a controller may have been set up again at its address without any outage being
        // noticed.
        let here = reach::installation(self.shared, &template.controller, &client, Ask::Afresh).await?;
        prepare::check_installation(&template, &here)?;
        let (launch, view, drift) = self.prepare(job, &template, &client, &here).await?;
        self.shared.known.marks(&job.tenant, &job.template, launch.is_marked());
        // Without a marker everything depends on no other launch of this template being in flight, whichever tenant
        // mapped it under whatever name; and where the template is not what it was, perhaps nothing is.
        let sure = launch.is_marked() && drift.is_empty();
        let installation = match sure {
            true => here,
            false => reach::installation(self.shared, &template.controller, &client, Ask::Afresh).await?,
        };
        prepare::check_installation(&template, &installation)?;
        // The controller may have been slow: the attempt must begin under the current claim and authority.
        let decision = self.authority.demand(job).await?.or(first);
        let again = prepare::current_template(&*self.shared.templates, job).await?;
        if !again.controller.leads_where(&template.controller) {
            return Err(Stop::Later("its controller has just been changed; preparing the launch again".into()).into());
        }
        Ok(Ready { template, client, installation, launch, _view: view, decision })
    }

    /// The launch, by what its template is at the controller, and how that differs from what was mapped.
    async fn prepare(
        &self,
        job: &Job,
        template: &Template,
        client: &Arc<Client>,
        here: &Installation,
    ) -> Result<(Prepared, Arc<TemplateView>, Vec<String>), Halt> {
        let id = (template.kind, template.controller_template);
        let drift_of =
            |view: &TemplateView| view.changed_since(&template.fingerprint, &template.fingerprint_parts, here);
        if let Some(view) = self.looks.shared(client, id, job.created_at).await
            && drift_of(&view).is_empty()
            && let Ok(launch) = self.build(job, template, client, &view).await
        {
            return Ok((launch, view, Vec::new()));
        }
        let view = self.looks.own(client, id, self.shared.clock.now(), self.read_template(client, template)).await?;
        let drift = drift_of(&view);
        prepare::check_drift(&*self.shared.templates, template, &drift).await?;
        let launch = self.build(job, template, client, &view).await?;
        Ok((launch, view, drift))
    }

    /// The launch, if the template as it is at the controller takes all of it.
    async fn build(
        &self,
        job: &Job,
        template: &Template,
        client: &Arc<Client>,
        view: &TemplateView,
    ) -> Result<Prepared, Halt> {
        let told = Told::of(job, template.request_info, &self.shared.public_url);
        if !told.labels.is_empty() {
            prepare::organization_for_labels(view)?;
        }
        let mut launch = prepare::build(self.seals, template, view, job, told).await?;
        self.check_objects(client, template, view, &launch.body).await?;
        // Last of what may be refused: a label whose launch never leaves is removed by nobody.
        let labels = self.labels(client, template, view, &launch.told).await?;
        launch.body.label(&labels);
        Ok(launch)
    }

    /// Makes the intent durable.
    async fn begin(&self, job: &Job, ready: &Ready) -> Result<Intent, Halt> {
        let Ready { template, client, installation, launch, decision, .. } = ready;
        let now = self.shared.clock.now();
        let attempt = Attempt {
            job_id: job.id.clone(),
            number: job.attempts + 1,
            installation: installation.clone(),
            controller_template: template.controller_template,
            account: template.controller.account,
            marker: launch.marker.clone(),
            placement: launch.placement.as_str().into(),
            sent_at: now,
            controller_time: client.controller_time().map(moment),
            named: None,
            marker_took: None,
            told: launch.told.clone(),
            state: AttemptState::Intent,
        };
        let begin = Begin {
            fence: job.lease.fence,
            limits: template.limits,
            now,
            entries: vec![records::launch(now, job, &attempt, decision.as_ref())],
            attempt: attempt.clone(),
        };
        self.shared.failpoint.pass(At::BeginBefore);
        // From here on the launch must leave soon or not at all. The wall clock may be set; the steady one may not.
        let begun = Instant::now();
        let job = match self.shared.begin_attempt(begin).await? {
            Begun::Yes(job, _) => *job,
            Begun::Blocked => {
                let Attempt { installation, controller_template, .. } = attempt;
                let marked = launch.is_marked();
                return Err(Halt::Blocked(Goal { installation, controller_template, marked }));
            }
            Begun::Full(scope, until) => {
                let free_in = Some(until.since(now)).filter(|free_in| !free_in.is_zero());
                return Err(Halt::Held { scope, name: scope.name_for(job).to_owned(), free_in });
            }
            Begun::Lost => return Err(Halt::Lost),
        };
        self.seen.since(&attempt);
        Ok(Intent { job, attempt, begun })
    }

    /// Sends the launch, if it is not too late for that.
    async fn send(&self, intent: &Intent, ready: &Ready) -> Answer {
        let Intent { job, attempt, begun } = intent;
        let in_time = protocol::may_send(attempt, self.shared.clock.now()) && begun.elapsed() <= SEND_WITHIN;
        if !in_time {
            return held_up(attempt);
        }
        let waited = attempt.sent_at.since(job.created_at);
        metrics::histogram!("runwarden_launch_wait_seconds").record(waited.as_secs_f64());
        let answer = send(ready.client.clone(), &ready.template, &ready.launch.body).await;
        self.shared.failpoint.pass(At::SendAfter);
        self.understand(answer, attempt, &ready.template, &ready.client)
    }

    /// The controller's template as it is now.
    async fn read_template(&self, client: &Arc<Client>, template: &Template) -> Result<TemplateView, Halt> {
        let span = tracing::info_span!("awx.read_template", otel.kind = "client");
        let read = client.template(template.kind, template.controller_template).instrument(span).await;
        reach::note(self.shared, &template.controller, client, &read)?;
        read.map_err(|failure| prepare::unreadable(&failure))
    }

    /// The ids of the labels that tell the run of its request. They are made if they are not there: that changes nothing
    /// that runs, and making them again changes nothing at all.
    async fn labels(
        &self,
        client: &Arc<Client>,
        template: &Template,
        view: &TemplateView,
        told: &Told,
    ) -> Result<Vec<i64>, Halt> {
        if told.labels.is_empty() {
            return Ok(Vec::new());
        }
        let organization = prepare::organization_for_labels(view)?;
        let mut ids = Vec::new();
        for name in &told.labels {
            let label = client.label(organization, name).await;
            reach::note(self.shared, &template.controller, client, &label)?;
            ids.push(label.map_err(|failure| prepare::unlabelled(&failure))?);
        }
        Ok(ids)
    }

    /// Whether our account may use what the launch refers to.
    async fn check_objects(
        &self,
        client: &Arc<Client>,
        template: &Template,
        view: &TemplateView,
        body: &LaunchBody,
    ) -> Result<(), Halt> {
        let settings = body.settings();
        let fields: Vec<_> = settings.iter().map(|setting| (setting.field, setting.value.clone())).collect();
        let found = client.objects(view, &fields).await;
        reach::note(self.shared, &template.controller, client, &found)?;
        let objects = found.map_err(|failure| prepare::unreadable(&failure))?;
        prepare::check_objects(view, &settings, &objects)
    }

    async fn client(&self, template: &Template, job: &Job) -> Result<Arc<Client>, Halt> {
        let purpose = format!("launch {}", job.id);
        self.shared.controllers.client(&template.controller, &purpose).await.map_err(|error| {
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
                self.shared.breaker.works(&key);
                launched_answer(&launched, attempt)
            }
            Err(LaunchError::NotLaunched(error)) => {
                let why = error.to_string();
                if error.is_credential() {
                    self.shared.controllers.forget(client);
                }
                self.shared.breaker.failed(&key, &why, error.retry_after(), Instant::now());
                // The look at the template before it succeeded, so the breaker alone would let it through at once.
                Answer::NotLaunched { then: Stop::Later(format!("waiting for the controller: {why}")), why }
            }
            Err(LaunchError::Refused { refusal, status }) => {
                self.shared.breaker.works(&key);
                let why = format!("The controller refused the launch ({status}): {refusal}");
                if lost_its_label(attempt, &refusal.to_string()) {
                    let then = Stop::Later("a label was deleted on the controller; making it again".into());
                    return Answer::NotLaunched { then, why };
                }
                Answer::NotLaunched { then: Stop::End(JobState::Error, reason::CONTROLLER_REFUSED, why.clone()), why }
            }
            Err(LaunchError::Unresolved { why, named }) => {
                tracing::warn!(job = attempt.job_id, why, "it is not known whether the launch happened");
                metrics::counter!("runwarden_launches_unresolved_total").increment(1);
                self.shared.breaker.failed(&key, &why, None, Instant::now());
                Answer::Unresolved { why, named: named.map(|run| run.id) }
            }
        }
    }
}

/// Too much time passed since the intent was written for the launch still to be sent. The controller has no part in
/// that, so it is not held against it.
fn held_up(attempt: &Attempt) -> Answer {
    let why = format!(
        "Runwarden itself was too slow: recording the intent took more than {} s, so the launch was not sent",
        SEND_WITHIN.as_secs()
    );
    tracing::warn!(job = attempt.job_id, why, "a slow store or a busy machine delays launches");
    metrics::counter!("runwarden_launches_held_up_total").increment(1);
    Answer::NotLaunched { then: Stop::Later(format!("{why}; trying again")), why }
}

/// Whether a launch was refused because one of its labels was deleted after it had been looked up, as AWX does with
/// the last run that has it.
fn lost_its_label(attempt: &Attempt, refusal: &str) -> bool {
    !attempt.told.labels.is_empty() && refusal.contains("labels: Invalid pk")
}

/// The run a launch became, and whether it must be stopped because it is not what was asked for.
fn launched_answer(launched: &Launched, attempt: &Attempt) -> Answer {
    let run = Run::of(&launched.row, &attempt.installation);
    let condemned = protocol::dropped(&runwarden_awx::asked_for(launched.ignored.clone()));
    Answer::Launched { run, condemned, marker_took: launched.took_marker(attempt.placement()) }
}

/// Sends the launch from a task of its own: once it is sent, a cancelled future must not lose its answer.
async fn send(client: Arc<Client>, template: &Template, body: &LaunchBody) -> Result<Launched, LaunchError> {
    let (kind, id, body) = (template.kind, template.controller_template, body.clone());
    let span = tracing::info_span!("awx.launch", otel.kind = "client", controller_template = id);
    let sent = tokio::spawn(async move { client.launch(kind, id, &body).await }.instrument(span)).await;
    sent.unwrap_or_else(|error| {
        Err(LaunchError::Unresolved { why: format!("sending was interrupted: {error}"), named: None })
    })
}
