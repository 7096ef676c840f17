//! The way of a message, from the feed to receivers: on a real store, with real sockets and a clock that tests move.

mod manage;
mod receiver;
mod sending;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use runwarden_engines::idempotency::{Pepper, Repeat};
use runwarden_engines::outbox::ConfigOutbox;
use runwarden_engines::{EngineSettings, Engines, catalog};
use runwarden_kit::audit::{MemoryRecorder, Outbox};
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::clock::{HeldClock, Moment};
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result, SecretString};
use runwarden_outbound::{Client, Settings, SystemResolver};
use runwarden_proto::executor::v1::{Job, JobState, WatchJobsResponse};
use tokio::sync::Notify;

use super::event;
use super::follow::Follower;
use super::manage::{Callbacks, NewCallback, WithKey};
use super::ports::{Jobs, Keys};
use super::sender::{Known, Sender};
use super::{Callback, Key};
use crate::failpoint::Failpoint;
use crate::store::Catalog;
use crate::store::messages::{MIGRATIONS, Message, Messages, SqliteMessages};

/// Keys as if they were sealed.
#[derive(Default)]
struct FakeKeys(Mutex<HashMap<String, SecretString>>);

#[async_trait]
impl Keys for FakeKeys {
    async fn seal(&self, _: &Callback, key: &str, value: &SecretString) -> Result<String> {
        self.0.lock().unwrap().insert(key.to_owned(), value.clone());
        Ok(format!("sealed {key}"))
    }

    async fn open(&self, _: &Callback, key: &Key) -> Result<SecretString> {
        assert_eq!(key.sealed, format!("sealed {}", key.id));
        Ok(self.0.lock().unwrap()[&key.id].clone())
    }
}

/// What the executor says next.
#[derive(Default)]
struct FakeJobs(Mutex<Vec<WatchJobsResponse>>);

#[async_trait]
impl Jobs for FakeJobs {
    async fn changed(&self, _: Option<i64>, _: Duration) -> Result<WatchJobsResponse> {
        self.0.lock().unwrap().pop().ok_or_else(|| Error::unavailable("nothing more"))
    }
}

/// Every tenant has these.
struct Projects;

#[async_trait]
impl crate::ports::Projects for Projects {
    async fn exists(&self, _: &TenantId, project: &str) -> Result<bool> {
        Ok(["web", "db"].contains(&project))
    }
}

struct World {
    _folder: tempfile::TempDir,
    callbacks: Callbacks,
    sender: Arc<Sender>,
    follower: Follower,
    jobs: Arc<FakeJobs>,
    recorder: Arc<MemoryRecorder>,
    clock: HeldClock,
}

const NOW: Moment = Moment::from_micros(1_700_000_000_000_000);

impl World {
    /// Receivers on this machine may be reached, without encryption.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engines = Engines::open(EngineSettings::embedded(folder.path())).unwrap();
        let store = engines.config("hooks.db").await.unwrap();
        let outbox = Outbox::undrained(Arc::new(ConfigOutbox::new(store.clone())));
        let clock = HeldClock::at(NOW);
        let idempotency = engines.idempotency(&store, Pepper::new([7; 32]));
        let records = catalog::Catalog::new(store, outbox);
        let catalog = Catalog::new(records.clone(), idempotency, Arc::new(clock.clone()));
        let messages: SqliteMessages = engines.database("callbacks.db", MIGRATIONS).await.unwrap().stores();
        let messages: Arc<dyn Messages> = Arc::new(messages);
        let settings = Settings { exceptions: "http://127.0.0.1".parse().unwrap(), ..Settings::default() };
        let client = Client::new(settings, Arc::new(SystemResolver::default())).unwrap();
        let (keys, jobs) = (Arc::new(FakeKeys::default()), Arc::new(FakeJobs::default()));
        let recorder = MemoryRecorder::new();
        let bell = Arc::new(Notify::new());
        let callbacks = Callbacks {
            catalog,
            messages: messages.clone(),
            keys: keys.clone(),
            projects: Arc::new(Projects),
            client: client.clone(),
            recorder: recorder.clone(),
            clock: Arc::new(clock.clone()),
            bell: bell.clone(),
        };
        let follower = Follower {
            jobs: jobs.clone(),
            catalog: records.clone(),
            messages: messages.clone(),
            clock: Arc::new(clock.clone()),
            bell: bell.clone(),
            woken: Arc::default(),
            failpoint: Failpoint::default(),
        };
        let sender = Sender {
            catalog: records,
            messages,
            keys,
            client,
            clock: Arc::new(clock.clone()),
            bell,
            known: Known::default(),
            failpoint: Failpoint::default(),
        };
        Self { _folder: folder, callbacks, sender: Arc::new(sender), follower, jobs, recorder, clock }
    }

    async fn callback(&self, name: &str, url: &str) -> WithKey {
        let new = NewCallback { name: name.into(), project: "web".into(), url: url.into(), ..NewCallback::default() };
        self.callbacks.create(&admin(), new, &Repeat::default()).await.unwrap()
    }

    /// The executor says that these changed, and messages are made of it.
    async fn hear(&self, jobs: Vec<Job>, last: i64) {
        self.jobs.0.lock().unwrap().push(WatchJobsResponse { jobs, last, starts_over: false });
        self.follower.step(Duration::ZERO).await.unwrap();
    }

    async fn due(&self, callback: &Callback) -> Vec<Message> {
        self.callbacks.messages.due(&callback.id, self.now(), 100).await.unwrap()
    }

    async fn all(&self, callback: &Callback) -> Vec<Message> {
        self.callbacks.messages.list(&callback.tenant, &callback.id, None, None, 1000).await.unwrap()
    }

    /// The callback as it is now.
    async fn again(&self, callback: &Callback) -> Callback {
        self.callbacks.get(&admin(), &callback.name).await.unwrap().0
    }

    /// Sends once what is due.
    async fn send_due(&self, callback: &Callback) {
        for message in self.due(callback).await {
            self.sender.deliver(&message).await;
        }
    }

    fn now(&self) -> Moment {
        runwarden_kit::clock::Clock::now(&self.clock)
    }

    fn start(&self) -> Shutdown {
        let shutdown = Shutdown::new();
        tokio::spawn(self.sender.clone().run(shutdown.clone()));
        shutdown
    }
}

fn who(permissions: &[Permission]) -> Caller {
    Caller::example(permissions, Scope::tenant(&TenantId::trusted("acme")))
}

fn admin() -> Caller {
    who(&[Permission::CallbacksRead, Permission::CallbacksWrite, Permission::JobsRead])
}

/// A job of the tenant's that ended after the callbacks were made.
fn ended(number: usize) -> Job {
    Job {
        id: format!("job_{number:032x}"),
        finished_at: Some(NOW.plus(Duration::from_secs(1)).to_proto()),
        ..event::tests::job(JobState::Succeeded)
    }
}

/// Waits until something is so.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let patience = tokio::time::timeout(Duration::from_secs(60), async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    patience.await.expect("it never came to be");
}
