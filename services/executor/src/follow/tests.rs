//! Following runs, also on controllers that are removed, moved, restored or set up anew, and without spinning.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use runwarden_awx::{Ask, Client, Credential, Installation, LaunchBody, LaunchInput, Target, TemplateKind};
use runwarden_kit::clock::Clock as _;
use runwarden_kit::clock::{HeldClock, Moment};
use runwarden_kit::tenant::TenantId;
use runwarden_sandbox::{Options, Sandbox, UseAnsible};
use serde_json::json;

use super::cost::Cost;
use super::follower::REPLACED;
use super::pace::BUSY;
use super::round::{Look, Looked, Unasked};
use super::sweep::{MOVED, REMOVED};
use super::*;
use crate::controllers;
use crate::controllers::Controllers;
use crate::job::tests::example;
use crate::job::{Job, JobState, Run, reason};
use crate::ports::CredentialSource;
use crate::ports::Templates;
use crate::ports::{Controller, Template};
use crate::store::JobStore as _;
use crate::store::Watches as _;
use crate::store::sqlite::SqliteJobs;
use crate::store::{Acceptance, Effects};
use crate::test_doubles::shared;
use crate::test_doubles::template;

mod results;

/// Knows one controller, or none any more.
struct Mapped(Option<Controller>);

#[async_trait]
impl Templates for Mapped {
    async fn template(&self, _: &TenantId, _: &str) -> Result<Option<Arc<Template>>> {
        Ok(None)
    }

    async fn controller(&self, _: &TenantId, _: &str) -> Result<Option<Controller>> {
        Ok(self.0.clone())
    }

    async fn report_drift(&self, _: &Template, _: &[String]) -> Result<()> {
        Ok(())
    }
}

struct Token(String);

#[async_trait]
impl CredentialSource for Token {
    async fn read(&self, _: &TenantId, _: &str, _: &str) -> Result<Credential> {
        Ok(Credential::bearer(self.0.clone()))
    }
}

/// A controller, and a run on it that hangs.
struct Awx {
    sandbox: Sandbox,
}

impl Awx {
    async fn start() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let options = Options { use_ansible: UseAnsible::Never, speed: 100.0, ..options };
        Self { sandbox: Sandbox::start(options).await.unwrap() }
    }

    /// Another installation at the same address, with the same token.
    async fn set_up_anew(self) -> Self {
        let (listen, token) = (self.sandbox.address(), Some(self.sandbox.token()));
        self.sandbox.stop().await;
        Self::with(Options { listen, token, ..Options::default() }).await
    }

    fn mapped(&self) -> Controller {
        let target =
            Target { url: self.sandbox.url(), api_root: self.sandbox.api_root().to_owned(), ca_pem: String::new() };
        Controller { target, ..template().controller }
    }

    fn client(&self) -> Client {
        Client::new(&self.mapped().target, &Credential::bearer(self.sandbox.token()), controllers::limits()).unwrap()
    }

    /// Launches something that hangs.
    async fn hanging(&self) -> Run {
        let nothing = LaunchInput {
            schema: &json!({"type": "object"}),
            parameters: &serde_json::Map::new(),
            fixed: &serde_json::Map::new(),
            marker: None,
            default_skip_tags: "",
        };
        let client = self.client();
        let launched = client.launch(TemplateKind::Job, 13, &LaunchBody::build(nothing).unwrap()).await.unwrap();
        Run::of(&launched.row, &client.installation(Ask::Afresh).await.unwrap())
    }

    async fn lever(&self, path: &str, body: serde_json::Value) {
        let answer = reqwest::Client::new()
            .post(format!("{}/sandbox/{path}", self.sandbox.url()))
            .bearer_auth(self.sandbox.control_token())
            .json(&body)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success());
    }

    async fn status(&self, run: i64) -> &'static str {
        self.client().find(run).await.unwrap().unwrap().status.as_str()
    }
}

/// A watcher of one running job, and its store and clock.
struct Watch {
    watcher: Watcher,
    store: Arc<SqliteJobs>,
    clock: HeldClock,
    job: Job,
    _folder: tempfile::TempDir,
}

