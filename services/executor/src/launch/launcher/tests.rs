//! Several launchers on one store, against a controller that behaves as AWX does.

use std::path::Path;

use async_trait::async_trait;
use runwarden_awx::{Client, ClientLimits, Credential, Target, TemplateKind};
use runwarden_kit::clock::{Clock, SystemClock};
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, SecretString};
use runwarden_sandbox::{Options, Sandbox, UseAnsible};
use serde_json::json;

use super::*;
use crate::breaker::Breaker;
use crate::controllers;
use crate::controllers::Controllers;
use crate::job::Attempt;
use crate::job::AttemptState;
use crate::job::Stray;
use crate::job::tests::example;
use crate::job::{AT_ONCE, reason};
use crate::launch::strays::Strays;
use crate::ports::CredentialSource;
use crate::ports::Templates;
use crate::ports::{Controller, Sealed, Template};
use crate::store::Effects;
use crate::store::sqlite::SqliteJobs;
use crate::store::{Acceptance, StrayRuns as _};
use crate::test_doubles::shared;
use crate::test_doubles::{Said, template};
use crate::wait::limits::Limits;

mod authority;
mod identity;
mod looks;
mod shared_looks;
mod strays;

/// A clock that is off by seconds.
struct Off(i64);

impl Clock for Off {
    fn now(&self) -> Moment {
        Moment::from_micros(SystemClock.now().micros() + self.0 * 1_000_000)
    }
}

/// A clock that shows the first moment once, and the second from then on.
struct Rushing(std::sync::Mutex<Option<Moment>>, Moment);

impl Clock for Rushing {
    fn now(&self) -> Moment {
        self.0.lock().unwrap().take().unwrap_or(self.1)
    }
}

/// A clock of a process that is held up between any two instructions.
struct HeldUp(SystemClock, std::sync::atomic::AtomicI64);

impl Clock for HeldUp {
    fn now(&self) -> Moment {
        let seconds = self.1.fetch_add(3, std::sync::atomic::Ordering::Relaxed);
        Moment::from_micros(self.0.now().micros() + seconds * 1_000_000)
    }
}

struct One(Template);

#[async_trait]
impl Templates for One {
    async fn template(&self, _: &TenantId, _: &str) -> Result<Option<Arc<Template>>> {
        Ok(Some(Arc::new(self.0.clone())))
    }

    async fn controller(&self, _: &TenantId, _: &str) -> Result<Option<Controller>> {
        Ok(Some(self.0.controller.clone()))
    }

    async fn report_drift(&self, _: &Template, _: &[String]) -> Result<()> {
        Ok(())
    }
}

struct NoSeals;

#[async_trait]
impl Seals for NoSeals {
    async fn seal(&self, _: &TenantId, _: &str, _: &SecretString) -> Result<Sealed> {
        Err(Error::internal(anyhow::anyhow!("nothing is sealed here")))
    }

    async fn open(&self, _: &TenantId, _: &str, _: &[u8], _: &str) -> Result<SecretString> {
        Err(Error::internal(anyhow::anyhow!("nothing is sealed here")))
    }
}

struct Token(String);

#[async_trait]
impl CredentialSource for Token {
    async fn read(&self, _: &TenantId, _: &str, _: &str) -> Result<Credential> {
        Ok(Credential::bearer(self.0.clone()))
    }
}

/// A controller, a store, and a template mapped to the controller's `ask-variables` (marked) or `plain` (not).
struct World {
    sandbox: Sandbox,
    said: Arc<Said>,
    folder: tempfile::TempDir,
    template: Template,
}

impl World {
    async fn new(controller_template: i64) -> Self {
        let options = Options { use_ansible: UseAnsible::Never, speed: 100.0, ..Options::default() };
        let sandbox = Sandbox::start(options).await.unwrap();
        let target = Target { url: sandbox.url(), api_root: sandbox.api_root().to_owned(), ca_pem: String::new() };
        let client = Client::new(&target, &Credential::bearer(sandbox.token()), controllers::limits()).unwrap();
        let view = client.template(TemplateKind::Job, controller_template).await.unwrap();
        let account = client.who_am_i().await.unwrap().id;
        let controller = Controller { target, account, ..template().controller };
        let template = Template {
            controller,
            controller_template,
            fingerprint: runwarden_awx::fingerprint(&view.parts()),
            fingerprint_parts: view.parts(),
            ..template()
        };
        Self { sandbox, said: Arc::default(), folder: tempfile::tempdir().unwrap(), template }
    }

