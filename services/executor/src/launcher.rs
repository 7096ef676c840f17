//! Launching: claims jobs that are due and takes each one step further. Whatever a step learns is durable before the
//! next; a process that dies anywhere leaves a job that another picks up where it stands.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use runwarden_kit::audit::Bell;
use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::{Error, Result, telemetry};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use crate::attempt::{Attempt, AttemptState, Patience};
use crate::awx::{self, AwxError, Client, LaunchBody, LaunchError, Launched, TemplateView};
use crate::controllers::Controllers;
use crate::job::{Condemned, Job, JobState, Run, reason};
use crate::live::Live;
use crate::places::{Full, Places};
use crate::ports::{Seals, Template, Templates};
use crate::prepare::{self, Prepared};
use crate::protocol::{self, Answer, Step, Stop, Written};
use crate::records;
use crate::store::{Begin, Begun, Effects, JobStore};
use crate::work::WorkBell;

/// How long a claim holds unless it is renewed: whoever dies with one keeps its job from others no longer than this.
const LEASE: Duration = Duration::from_secs(10);
/// How often it is renewed while its holder is at work.
const RENEW: Duration = Duration::from_secs(3);
/// How often to look for work that nobody rang for.
const LOOK: Duration = Duration::from_millis(500);

/// Takes jobs from accepted to bound.
pub struct Launcher {
    /// Where jobs live.
    pub store: Arc<dyn JobStore>,
    /// What may be run.
    pub templates: Arc<dyn Templates>,
    /// Sealing.
    pub seals: Arc<dyn Seals>,
    /// Clients for controllers.
    pub controllers: Arc<Controllers>,
    /// How long absence proves nothing.
    pub patience: Patience,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Who waits for jobs.
    pub live: Live,
    /// Rings when a job is due.
    pub work: WorkBell,
    /// Rings when a job was bound.
    pub watch: WorkBell,
    /// Rings when audit entries wait.
    pub bell: Bell,
}