impl Watch {
    async fn over(run: Run, mapped: Option<Controller>, token: String, change: impl FnOnce(&mut Job)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap());
        let clock = HeldClock::at(runwarden_kit::clock::SystemClock.now());
        let launched_at = Some(clock.now());
        let mut job = Job { state: JobState::Running, run: Some(run), launched_at, due_at: None, ..example() };
        change(&mut job);
        store.accept(Acceptance::of(job.clone())).await.unwrap();
        let watcher = Watcher {
            shared: Shared {
                controllers: Arc::new(Controllers::new(Arc::new(Token(token)), controllers::limits())),
                clock: Arc::new(clock.clone()),
                ..shared(store.clone(), Arc::new(Mapped(mapped)))
            },
            instance: Arc::new(Instance::take(folder.path()).unwrap()),
            output_limit: 1 << 20,
            missing_limit: Duration::from_secs(30),
            poll: Poll::default(),
            hints: Hints::default(),
            memory: Memory::default(),
        };
        Self { watcher, store, clock, job, _folder: folder }
    }

    async fn look(&self) -> Job {
        let mut round = Round::default();
        self.watcher.load(&mut round).await.unwrap();
        for key in round.following.keys() {
            let looked = self.watcher.look(&key, round.following.all(&key), &Cost::default()).await;
            assert!(matches!(looked, Looked::Done { .. }), "{looked:?}");
        }
        self.store.get(&TenantId::trusted("acme"), &self.job.id).await.unwrap().unwrap()
    }

    async fn after_two_looks(&self, apart: u64) -> Job {
        self.look().await;
        self.clock.advance(Duration::from_secs(apart));
        self.look().await
    }

    async fn is_lost(&self, why: &str) {
        assert_eq!(self.after_two_looks(5).await.state, JobState::Running, "it may come back");
        let lost = self.after_two_looks(31).await;
        assert_eq!((lost.state, lost.reason.as_deref()), (JobState::Failed, Some(reason::LOST)));
        assert_eq!((lost.reason_detail.as_deref(), lost.output_bytes, lost.outcome), (Some(why), 0, None));
    }
}

#[tokio::test]
async fn a_run_nobody_can_be_asked_about_any_more_does_not_run_forever() {
    let (awx, elsewhere) = (Awx::start().await, Awx::start().await);
    let run = awx.hanging().await;
    let token = elsewhere.sandbox.token();
    Watch::over(run.clone(), None, token.clone(), |_| {}).await.is_lost(REMOVED).await;
    Watch::over(run, Some(elsewhere.mapped()), token, |_| {}).await.is_lost(MOVED).await;
}

#[tokio::test]
async fn a_run_under_another_runs_id_is_neither_followed_nor_stopped() {
    for restored in [true, false] {
        let mut awx = Awx::start().await;
        let run = awx.hanging().await;
        let wanted = |job: &mut Job| job.cancel_requested = true;
        let watch = Watch::over(run.clone(), Some(awx.mapped()), awx.sandbox.token(), wanted).await;
        if restored {
            awx.lever("restore", json!({"last_run": 0})).await;
        } else {
            awx = awx.set_up_anew().await;
        }
        let stranger = awx.hanging().await;
        assert_eq!(stranger.id, run.id, "its id came again");
        watch.is_lost(if restored { REPLACED } else { MOVED }).await;
        awx.lever(&format!("runs/{}/finish", stranger.id), json!({"status": "successful"})).await;
        while !["successful", "canceled"].contains(&awx.status(stranger.id).await) {
            tokio::task::yield_now().await;
        }
        assert_eq!(awx.status(stranger.id).await, "successful", "nobody asked it to stop");
    }
}

#[tokio::test]
async fn a_run_that_cannot_be_read_is_stopped_only_if_it_is_the_jobs_own() {
    let awx = Awx::start().await;
    let run = awx.hanging().await;
    let client = awx.client();
    let made = crate::job::time_of(run.created.unwrap());
    assert!(client.is_there(run.to_ref(), made).await.unwrap());
    awx.lever("faults", json!({"method": "GET", "path": "/unified_jobs", "fault": {"kind": "status", "status": 500}}))
        .await;
    assert!(client.is_there(run.to_ref(), made).await.unwrap(), "it is there, and cannot be read");
    let broken = json!({"kind": "status", "status": 500});
    awx.lever("faults", json!({"method": "GET", "path": "/unified_jobs", "times": 2, "fault": broken})).await;
    assert!(client.is_there(run.to_ref(), made).await.is_err(), "a controller that fails over all says nothing of one");
    awx.lever("restore", json!({"last_run": 0})).await;
    let stranger = awx.hanging().await;
    assert_eq!(stranger.id, run.id);
    assert!(!client.is_there(run.to_ref(), made).await.unwrap());
    let wanted = |job: &mut Job| job.cancel_requested = true;
    let watch = Watch::over(run, Some(awx.mapped()), awx.sandbox.token(), wanted).await;
    let job = watch.store.get(&TenantId::trusted("acme"), &watch.job.id).await.unwrap().unwrap();
    assert!(!watch.watcher.follower().stop_unseen(&client, &job).await.unwrap());
    let job = watch.store.get(&TenantId::trusted("acme"), &watch.job.id).await.unwrap().unwrap();
    assert!(job.cancel_sent_at.is_none());
    assert!(!awx.client().find(stranger.id).await.unwrap().unwrap().status.is_end());
}

