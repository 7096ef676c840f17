//! Launching: claims jobs that are due and takes each one step further. Whatever a step learns is durable before the
//! next; a process that dies anywhere leaves a job that another picks up where it stands.

use std::sync::Arc;
use std::time::Duration;

use runwarden_kit::audit::{Bell, Outcome};
use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::{Error, Result, telemetry};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use crate::attempt::{Attempt, AttemptState, Patience};
use crate::awx::{self, Client, LaunchBody, LaunchError, Launched, TemplateView};
use crate::controllers::Controllers;
use crate::job::{Condemned, Job, JobState, Run, reason};
use crate::live::Live;
use crate::ports::{Seals, Template, Templates};
use crate::prepare::{self, Prepared};
use crate::records;
use crate::store::{Begin, Begun, Effects, JobStore};
use crate::work::WorkBell;

/// How long a claim holds. Longer than the longest launch request, so that nobody else takes over while one is out.
const LEASE: Duration = Duration::from_secs(300);
/// How long a job that waits for others waits before it looks again.
const WAIT_FOR_OTHERS: Duration = Duration::from_secs(1);
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

/// Why a step ended without a launch.
pub enum Stop {
    /// Try again later, after a pause that grows.
    Later(String),
    /// Try again in a moment: it waits for other jobs, not for something that is broken.
    Soon(String),
    /// The job is over.
    End(JobState, &'static str, String),
    /// Somebody else has the job now.
    Lost,
    /// Something broke.
    Broken(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

impl Launcher {
    /// Works until shutdown, on at most `at_once` jobs at a time. A launch that was sent is waited for.
    pub async fn run(self: Arc<Self>, at_once: usize, shutdown: Shutdown) {
        let room = Arc::new(Semaphore::new(at_once));
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            if shutdown.has_begun() {
                break;
            }
            let now = self.clock.now();
            match self.store.claim(now, now.plus(LEASE)).await {
                Ok(Some(job)) => {
                    let launcher = self.clone();
                    tokio::spawn(async move {
                        let _permit = permit;
                        Box::pin(launcher.take_further(job)).await;
                    });
                    continue;
                }
                Ok(None) => {}
                Err(error) => error.log(),
            }
            drop(permit);
            let pause = self.until_next().await;
            tokio::select! {
                () = self.work.heard_within(pause) => {}
                () = shutdown.begun() => break,
            }
        }
        // A launch that is out must be heard out: its answer is the only proof there is.
        let all = u32::try_from(at_once).unwrap_or(u32::MAX);
        let _done = tokio::time::timeout(Duration::from_secs(15), room.acquire_many(all)).await;
    }

    /// How long nothing is due.
    async fn until_next(&self) -> Duration {
        match self.store.next_due().await {
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
        telemetry::continue_trace_id(&span, &job.trace_id);
        let context = RequestContext {
            request_id: job.request_id.clone(),
            trace_id: job.trace_id.clone(),
            ..RequestContext::default()
        };
        let step = context::scope(context, async {
            let id = job.id.clone();
            let fence = job.lease.fence;
            match self.step(job).await {
                Ok(()) | Err(Stop::Lost) => {}
                Err(stop) => {
                    if let Err(error) = self.settle(&id, fence, stop).await {
                        // The claim ends by itself, and the job is taken up again.
                        error.log();
                    }
                }
            }
        });
        Box::pin(step.instrument(span)).await;
    }

    async fn step(&self, job: Job) -> Result<(), Stop> {
        match self.store.last_attempt(&job.id).await? {
            Some(attempt) if attempt.is_open() => self.reconcile(job, attempt).await,
            _ if job.cancel_requested => Err(Stop::End(
                JobState::Canceled,
                reason::CANCELED_BY_CALLER,
                "It was cancelled before it was launched.".into(),
            )),
            _ => self.launch(job).await,
        }
    }

    /// Everything a launch needs, checked; then the intent; then the launch; then what became of it.
    async fn launch(&self, job: Job) -> Result<(), Stop> {
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
                return Err(Stop::Soon("waiting for another launch of this template to be settled".into()));
            }
            Begun::Full => return Err(Stop::Soon("waiting for another job of this template to end".into())),
            Begun::Lost => return Err(Stop::Lost),
        };
        self.live.ring(&job.id);
        self.bell.ring();
        let answer = send(client, &template, &body).await;
        self.conclude(&job, attempt, answer, &template).await
    }

    async fn client(&self, template: &Template, job: &Job) -> Result<Arc<Client>, Stop> {
        let purpose = format!("launch {}", job.id);
        self.controllers.client(&template.controller, &purpose).await.map_err(|error| {
            error.log();
            Stop::Later("the controller's credential cannot be read right now".into())
        })
    }

    /// Writes down what became of a launch.
    async fn conclude(
        &self,
        job: &Job,
        attempt: Attempt,
        answer: Result<Launched, LaunchError>,
        template: &Template,
    ) -> Result<(), Stop> {
        match answer {
            Ok(launched) => self.bind(job, attempt, &launched).await,
            Err(LaunchError::NotSent(error)) => {
                let why = error.to_string();
                self.not_launched(job, attempt, &why, Stop::Later(format!("{why}; trying again"))).await
            }
            Err(LaunchError::Refused { refusal, temporary, status }) => {
                let why = format!("The controller refused the launch ({status}): {refusal}");
                let stop = if temporary {
                    Stop::Later(why.clone())
                } else if status == 401 {
                    self.controllers.forget(&template.controller.tenant, &template.controller.name);
                    Stop::End(JobState::Error, reason::CONTROLLER_UNAUTHORIZED, why.clone())
                } else {
                    Stop::End(JobState::Error, reason::CONTROLLER_REFUSED, why.clone())
                };
                self.not_launched(job, attempt, &why, stop).await
            }
            Err(LaunchError::Unresolved { why, .. }) => self.unresolved(job, attempt, why).await,
        }
    }

    async fn bind(&self, job: &Job, attempt: Attempt, launched: &Launched) -> Result<(), Stop> {
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
        self.bind_run(&job.id, attempt, run, condemned).await
    }

    /// Binds a job to its run, whoever found it.
    pub(crate) async fn bind_run(
        &self,
        job: &str,
        attempt: Attempt,
        run: Run,
        condemned: Option<Condemned>,
    ) -> Result<(), Stop> {
        let now = self.clock.now();
        let clock = self.clock.clone();
        let attempt = Attempt { state: AttemptState::Bound { run_id: run.id }, ..attempt };
        let change = move |job: &mut Job| {
            // No fence here: a launch that happened is a fact, whoever holds the claim by now.
            if job.run.as_ref() == Some(&run) && job.condemned.is_none() && condemned.is_some() {
                // The reconciler was faster, but only the launch's own answer tells what was dropped.
                job.condemned = condemned;
                return Ok(Some(Effects::told()));
            }
            if job.state != JobState::Launching || job.attempts != attempt.number {
                return Ok(None);
            }
            job.bind(run, now)?;
            job.condemned = condemned;
            let entry = records::attempt(&*clock, job, &attempt, Outcome::Success);
            Ok(Some(Effects::told().with_attempt(attempt).with_entry(entry)))
        };
        let bound = self.store.update(job, now, Box::new(change)).await?;
        if let Some(bound) = bound {
            tracing::info!(job = bound.id, run = ?bound.run, "bound");
        }
        self.live.ring(job);
        self.watch.ring();
        self.bell.ring();
        Ok(())
    }

    async fn not_launched(&self, job: &Job, attempt: Attempt, why: &str, stop: Stop) -> Result<(), Stop> {
        let now = self.clock.now();
        let attempt = Attempt { state: AttemptState::NotLaunched { why: why.to_owned() }, ..attempt };
        let clock = self.clock.clone();
        let change = move |job: &mut Job| {
            let entry = records::attempt(&*clock, job, &attempt, Outcome::Failed);
            Ok(Some(Effects::default().with_attempt(attempt).with_entry(entry)))
        };
        self.store.update(&job.id, now, Box::new(change)).await?;
        Err(stop)
    }

    async fn unresolved(&self, job: &Job, attempt: Attempt, why: String) -> Result<(), Stop> {
        tracing::warn!(job = job.id, why, "it is not known whether the launch happened");
        metrics::counter!("runwarden_launches_unresolved_total").increment(1);
        let now = self.clock.now();
        let attempt = Attempt { state: AttemptState::Unresolved { why }, ..attempt };
        let clock = self.clock.clone();
        let change = move |job: &mut Job| {
            if job.state != JobState::Launching || job.attempts != attempt.number {
                return Ok(None);
            }
            job.progress = "the controller's answer was lost; finding out whether it was launched".into();
            job.due_at = Some(now.plus(Duration::from_millis(500)));
            let entry = records::attempt(&*clock, job, &attempt, Outcome::Intent);
            Ok(Some(Effects::told().with_attempt(attempt).with_entry(entry)))
        };
        self.store.update(&job.id, now, Box::new(change)).await?;
        self.live.ring(&job.id);
        self.bell.ring();
        Ok(())
    }

    /// Writes down why a step ended.
    async fn settle(&self, id: &str, fence: u64, stop: Stop) -> Result<()> {
        let now = self.clock.now();
        let clock = self.clock.clone();
        let change = move |job: &mut Job| {
            if job.lease.fence != fence || !matches!(job.state, JobState::New | JobState::Launching) {
                return Ok(None);
            }
            settle_job(job, now, stop)?;
            let mut effects = Effects::told();
            if job.state.is_end() || job.state == JobState::Unknown {
                effects = effects.with_entry(records::finish(&*clock, job));
            }
            Ok(Some(effects))
        };
        self.store.update(id, now, Box::new(change)).await?;
        self.live.ring(id);
        self.bell.ring();
        // What ended may have made room for another.
        self.work.ring();
        Ok(())
    }
}

fn settle_job(job: &mut Job, now: Moment, stop: Stop) -> Result<()> {
    match stop {
        Stop::Later(why) => job.set_back(now, why),
        Stop::Soon(why) => {
            job.due_at = Some(now.plus(WAIT_FOR_OTHERS));
            job.progress = why;
        }
        Stop::End(state, reason, detail) => {
            // A job that was never tried cannot have become unknown, and one that was cannot be unmade.
            job.end(state, now, Some((reason, detail)))?;
        }
        Stop::Lost => {}
        Stop::Broken(error) => {
            error.log();
            job.set_back(now, "something in Runwarden is not available right now; trying again");
        }
    }
    Ok(())
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
