//! The service through its domain, on real stores, with stand-ins for the services it calls.

mod deliveries;
pub(crate) mod fakes;
mod hooks;
mod receiving;
mod working;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aws_lc_rs::hmac;
use runwarden_engines::config::ConfigStore;
use runwarden_engines::idempotency::{Pepper, Repeat};
use runwarden_engines::{EngineSettings, Engines, catalog};
use runwarden_kit::audit::{Entry, Outbox, OutboxStore};
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::clock::{Clock, HeldClock, Moment};
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::page::PageRequest;
use runwarden_kit::permission::Permission as P;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::token::Verifier;
use runwarden_kit::trust::Trust;
use runwarden_kit::{Error, ErrorReason, Result};
use runwarden_webhooks::{Answer, Headers, Received};
use tokio::sync::Notify;

use crate::Config;
use crate::callback::sent::Sent;
use crate::failpoint::Failpoint;
use crate::hook::{Hook, Hooks, NewHook, WithKey};
use crate::inbox::delivery::{Delivery, DeliveryState};
use crate::inbox::look::Deliveries;
use crate::inbox::parameters::Remembered;
use crate::inbox::receive::{Inbox, Parts};
use crate::inbox::tokens::Tokens;
use crate::inbox::worker::{self, Worker};
use crate::store::messages::{MIGRATIONS, SqliteMessages};
use crate::store::{Catalog, InboxStore, Stores};
use crate::turns::Turns;
use fakes::{Doubtful, Others};

const KEY: &str = "It's a Secret to Everybody";
const PUSH: &[u8] = br#"{"ref":"refs/heads/main","after":"s3cr3t-value"}"#;

pub(crate) struct World {
    _folder: tempfile::TempDir,
    pub(crate) others: Arc<Others>,
    pub(crate) hooks: Hooks,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) deliveries: Deliveries,
    pub(crate) store: Arc<dyn InboxStore>,
    pub(crate) sent: Sent,
    pub(crate) doubtful: Arc<Doubtful>,
    pub(crate) entries: Arc<dyn OutboxStore>,
    pub(crate) clock: HeldClock,
}

/// Somebody of `acme` with these permissions at project `web`.
pub(crate) fn somebody(permissions: &[P]) -> Caller {
    Caller::example(permissions, Scope::project(&TenantId::trusted("acme"), "web"))
}

pub(crate) fn admin() -> Caller {
    somebody(&[P::HooksRead, P::HooksWrite, P::DeliveriesRead, P::JobsSubmit])
}

pub(crate) async fn world() -> World {
    world_with(Config::default()).await
}

pub(crate) async fn world_with(config: Config) -> World {
    let folder = tempfile::tempdir().unwrap();
    let engines = Engines::open(EngineSettings::embedded(folder.path())).unwrap();
    let store = engines.config("hooks.db").await.unwrap();
    let doubtful = Arc::new(Doubtful { store, in_doubt: AtomicBool::new(false) });
    let records: Arc<dyn ConfigStore> = doubtful.clone();
    let Stores { inbox: store, outbox: entries, .. } = Stores::open(&engines).await.unwrap();
    let (others, clock) = (Arc::new(Others::default()), HeldClock::at(Moment::from_micros(1_700_000_000_000_000)));
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let hook_outbox = Outbox::undrained(engines.outbox(&records));
    let idempotency = engines.idempotency(&records, Pepper::new([7; 32]));
    let catalog = Catalog::new(catalog::Catalog::new(records, hook_outbox), idempotency, Arc::clone(&shared));
    let messages: SqliteMessages = engines.database("callbacks.db", MIGRATIONS).await.unwrap().stores();
    let sent = Sent { catalog: (*catalog).clone(), messages: Arc::new(messages) };
    let hooks = Hooks::new(catalog, others.clone(), others.clone(), others.clone(), others.clone());
    let outbox = Outbox::undrained(Arc::clone(&entries));
    let bell = Arc::new(Notify::new());
    let tokens = Arc::new(Tokens::new(others.clone(), Arc::clone(&shared)));
    let inbox = Arc::new(Inbox::new(Parts {
        hooks: hooks.clone(),
        keys: others.clone(),
        store: Arc::clone(&store),
        outbox: outbox.clone(),
        trust: Trust::fixed(Verifier::default()),
        clock: Arc::clone(&shared),
        bell: Arc::clone(&bell),
        limits: config.limits(),
        reporting: config.reporting(),
        failpoint: Failpoint::default(),
    }));
    let worker = Arc::new(Worker {
        store: Arc::clone(&store),
        outbox: outbox.clone(),
        hooks: hooks.clone(),
        keys: others.clone(),
        modules: others.clone(),
        jobs: others.clone(),
        plans: others.clone(),
        tokens: Arc::clone(&tokens),
        clock: Arc::clone(&shared),
        bell: Arc::clone(&bell),
        at_once: 4,
        patience: config.delivery_patience,
        reporting: config.reporting(),
        woken: Arc::default(),
        failpoint: Failpoint::default(),
        limits: config.limits(),
        remembered: Remembered::default(),
        turns: Turns::pausing(worker::PAUSES),
    });
    let deliveries = Deliveries {
        hooks: hooks.clone(),
        store: Arc::clone(&store),
        outbox,
        modules: others.clone(),
        jobs: others.clone(),
        tokens,
        clock: shared,
        bell,
        limits: config.limits(),
        sent: sent.clone(),
    };
    World { _folder: folder, others, hooks, inbox, worker, deliveries, store, sent, doubtful, entries, clock }
}