#[tokio::test]
async fn a_run_that_an_earlier_version_bound_is_followed_and_known_from_then_on() {
    let awx = Awx::start().await;
    let run = awx.hanging().await;
    let address = json!(format!("{}{}", awx.sandbox.url(), awx.sandbox.api_root()));
    let earlier = Run { installation: serde_json::from_value(address).unwrap(), created: None, ..run.clone() };
    let watch = Watch::over(earlier.clone(), Some(awx.mapped()), awx.sandbox.token(), |_| {}).await;
    let job = watch.look().await;
    assert_eq!((job.state, job.run.and_then(|known| known.created)), (JobState::Running, run.created));
    // What was made long after it was bound is not it.
    let long_ago = |job: &mut Job| job.launched_at = job.launched_at.map(|at| at.minus(Duration::from_secs(7200)));
    let watch = Watch::over(earlier, Some(awx.mapped()), awx.sandbox.token(), long_ago).await;
    watch.is_lost(REPLACED).await;
}

/// Counts how often a credential is asked for, and has none.
#[derive(Default)]
struct NoCredential(AtomicUsize);

#[async_trait]
impl CredentialSource for NoCredential {
    async fn read(&self, _: &TenantId, _: &str, _: &str) -> Result<Credential> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(runwarden_kit::Error::unavailable("The secret service cannot be reached now."))
    }
}

/// Answers every request with an empty list. Counts them.
async fn controller_that_lists_nothing(asked: Arc<AtomicUsize>) -> Controller {
    let answer = move || {
        asked.fetch_add(1, Ordering::Relaxed);
        async { axum::Json(serde_json::json!({"count": 0, "next": null, "results": []})) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await.unwrap() });
    Controller { target: Target { url, ..template().controller.target }, ..template().controller }
}

/// Begins looks again and again, as if bells never stopped ringing, until so many have been begun or so many rounds
/// are over. Nothing is waited for but the looks.
async fn looks_in(rounds: usize, controller: Controller, credentials: Arc<dyn CredentialSource>) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap());
    let installation = Installation::new(None, &controller.target);
    let run = Run { installation, kind: "job".into(), id: 7, template: None, created: None };
    let cancelled = Job { state: JobState::Running, run: Some(run), due_at: None, cancel_requested: true, ..example() };
    store.accept(Acceptance::of(cancelled)).await.unwrap();
    let watcher = Arc::new(Watcher {
        shared: Shared {
            controllers: Arc::new(Controllers::new(credentials, controllers::limits())),
            clock: Arc::new(HeldClock::at(Moment::from_micros(1_000_000))),
            ..shared(store, Arc::new(Mapped(Some(controller))))
        },
        instance: Arc::new(Instance::take(folder.path()).unwrap()),
        output_limit: 1000,
        missing_limit: Duration::from_secs(30),
        poll: Poll::default(),
        hints: Hints::default(),
        memory: Memory::default(),
    });
    let mut round = Round::default();
    watcher.load(&mut round).await.unwrap();
    let (mut looks, begun) = (0_usize, Instant::now());
    for _ in 0..rounds {
        watcher.catch_up(&mut round).await.unwrap();
        watcher.begin_looks(&mut round).await;
        while let Some(seen) = round.looks.join_next().await {
            looks += 1;
            round.saw(seen.unwrap(), Poll::default(), watcher.shared.clock.now());
        }
    }
    // Both kinds of looks may have become due again while the rounds took their time.
    let due_since = usize::try_from(begun.elapsed().as_millis() / BUSY.as_millis()).unwrap();
    looks.saturating_sub(2 * due_since).max(looks.min(1))
}