    async fn store(&self) -> Arc<SqliteJobs> {
        Arc::new(SqliteJobs::open(&self.folder.path().join("jobs.db")).await.unwrap())
    }

    /// An executor with its own connections and clock.
    async fn executor(&self, name: &str, clock_off: i64) -> Launcher {
        self.executor_as(self.sandbox.token(), name, clock_off).await
    }

    /// The same with another credential.
    async fn executor_as(&self, token: String, name: &str, clock_off: i64) -> Launcher {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let token: Arc<dyn CredentialSource> = Arc::new(Token(token));
        let limits = ClientLimits { launch: Duration::from_secs(2), ..controllers::limits() };
        Launcher {
            shared: Shared {
                controllers: Arc::new(Controllers::new(token, limits)),
                clock: Arc::new(Off(clock_off)),
                ..shared(self.store().await, Arc::new(One(self.template.clone())))
            },
            seals: Arc::new(NoSeals),
            authority: self.said.authority(),
            instance: instance(&folder),
            patience: Patience {
                controller_request: Duration::from_secs(1),
                clock_skew: Duration::from_secs(90),
                hidden: Duration::from_secs(30),
            },
            seen: FirstSeen::ahead(Duration::from_secs(clock_off.try_into().unwrap_or(0))),
            looks: Looks::default(),
        }
    }

    async fn accept(&self) -> Job {
        let job = Job { due_at: Some(AT_ONCE), launch_digest: self.template.launch_digest.clone(), ..example() };
        self.store().await.accept(Acceptance::of(job.clone())).await.unwrap();
        job
    }

    /// Puts the controller back to where it had no runs.
    async fn restore(&self) {
        self.lever(reqwest::Method::POST, "restore", json!({"last_run": 0})).await;
    }

    async fn job(&self, id: &str) -> Job {
        self.store().await.get(&TenantId::trusted("acme"), id).await.unwrap().unwrap()
    }

    async fn fault(&self, fault: serde_json::Value) {
        self.fault_at("/launch/", fault).await;
    }

    async fn fault_at(&self, path: &str, fault: serde_json::Value) {
        self.order(json!({"method": "POST", "path": path, "fault": fault})).await;
    }

    /// Has the next request of this shape go wrong.
    async fn order(&self, order: serde_json::Value) {
        self.lever(reqwest::Method::POST, "faults", order).await;
    }

    /// Whether Runwarden's account may see the template and its runs.
    async fn hide(&self, hidden: bool) {
        let path = format!("templates/{}", self.template.controller_template);
        self.lever(reqwest::Method::PATCH, &path, json!({"restricted": hidden})).await;
    }

    async fn lever(&self, method: reqwest::Method, path: &str, body: serde_json::Value) -> serde_json::Value {
        let answer = reqwest::Client::new()
            .request(method, format!("{}/sandbox/{path}", self.sandbox.url()))
            .bearer_auth(self.sandbox.control_token())
            .json(&body)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.unwrap_or_default()
    }

    /// Has an executor look for a launch, as if the pause before had passed.
    async fn look(&self, launcher: &Launcher, job: &str) -> Job {
        let hurry = |job: &mut Job, _: Option<Attempt>, _| {
            job.look_now();
            Ok(Some(Effects::default()))
        };
        self.store().await.change(job, Moment::from_micros(1), None, &hurry).await.unwrap();
        let taken = launcher.take().await.expect("it is due");
        assert!(launcher.step(taken).await.is_ok());
        self.job(job).await
    }