/// A hook of kind `github` in project `web`.
pub(crate) fn github(name: &str, module: &str) -> NewHook {
    NewHook {
        name: name.to_owned(),
        project: "web".to_owned(),
        template: "deploy".to_owned(),
        kind: "github".to_owned(),
        settings: String::new(),
        client_id: "client_1".to_owned(),
        module: module.to_owned(),
        description: String::new(),
        key: Some(KEY.into()),
    }
}

/// A signed push.
pub(crate) fn push(key: &str, id: &str, body: &[u8]) -> Received {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), body);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("x-github-event", "push".to_owned()),
        ("x-github-delivery", id.to_owned()),
        ("x-hub-signature-256", format!("sha256={hex}")),
    ];
    Received {
        method: "POST".to_owned(),
        headers: headers.into_iter().collect::<Headers>(),
        query: String::new(),
        body: body.to_vec(),
        at: 1_700_000_000,
        caller: None,
    }
}

impl World {
    pub(crate) async fn hook(&self, name: &str, module: &str) -> Hook {
        self.create(github(name, module)).await.unwrap().hook
    }

    pub(crate) async fn create(&self, new: NewHook) -> Result<WithKey> {
        self.hooks.create(&admin(), new, &Repeat::default()).await
    }

    pub(crate) async fn send(&self, hook: &str, received: Received) -> Answer {
        self.inbox.receive("acme", hook, received, None).await.unwrap()
    }

    /// Delivers a push, and answers its delivery.
    pub(crate) async fn deliver(&self, hook: &str, id: &str) -> Delivery {
        let answer = self.send(hook, push(KEY, id, PUSH)).await;
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        self.get(body["delivery"].as_str().unwrap()).await
    }

    pub(crate) async fn get(&self, id: &str) -> Delivery {
        self.store.get(&TenantId::trusted("acme"), id).await.unwrap().unwrap()
    }

    /// Works until nothing is due.
    pub(crate) async fn work(&self) {
        let shutdown = Shutdown::new();
        let working = tokio::spawn(Arc::clone(&self.worker).run(shutdown.clone()));
        while !self.store.due(&TenantId::trusted("acme"), self.clock.now(), 1).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        shutdown.begin();
        working.await.unwrap();
    }

    pub(crate) async fn all(&self, hook: &str) -> Vec<Delivery> {
        self.deliveries.list(&admin(), hook, Vec::new(), &PageRequest::default()).await.unwrap().items
    }

    pub(crate) async fn recorded(&self, action: &str) -> Vec<Entry> {
        let all = self.entries.pending("acme", 1000).await.unwrap();
        all.into_iter().filter(|entry| entry.action == action).collect()
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

fn reason<T>(result: Result<T>) -> ErrorReason {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.reason(),
    }
}

/// The step of a delivery that is called so, as `result: detail`.
fn step(delivery: &Delivery, name: &str) -> String {
    let found = delivery.steps.iter().find(|step| step.name == name);
    found.map_or_else(|| "missing".to_owned(), |step| format!("{}: {}", step.result.name(), step.detail))
}

fn stands(delivery: &Delivery) -> (DeliveryState, Option<&str>) {
    (delivery.state, delivery.reason.as_deref())
}

fn away() -> Error {
    Error::unavailable("The executor service cannot be reached now.")
}