#[tokio::test]
async fn a_caller_that_waits_hears_what_another_executor_does() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap());
    let job = example();
    store.accept(Acceptance::of(job.clone())).await.unwrap();
    let watcher = Watcher {
        shared: shared(store.clone(), Arc::new(Mapped(None))),
        instance: Arc::new(Instance::take(folder.path()).unwrap()),
        output_limit: 1000,
        missing_limit: Duration::from_secs(30),
        poll: Poll::default(),
        hints: Hints::default(),
        memory: Memory::default(),
    };
    let mut round = Round::default();
    watcher.load(&mut round).await.unwrap();
    let (mut waits, mut other) = (watcher.shared.live.wait_for(&job.id), watcher.shared.live.wait_for("job_other"));
    let cancel = |job: &mut Job, _, _| {
        job.cancel_requested = true;
        Ok(Some(Effects::announced()))
    };
    store.change(&job.id, Moment::from_micros(2), None, &cancel).await.unwrap();
    assert!(!waits.has_rung());
    watcher.catch_up(&mut round).await.unwrap();
    assert!(waits.has_rung() && !other.has_rung());
    watcher.catch_up(&mut round).await.unwrap();
    assert!(!waits.has_rung());
}

#[tokio::test]
async fn a_run_to_stop_that_its_controller_does_not_list_is_no_reason_to_spin() {
    let asked = Arc::new(AtomicUsize::new(0));
    let controller = controller_that_lists_nothing(asked.clone()).await;
    let looks = looks_in(300, controller, Arc::new(Token("t".to_owned()))).await;
    assert!((1..=4).contains(&looks), "{looks} looks");
    assert!(asked.load(Ordering::Relaxed) < 30, "{asked:?} requests");
}

#[tokio::test]
async fn a_run_to_stop_whose_credential_cannot_be_read_is_no_reason_to_spin() {
    let credentials = Arc::new(NoCredential::default());
    let looks = looks_in(300, template().controller, credentials.clone()).await;
    assert!((1..=4).contains(&looks), "{looks} looks");
    assert!(credentials.0.load(Ordering::Relaxed) < 30, "{:?} calls", credentials.0);
}

#[test]
fn what_nobody_waits_for_any_more_wakes_nobody() {
    let mut round = Round::default();
    assert_eq!(until_next(&round), LOOK);
    let key = (TenantId::trusted("acme"), "awx".to_owned());
    round.pace(&key, Look::Some).again_in(Duration::ZERO);
    assert!(until_next(&round) < LOOK);
    round.paces.clear();
    assert_eq!(until_next(&round), LOOK);
}

/// Knows nothing now: the project service is away.
struct Away;

#[async_trait]
impl Templates for Away {
    async fn template(&self, _: &TenantId, _: &str) -> Result<Option<Arc<Template>>> {
        Err(runwarden_kit::Error::unavailable("The project service cannot be reached now."))
    }

    async fn controller(&self, _: &TenantId, _: &str) -> Result<Option<Controller>> {
        Err(runwarden_kit::Error::unavailable("The project service cannot be reached now."))
    }

    async fn report_drift(&self, _: &Template, _: &[String]) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn only_a_credential_that_cannot_be_read_is_blamed_on_the_credential() {
    let installation = Installation::new(None, &template().controller.target);
    let run = Run { installation, kind: "job".into(), id: 7, template: None, created: None };
    let mut watch = Watch::over(run, Some(template().controller), String::new(), |_| {}).await;
    let key = (TenantId::trusted("acme"), "awx".to_owned());
    watch.watcher.shared.templates = Arc::new(Away);
    let looked = watch.watcher.look(&key, Vec::new(), &Cost::default()).await;
    assert!(matches!(looked, Looked::NotAsked(Unasked::Mapping)), "{looked:?}");
    assert!(Unasked::Mapping.why().contains("project service") && !Unasked::Mapping.why().contains("credential"));
    watch.watcher.shared.templates = Arc::new(Mapped(Some(template().controller)));
    watch.watcher.shared.controllers =
        Arc::new(Controllers::new(Arc::new(NoCredential::default()), controllers::limits()));
    let looked = watch.watcher.look(&key, Vec::new(), &Cost::default()).await;
    assert!(matches!(looked, Looked::NotAsked(Unasked::Credential)), "{looked:?}");
}