/// Why a step ended without a launch being out.
pub enum Halt {
    /// For a reason that is written down.
    Stopped(Stop),
    /// Somebody else has the job now.
    Lost,
    /// Something in Runwarden broke.
    Broken(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

impl Launcher {
    /// Works until shutdown, on at most `at_once` jobs at a time. A launch that was sent is waited for.
    pub async fn run(self: Arc<Self>, at_once: usize, shutdown: Shutdown) {
        let room = Arc::new(Semaphore::new(at_once));
        let places = Places::new(at_once, self.work.clone());
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            if shutdown.has_begun() {
                break;
            }
            let (now, full) = (self.clock.now(), places.full());
            match self.store.claim(now, now.plus(LEASE), &full).await {
                Ok(Some(job)) => {
                    let launcher = self.clone();
                    let place = places.take(&job);
                    tokio::spawn(async move {
                        let (_permit, _place) = (permit, place);
                        Box::pin(launcher.take_further(job)).await;
                    });
                    continue;
                }
                Ok(None) => {}
                Err(error) => error.log(),
            }
            drop(permit);
            let pause = self.until_next(&full).await;
            tokio::select! {
                () = self.work.heard_within(pause) => {}
                () = shutdown.begun() => break,
            }
        }
        // A launch that is out must be heard out: its answer is the only proof there is.
        let all = u32::try_from(at_once).unwrap_or(u32::MAX);
        let _done = tokio::time::timeout(Duration::from_secs(15), room.acquire_many(all)).await;
    }

    /// How long nothing is due that has a place.
    async fn until_next(&self, full: &Full) -> Duration {
        match self.store.next_due(full).await {
            Ok(Some(due)) => due.since(self.clock.now()).clamp(Duration::from_millis(5), LOOK),
            Ok(None) | Err(_) => LOOK,
        }
    }

    /// One claimed job, one step, within its own trace.
    async fn take_further(&self, job: Job) {
        let span = tracing::info_span!(
            "launch",
            otel.name = "executor/launch",
            service = "executor",
            job = %job.id,
            tenant = %job.tenant,
            principal = %job.requested_by,
            request_id = %job.request_id,
            trace_id = %job.trace_id,
        );
        match &job.trace_parent {
            Some(submitted) => telemetry::continue_traceparent(&span, submitted),
            None => telemetry::continue_trace_id(&span, &job.trace_id),
        }
        let context = RequestContext {
            request_id: job.request_id.clone(),
            trace_id: job.trace_id.clone(),
            ..RequestContext::default()
        };
        let step = context::scope(context, async {
            let id = job.id.clone();
            let fence = job.lease.fence;
            let step = self.step(job);
            let stop = match self.holding(&id, fence, step).await {
                Ok(()) | Err(Halt::Lost) => return,
                Err(Halt::Stopped(stop)) => stop,
                Err(Halt::Broken(error)) => {
                    error.log();
                    Stop::Later("something in Runwarden is not available right now; trying again".into())
                }
            };
            if let Err(error) = self.stop(&id, fence, stop).await {
                // The claim ends by itself, and the job is taken up again.
                error.log();
            }
        });
        Box::pin(step.instrument(span)).await;
    }

    /// Does something while the claim is renewed, so that however long it takes nobody else takes over.
    async fn holding<T>(&self, id: &str, fence: u64, work: impl Future<Output = T>) -> T {
        // Side by side: the work may hold the store's one writer while the renewal waits for it.
        tokio::select! {
            done = work => done,
            never = self.keep_renewed(id, fence) => match never {},
        }
    }

    async fn keep_renewed(&self, id: &str, fence: u64) -> Infallible {
        loop {
            tokio::time::sleep(RENEW).await;
            let now = self.clock.now();
            let until = Some(now.plus(LEASE));
            let change = move |job: &mut Job, _: Option<Attempt>| {
                // Work that has given the job a time of its own holds it no more.
                if job.lease.fence != fence || job.due_at != job.lease.until {
                    return Ok(None);
                }
                (job.lease.until, job.due_at) = (until, until);
                Ok(Some(Effects::default()))
            };
            if let Err(error) = self.store.update(id, now, Box::new(change)).await {
                // Somebody else may take over; the fence keeps what is done here from counting then.
                error.log();
            }
        }
    }

    async fn step(&self, job: Job) -> Result<(), Halt> {
        let last = self.store.last_attempt(&job.id).await?;
        match (protocol::next_step(&job, last.as_ref()), last) {
            (Step::Reconcile, Some(attempt)) => self.reconcile(job, attempt).await,
            (Step::Launch, _) => self.launch(job).await,
            (Step::Cancel, _) => Err(Stop::End(
                JobState::Canceled,
                reason::CANCELED_BY_CALLER,
                "It was cancelled before it was launched.".into(),
            )
            .into()),
            (Step::Reconcile | Step::Nothing, _) => Err(Halt::Lost),
        }
    }

    /// Everything a launch needs, checked; then the intent; then the launch; then what became of it.
    async fn launch(&self, job: Job) -> Result<(), Halt> {
        let template = prepare::current_template(&*self.templates, &job).await?;
        let client = self.client(&template, &job).await?;
        let view = prepare::read_template(&client, &template, &self.controllers)
            .instrument(tracing::info_span!("awx.read_template", otel.kind = "client"))
            .await?;
        prepare::check_drift(&*self.templates, &template, &view).await?;
        let number = job.attempts + 1;
        let Prepared { body, marker, placement } = prepare::build(&*self.seals, &template, &view, &job, number).await?;
        let attempt = Attempt {
            job_id: job.id.clone(),
            number,
            installation: template.controller.installation(),
            controller_template: template.controller_template,
            account: template.controller.account,
            marker,
            placement: placement.as_str().into(),
            sent_at: self.clock.now(),
            state: AttemptState::Intent,
        };
        let begin = Begin {
            fence: job.lease.fence,
            max_concurrent: template.max_concurrent,
            now: self.clock.now(),
            entries: vec![records::launch(&*self.clock, &job, &attempt)],
            attempt: attempt.clone(),
        };
        let job = match self.store.begin_attempt(begin).await? {
            Begun::Yes(job) => *job,
            Begun::Blocked => {
                return Err(Stop::Soon("waiting for another launch of this template to be settled".into()).into());
            }
            Begun::Full => {
                return Err(Stop::Soon("waiting for another job of this template to end".into()).into());
            }
            Begun::Lost => return Err(Halt::Lost),
        };
        self.live.ring(&job.id);
        self.bell.ring();
        let answer = if protocol::may_send(&attempt, self.clock.now()) {
            send(client, &template, &body).await
        } else {
            Err(LaunchError::NotSent(AwxError::Timeout))
        };
        let answer = self.understand(answer, &attempt, &template);
        self.learn(&job.id, attempt.number, move |job, attempt, now| protocol::answered(job, attempt, answer, now))
            .await?;
        Ok(())
    }

    async fn client(&self, template: &Template, job: &Job) -> Result<Arc<Client>, Halt> {
        let purpose = format!("launch {}", job.id);
        self.controllers.client(&template.controller, &purpose).await.map_err(|error| {
            error.log();
            Stop::Later("the controller's credential cannot be read right now".into()).into()
        })
    }

    /// What an answer says in the protocol's terms.
    fn understand(&self, answer: Result<Launched, LaunchError>, attempt: &Attempt, template: &Template) -> Answer {
        match answer {
            Ok(launched) => launched_answer(&launched, attempt),
            Err(LaunchError::NotSent(error)) => {
                let why = error.to_string();
                Answer::NotLaunched { then: Stop::Later(format!("{why}; trying again")), why }
            }
            Err(LaunchError::Refused { refusal, temporary, status }) => {
                let why = format!("The controller refused the launch ({status}): {refusal}");
                let then = if temporary {
                    Stop::Later(why.clone())
                } else if status == 401 {
                    self.controllers.forget(&template.controller.tenant, &template.controller.name);
                    Stop::End(JobState::Error, reason::CONTROLLER_UNAUTHORIZED, why.clone())
                } else {
                    Stop::End(JobState::Error, reason::CONTROLLER_REFUSED, why.clone())
                };
                Answer::NotLaunched { why, then }
            }
            Err(LaunchError::Unresolved { why, .. }) => {
                tracing::warn!(job = attempt.job_id, why, "it is not known whether the launch happened");
                metrics::counter!("runwarden_launches_unresolved_total").increment(1);
                Answer::Unresolved { why }
            }
        }
    }

    /// Writes down what was learned about an attempt, with its audit entry, and tells who waits.
    pub(crate) async fn learn<F>(&self, job: &str, number: u32, transition: F) -> Result<()>
    where
        F: FnOnce(&mut Job, &mut Attempt, Moment) -> Result<Written> + Send + 'static,
    {
        let now = self.clock.now();
        let clock = self.clock.clone();
        let change = move |job: &mut Job, last: Option<Attempt>| {
            let Some(mut attempt) = last.filter(|attempt| attempt.number == number) else { return Ok(None) };
            match transition(job, &mut attempt, now)? {
                Written::Nothing => Ok(None),
                Written::Quietly => Ok(Some(Effects::default())),
                Written::Aloud => {
                    let mut effects = Effects::told().with_entry(records::attempt(&*clock, job, &attempt));
                    if job.state.is_end() || job.state == JobState::Unknown {
                        effects = effects.with_entry(records::finish(&*clock, job));
                    }
                    Ok(Some(effects.with_attempt(attempt)))
                }
            }
        };
        let job_now = self.store.update(job, now, Box::new(change)).await?;
        if let Some(run) = job_now.as_ref().and_then(|job| job.run.as_ref()) {
            tracing::info!(job, run = run.id, "bound");
        }
        self.live.ring(job);
        self.watch.ring();
        self.bell.ring();
        self.work.ring();
        Ok(())
    }

    /// Writes down why a step ended.
    async fn stop(&self, id: &str, fence: u64, stop: Stop) -> Result<()> {
        let now = self.clock.now();
        let clock = self.clock.clone();
        let change = move |job: &mut Job, last: Option<Attempt>| {
            if protocol::stopped(job, last.as_ref(), fence, stop, now)? == Written::Nothing {
                return Ok(None);
            }
            let effects = Effects::told();
            Ok(Some(if job.state.is_end() { effects.with_entry(records::finish(&*clock, job)) } else { effects }))
        };
        self.store.update(id, now, Box::new(change)).await?;
        self.live.ring(id);
        self.bell.ring();
        // What ended may have made room for another.
        self.work.ring();
        Ok(())
    }
}

/// The run a launch became, and whether it must be stopped because it is not what was asked for.
fn launched_answer(launched: &Launched, attempt: &Attempt) -> Answer {
    let run = Run {
        installation: attempt.installation.clone(),
        kind: launched.run.kind.as_str().into(),
        id: launched.run.id,
    };
    let condemned = (!launched.took_everything()).then(|| Condemned {
        state: JobState::Error,
        reason: reason::FIELDS_IGNORED.into(),
        detail: format!(
            "The controller launched it without {}, so the run was cancelled: its template no longer prompts for that.",
            launched.ignored.join(", ")
        ),
    });
    Answer::Launched { run, condemned }
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

/// The view of a template, for those who only compare.
pub(crate) fn is_drifted(template: &Template, view: &TemplateView) -> Vec<String> {
    if view.fingerprint() == template.fingerprint {
        return Vec::new();
    }
    let told = awx::drift(&template.fingerprint_parts, &view.parts());
    if told.is_empty() { vec!["something about the controller's template changed".into()] } else { told }
}