    /// Launches a job, and its answer is lost.
    async fn lost(&self, fault: serde_json::Value) -> Job {
        let launcher = self.executor("lost", 0).await;
        let job = self.accept().await;
        let claimed = launcher.take().await.unwrap();
        self.fault(fault).await;
        assert!(launcher.step(claimed).await.is_ok());
        job
    }
}

/// Who stops what should not be, at an executor.
fn strays_of(launcher: &Launcher) -> Strays {
    let breaker = Breaker::default();
    Strays { shared: Shared { breaker, ..launcher.shared.clone() } }
}

fn instance(folder: &Path) -> Arc<Instance> {
    Arc::new(Instance::take(folder).unwrap())
}

impl Launcher {
    /// Claims what is due, if anything is.
    async fn take(&self) -> Option<Job> {
        let scheduler =
            Scheduler::new(8, self.shared.known.clone(), self.shared.breaker.clone(), self.shared.work.clone());
        self.claim(&scheduler, &mut Heads::default()).await.unwrap().map(|(job, _place)| job)
    }
}

#[tokio::test]
async fn a_worker_that_was_held_up_finds_its_claim_worthless() {
    let world = World::new(22).await;
    let (held_up, other) = (world.executor("a", 0).await, world.executor("b", 0).await);
    let job = world.accept().await;
    held_up.shared.store.beat(held_up.instance.id()).await.unwrap();
    let claimed = held_up.take().await.unwrap();
    assert!(other.take().await.is_none(), "it is held");
    // The first stands still for so long that it is taken for gone.
    let shown = other.shared.store.beats(other.instance.id()).await.unwrap();
    assert_eq!(other.shared.store.free(&shown[0]).await.unwrap(), Some(1));
    let taken = other.take().await.unwrap();
    assert!(other.step(taken).await.is_ok());
    // Then it goes on as if nothing had been.
    assert!(matches!(held_up.step(claimed).await, Err(Halt::Lost)));
    assert_eq!(world.sandbox.launched(), 1);
    assert_eq!(world.job(&job.id).await.state, JobState::Running);
}

#[tokio::test]
async fn an_answer_that_comes_to_a_worker_taken_for_gone_still_counts_and_once() {
    let world = World::new(22).await;
    let (slow, other) = (world.executor("a", 0).await, world.executor("b", 0).await);
    let job = world.accept().await;
    world.fault(json!({"kind": "slow", "ms": 700})).await;
    slow.shared.store.beat(slow.instance.id()).await.unwrap();
    let claimed = slow.take().await.unwrap();
    let launching = async { slow.step(claimed).await.is_ok() };
    let taking_over = async {
        // The intent is durable, the launch is out.
        while world.job(&job.id).await.state != JobState::Launching {
            tokio::task::yield_now().await;
        }
        let shown = other.shared.store.beats(other.instance.id()).await.unwrap();
        assert_eq!(other.shared.store.free(&shown[0]).await.unwrap(), Some(1));
        let taken = other.take().await.unwrap();
        let last = other.shared.store.last_attempt(&taken.id).await.unwrap().unwrap();
        assert!(last.is_open());
        // It looks, and concludes nothing from finding nothing.
        assert!(other.step(taken).await.is_ok());
    };
    let (done, ()) = tokio::join!(launching, taking_over);
    assert!(done);
    let (job, ledger) = (world.job(&job.id).await, world.sandbox.ledger());
    assert_eq!((job.state, ledger.len()), (JobState::Running, 1));
    assert_eq!(job.run.map(|run| run.id), i64::try_from(ledger[0].run).ok());
}

#[tokio::test]
async fn clocks_that_differ_by_a_minute_and_a_half_delay_nothing_and_prove_nothing() {
    let world = World::new(22).await;
    let (ahead, behind) = (world.executor("a", 90).await, world.executor("b", 0).await);
    // What one accepted is due at once for the other.
    let job = world.accept().await;
    let claimed = behind.take().await.unwrap();
    world.fault(json!({"kind": "lose_before"})).await;
    assert!(behind.step(claimed).await.is_ok());
    let attempt = behind.shared.store.last_attempt(&job.id).await.unwrap().unwrap();
    assert!(matches!(attempt.state, AttemptState::Unresolved { .. }), "{attempt:?}");
    // By the clock that is ahead the controller's longest request has passed long ago. That proves nothing.
    let mut looked = 0;
    while looked < 2 {
        if let Some(taken) = ahead.take().await {
            assert!(ahead.step(taken).await.is_ok());
            looked += 1;
        }
        let now = world.job(&job.id).await;
        assert_eq!((now.state, now.attempts), (JobState::Launching, 1), "nothing is concluded yet");
        // As if the pause between two looks had passed.
        let hurry = |job: &mut Job, _: Option<Attempt>, _| {
            job.look_now();
            Ok(Some(Effects::default()))
        };
        world.store().await.change(&job.id, Moment::from_micros(1), None, &hurry).await.unwrap();
    }
    assert_eq!(world.sandbox.launched(), 0);
}

#[tokio::test]
async fn a_run_that_comes_to_light_too_late_is_recorded_and_stopped() {
    let world = World::new(22).await;
    let launcher = world.executor("a", 0).await;
    let job = world.accept().await;
    let claimed = launcher.take().await.unwrap();
    world.fault(json!({"kind": "slow", "ms": 500})).await;
    let launching = async { launcher.step(claimed).await.is_ok() };
    let concluding = async {
        while world.job(&job.id).await.state != JobState::Launching {
            tokio::task::yield_now().await;
        }
        // Somebody concludes that it did not happen, and ends the job: what must not be, and what would be if this
        // process had been stopped for minutes.
        let end = |job: &mut Job, last: Option<Attempt>, _| {
            let state = AttemptState::NotLaunched { why: "nothing appeared".into() };
            let attempt = last.map(|last| Attempt { state, ..last });
            job.end(JobState::Canceled, Moment::from_micros(9), None)?;
            Ok(Some(Effects { attempt, ..Effects::announced() }))
        };
        world.store().await.change(&job.id, Moment::from_micros(9), None, &end).await.unwrap();
    };
    let (done, ()) = tokio::join!(launching, concluding);
    assert!(done);
    assert_eq!(world.job(&job.id).await.state, JobState::Canceled, "an end is an end");
    use runwarden_kit::audit::OutboxStore as _;
    let actions: Vec<String> =
        world.store().await.pending("acme", 100).await.unwrap().into_iter().map(|entry| entry.action).collect();
    assert!(actions.contains(&"job.stray_run".to_owned()), "{actions:?}");
    // Who learned of it is gone. Whoever is there now takes it up; the first wish to stop it comes to nothing.
    drop(launcher);
    world.fault_at("/cancel/", json!({"kind": "status", "status": 503})).await;
    let other = world.executor("b", 0).await;
    let strays = strays_of(&other);
    let settled = async || {
        strays.look_at_all().await.unwrap();
        world.store().await.count_strays().await.unwrap() == 0
    };
    while !settled().await {
        tokio::task::yield_now().await;
    }
    let actions: Vec<String> =
        world.store().await.pending("acme", 100).await.unwrap().into_iter().map(|entry| entry.action).collect();
    assert!(actions.contains(&"job.stray_settled".to_owned()), "{actions:?}");
    let run = world.sandbox.ledger()[0].run;
    let status = async || {
        let told = reqwest::Client::new()
            .get(format!("{}/sandbox/runs/{run}", world.sandbox.url()))
            .bearer_auth(world.sandbox.control_token())
            .send()
            .await
            .unwrap();
        told.json::<serde_json::Value>().await.unwrap()["status"].as_str().unwrap().to_owned()
    };
    while !["canceled", "successful"].contains(&status().await.as_str()) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn whoever_breaks_down_over_a_job_does_not_keep_it() {
    let world = World::new(22).await;
    let launcher = world.executor("a", 0).await;
    let job = world.accept().await;
    let claimed = launcher.take().await.unwrap();
    assert!(launcher.take().await.is_none());
    let store = launcher.shared.store.clone();
    let broken = tokio::spawn(async move {
        let _holding = Holding::of(&claimed, store);
        panic!("on purpose");
    });
    assert!(broken.await.is_err());
    while world.job(&job.id).await.lease.holder.is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(launcher.take().await.unwrap().id, job.id);
}

#[tokio::test]
async fn what_waits_for_a_lost_launch_does_not_ask_for_it_all_the_time() {
    // Nothing can mark launches of this template.
    let world = World::new(9).await;
    let launcher = world.executor("a", 0).await;
    let lost = world.accept().await;
    world.fault(json!({"kind": "lose_before"})).await;
    let claimed = launcher.take().await.unwrap();
    assert!(launcher.step(claimed).await.is_ok());
    let waits = world.accept().await;
    let scheduler = Scheduler::new(8, launcher.shared.known.clone(), Breaker::default(), launcher.shared.work.clone());
    let mut tried = 0;
    for _ in 0..60 {
        if launcher.shared.work.has_ended() {
            scheduler.freed();
        }
        let claimed = launcher.claim(&scheduler, &mut Heads::default()).await.unwrap();
        if let Some((job, _place)) = claimed {
            tried += u64::from(job.id == waits.id);
            launcher.take_further(job, &scheduler).await;
        }
    }
    assert_eq!(tried, 0, "the queue shows by itself that it has to wait");
    let waits = world.job(&waits.id).await;
    let place = launcher.shared.store.place(&waits, &Limits::default(), launcher.shared.clock.now()).await.unwrap();
    assert!(place.blocked, "whoever asks is told so");
    assert_eq!((world.job(&lost.id).await.state, world.sandbox.launched()), (JobState::Launching, 0));
}

#[tokio::test]
async fn a_launch_that_runwarden_itself_held_up_is_not_held_against_its_controller() {
    let world = World::new(22).await;
    let clock = Arc::new(HeldUp(SystemClock, 0.into()));
    let launcher = world.executor("a", 0).await;
    let launcher = Launcher { shared: Shared { clock, ..launcher.shared.clone() }, ..launcher };
    let job = world.accept().await;
    let claimed = launcher.take().await.unwrap();
    assert!(launcher.step(claimed).await.is_ok());
    let job = world.job(&job.id).await;
    assert_eq!((job.state, job.attempt_open, world.sandbox.launched()), (JobState::Launching, false, 0));
    assert!(job.due_at.is_some_and(|due| due > AT_ONCE), "it is tried again after a pause");
    assert!(job.progress.contains("Runwarden itself was too slow"), "{}", job.progress);
    assert!(!job.progress.contains("did not answer"), "{}", job.progress);
    assert_eq!(
        launcher.shared.breaker.why(&(TenantId::trusted("acme"), "awx".into())),
        None,
        "the controller is not left alone"
    );
}

#[tokio::test]
async fn what_waits_for_a_lost_launch_does_not_keep_it_from_being_looked_for() {
    // Nothing can mark launches of this template.
    let world = World::new(9).await;
    let launcher = world.executor("a", 0).await;
    let (older, lost) = (world.accept().await, world.accept().await);
    // The older one was tried and is to be launched again; the launch of the younger one is out.
    let begun = |job: &mut Job, _: Option<Attempt>, _| {
        job.become_state(JobState::Launching)?;
        Ok(Some(Effects::default()))
    };
    let claimed = launcher.take().await.unwrap();
    assert_eq!(claimed.id, older.id);
    world.fault(json!({"kind": "lose_after"})).await;
    let second = launcher.take().await.unwrap();
    assert!(launcher.step(second).await.is_ok());
    launcher.shared.store.release(&older.id, claimed.lease.fence).await.unwrap();
    world.store().await.change(&older.id, Moment::from_micros(1), None, &begun).await.unwrap();
    let scheduler = Scheduler::new(8, launcher.shared.known.clone(), Breaker::default(), launcher.shared.work.clone());
    let mut looked = false;
    for _ in 0..4 {
        let hurry = |job: &mut Job, _: Option<Attempt>, _| {
            job.look_now();
            Ok(Some(Effects::default()))
        };
        world.store().await.change(&lost.id, Moment::from_micros(1), None, &hurry).await.unwrap();
        let Some((job, _place)) = launcher.claim(&scheduler, &mut Heads::default()).await.unwrap() else { break };
        looked |= job.id == lost.id;
        launcher.take_further(job, &scheduler).await;
    }
    assert!(looked, "the lost launch was looked for");
}

/// Just past the time after which nothing can come any more, and past that for a right to come back.
const OVER: i64 = 110;
const GIVEN_UP: i64 = 200;

#[tokio::test]
async fn a_launch_that_may_only_be_hidden_is_never_repeated() {
    for (controller_template, fault) in [(22, "lose_after"), (9, "lose_after"), (22, "lose_before"), (9, "lose_before")]
    {
        let world = World::new(controller_template).await;
        let job = world.lost(json!({"kind": fault})).await;
        let launched = world.sandbox.launched();
        world.hide(true).await;
        let waits = world.look(&world.executor("a", OVER).await, &job.id).await;
        assert_eq!((waits.state, waits.attempts), (JobState::Launching, 1), "nothing is concluded: {}", waits.progress);
        assert!(waits.progress.contains("hides template"), "{}", waits.progress);
        let parked = world.look(&world.executor("b", GIVEN_UP).await, &job.id).await;
        assert_eq!((parked.state, parked.reason.as_deref()), (JobState::Unknown, Some(reason::UNTRACEABLE)));
        assert!(parked.reason_detail.unwrap().contains("hides template"));
        assert_eq!(world.sandbox.launched(), launched, "{controller_template} {fault}");
    }
}

#[tokio::test]
async fn what_comes_into_sight_again_is_found_or_proven_absent() {
    for (fault, state, launched) in [("lose_after", JobState::Running, 1), ("lose_before", JobState::Launching, 0)] {
        let world = World::new(22).await;
        let job = world.lost(json!({"kind": fault})).await;
        world.hide(true).await;
        assert_eq!(world.look(&world.executor("a", OVER).await, &job.id).await.attempts, 1);
        world.hide(false).await;
        let seen = world.look(&world.executor("b", OVER).await, &job.id).await;
        assert_eq!((seen.state, world.sandbox.launched()), (state, launched), "{fault}");
        assert!(!world.store().await.last_attempt(&job.id).await.unwrap().unwrap().is_open(), "{fault}");
    }
}

#[tokio::test]
async fn another_account_proves_nothing_about_the_launches_of_the_one_before() {
    let world = World::new(22).await;
    let job = world.lost(json!({"kind": "lose_before"})).await;
    let token = world.lever(reqwest::Method::POST, "accounts/admin/rotate", json!({})).await["token"].clone();
    let other = world.executor_as(token.as_str().unwrap().to_owned(), "a", GIVEN_UP).await;
    let parked = world.look(&other, &job.id).await;
    assert_eq!((parked.state, parked.reason.as_deref()), (JobState::Unknown, Some(reason::UNTRACEABLE)));
    assert!(parked.reason_detail.as_ref().unwrap().contains("admin"), "{parked:?}");
    assert_eq!(world.sandbox.launched(), 0, "what it may see does not matter");
}

#[tokio::test]
async fn what_is_only_said_in_front_of_the_controller_makes_a_job_wait_longer_each_time() {
    let world = World::new(22).await;
    let launcher = world.executor("a", 0).await;
    let job = world.accept().await;
    let faults = [json!({"kind": "status", "status": 413}), json!({"kind": "unauthorized"})];
    for (n, fault) in faults.into_iter().enumerate() {
        world.fault(fault.clone()).await;
        let launcher = world.executor(&format!("e{n}"), 0).await;
        let waits = world.look(&launcher, &job.id).await;
        assert_eq!((waits.state, waits.attempt_open), (JobState::Launching, false), "{fault}");
        assert_eq!(usize::try_from(waits.setbacks).unwrap(), n + 1, "{fault}");
        assert!(launcher.shared.breaker.why(&(TenantId::trusted("acme"), "awx".into())).is_some(), "{fault}");
    }
    assert_eq!(world.look(&launcher, &job.id).await.state, JobState::Running);
    assert_eq!(world.sandbox.launched(), 1);
}
