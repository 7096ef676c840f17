//! Stand-ins for the services that are called.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use runwarden_engines::StoreError;
use runwarden_engines::config::{Change, Commit, ConfigEntry, ConfigStore, Written};
use runwarden_kit::audit::Entry;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, ExposeSecret as _, Result, SecretString, context};
use serde_json::{Map, Value};

use crate::inbox::delivery::{Arrival, Content, Delivery};
use crate::ports::{
    Account, Identities, JobView, Jobs, KeyPlace, Keys, Made, Modules, Order, Output, Plans, Projects, Token, Verdict,
};
use crate::store::{DeliveryFilter, InboxStore, Mapped, Room, Taken};

/// What a store of hooks answers.
type Stored<T> = std::result::Result<T, StoreError>;
/// A job, and the parameters that were asked for.
type Asked = (String, Map<String, Value>);

/// All of them at once.
#[derive(Default)]
pub(crate) struct Others {
    keys: Mutex<HashMap<(String, String), SecretString>>,
    sealed: Mutex<HashMap<String, SecretString>>,
    /// A service account that is disabled by now.
    pub(crate) gone: Mutex<Option<String>>,
    /// Whether keys cannot be read now.
    pub(crate) keys_away: Mutex<bool>,
    /// Whether the secret service takes requests and does not answer.
    pub(crate) keys_hang: Mutex<bool>,
    /// What reading a key of this tenant is answered.
    pub(crate) key_trouble: Mutex<Option<(String, ErrorReason)>>,
    /// How often it was tried whether keys can be read.
    pub(crate) probes: AtomicUsize,
    /// How often keys were read.
    pub(crate) reads: AtomicUsize,
    /// What the next submissions are answered; a job when it is empty.
    pub(crate) answers: Mutex<VecDeque<Error>>,
    /// Jobs by idempotency key, with what was asked.
    pub(crate) jobs: Mutex<BTreeMap<String, Asked>>,
    /// How often a job was asked for.
    pub(crate) asked: AtomicUsize,
    /// What policies say of a job that is only checked.
    pub(crate) denies: Mutex<Vec<String>>,
    /// How every job stands; running if nothing is said.
    pub(crate) job: Mutex<Option<(String, String)>>,
    /// What every run printed.
    pub(crate) printed: Mutex<String>,
    /// How often modules were run.
    pub(crate) runs: AtomicUsize,
    /// The plan of every run.
    pub(crate) plan: Mutex<String>,
    /// What the last module saw.
    pub(crate) seen: Mutex<String>,
    /// How many tokens were issued: `token-1` and so on.
    pub(crate) issued: AtomicUsize,
    /// The token that is refused.
    refused: Mutex<Option<String>>,
    /// Parameters that every template calls write-only.
    pub(crate) write_only: Mutex<Vec<String>>,
    /// Whether the executor cannot say now which those are.
    pub(crate) write_only_away: Mutex<bool>,
    /// How often what was sealed was opened.
    pub(crate) opens: AtomicUsize,
    /// Whether callers may let hooks act as clients.
    pub(crate) weak: Mutex<bool>,
}

#[async_trait]
impl Keys for Others {
    async fn put(&self, place: KeyPlace<'_>, key: &SecretString) -> Result<()> {
        self.keys.lock().unwrap().insert((place.hook.to_owned(), place.key.to_owned()), key.clone());
        Ok(())
    }

    async fn read(&self, tenant: &TenantId, hook: &str, key: &str) -> Result<Option<SecretString>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.answer().await?;
        let trouble = self.key_trouble.lock().unwrap().clone();
        if let Some((_, reason)) = trouble.filter(|(of, _)| of == tenant.as_str()) {
            return Err(Error::new(reason, "The key cannot be read."));
        }
        Ok(self.keys.lock().unwrap().get(&(hook.to_owned(), key.to_owned())).cloned())
    }

    async fn probe(&self) -> Result<()> {
        self.probes.fetch_add(1, Ordering::SeqCst);
        self.answer().await
    }

    async fn delete(&self, place: KeyPlace<'_>) -> Result<()> {
        self.keys.lock().unwrap().remove(&(place.hook.to_owned(), place.key.to_owned()));
        Ok(())
    }

    async fn seal(&self, _: &TenantId, delivery: &str, value: &SecretString) -> Result<Vec<u8>> {
        let sealed = vec![7];
        self.sealed.lock().unwrap().insert(delivery.to_owned(), value.clone());
        Ok(sealed)
    }

    async fn open(&self, _: &TenantId, delivery: &str, sealed: &[u8]) -> Result<SecretString> {
        assert_eq!(sealed, [7]);
        self.opens.fetch_add(1, Ordering::SeqCst);
        Ok(self.sealed.lock().unwrap().get(delivery).cloned().unwrap_or_else(|| "the task's token".into()))
    }
}

impl Others {
    /// What the secret service answers before it looks at what is asked.
    async fn answer(&self) -> Result<()> {
        let hangs = *self.keys_hang.lock().unwrap();
        if hangs {
            std::future::pending::<()>().await;
        }
        if *self.keys_away.lock().unwrap() {
            return Err(Error::unavailable("The secret service cannot be reached now."));
        }
        Ok(())
    }

    /// From now on this token is refused.
    pub(crate) fn refuse_token(&self, token: &str) {
        *self.refused.lock().unwrap() = Some(token.to_owned());
    }

    /// How many keys are kept.
    pub(crate) fn keys(&self) -> usize {
        self.keys.lock().unwrap().len()
    }
}

/// Modules are words here.
#[async_trait]
impl Modules for Others {
    async fn check(&self, module: &str) -> Result<Vec<String>> {
        Ok(if module == "broken" { vec!["line 1, column 1: it is broken".to_owned()] } else { Vec::new() })
    }

    async fn run(&self, _: &TenantId, module: &str, event: &str) -> Result<Made> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        event.clone_into(&mut self.seen.lock().unwrap());
        let event: Value = serde_json::from_str(event).unwrap();
        match module {
            "none" => Ok(Made::Unwanted),
            "fails" => Ok(Made::Failed("line 2, column 3: it fails".to_owned())),
            "away" => Err(Error::unavailable("away")),
            "panics" => panic!("the mapping panics"),
            _ => {
                let parameters = Map::from_iter([("after".to_owned(), event["body"]["after"].clone())]);
                Ok(Made::Wanted { parameters, reference: module.to_owned() })
            }
        }
    }
}

#[async_trait]
impl Identities for Others {
    async fn check(&self, _: &str, _: &str) -> Result<()> {
        if *self.weak.lock().unwrap() { Err(Error::denied("You lack jobs.submit.")) } else { Ok(()) }
    }

    async fn token(&self, account: Account<'_>) -> Result<Token> {
        let gone = self.gone.lock().unwrap().clone();
        if account.client_id == "client_gone" || gone.as_deref() == Some(account.client_id) {
            return Err(Error::denied("The hook's service account is disabled, or has expired."));
        }
        let number = self.issued.fetch_add(1, Ordering::SeqCst) + 1;
        Ok(Token { token: format!("token-{number}").into(), expires_at: Moment::from_micros(i64::MAX) })
    }
}

#[async_trait]
impl Jobs for Others {
    async fn submit(&self, order: Order<'_>) -> Result<String> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if let Some(answer) = self.answers.lock().unwrap().pop_front() {
            return Err(answer);
        }
        let key = context::current().idempotency_key.clone().unwrap();
        let mut jobs = self.jobs.lock().unwrap();
        let number = jobs.len() + 1;
        let asked = (format!("job_{number}"), order.parameters.clone());
        let job = jobs.entry(key).or_insert(asked);
        if job.1 != *order.parameters {
            return Err(Error::new(ErrorReason::IdempotencyKeyReused, "Something else was asked."));
        }
        Ok(job.0.clone())
    }

    async fn check(&self, _: Order<'_>) -> Result<Verdict> {
        if let Some(answer) = self.answers.lock().unwrap().pop_front() {
            return Err(answer);
        }
        let reasons = self.denies.lock().unwrap().clone();
        Ok(Verdict { allowed: reasons.is_empty(), reasons })
    }

    async fn write_only(&self, template: &str, names: Vec<String>) -> Result<Vec<String>> {
        if template == "gone" {
            return Err(Error::not_found("template"));
        }
        if *self.write_only_away.lock().unwrap() {
            return Err(Error::unavailable("The executor service cannot be reached now."));
        }
        let write_only = self.write_only.lock().unwrap().clone();
        Ok(names.into_iter().filter(|name| write_only.contains(name)).collect())
    }

    async fn output(&self, _: &str, _: usize) -> Result<Option<Output>> {
        Ok(Some(Output { text: self.printed.lock().unwrap().clone(), complete: true }))
    }

    async fn view(&self, _: &str) -> Result<Option<JobView>> {
        let token = context::current().token.clone();
        let refused = self.refused.lock().unwrap().clone();
        if let (Some(token), Some(refused)) = (token, refused)
            && token.expose_secret() == refused
        {
            return Err(Error::new(ErrorReason::TokenRevoked, "The token was revoked."));
        }
        if let Some((state, detail)) = self.job.lock().unwrap().clone() {
            return Ok(Some(JobView { state, detail, launched_at: None, finished_at: None }));
        }
        let launched_at = Some(Moment::from_micros(0).plus(Duration::from_secs(5)));
        Ok(Some(JobView { state: "running".to_owned(), detail: String::new(), launched_at, finished_at: None }))
    }
}

/// Terraform keeps one plan.
#[async_trait]
impl Plans for Others {
    async fn plan(&self, _: &Delivery, _: &Content) -> Result<Option<String>> {
        Ok(Some(self.plan.lock().unwrap().clone()))
    }
}

#[async_trait]
impl Projects for Others {
    async fn exists(&self, _: &TenantId, project: &str) -> Result<bool> {
        Ok(project == "web")
    }
}

/// A store of hooks whose commits happen and are not answered while it is told so.
#[derive(Debug)]
pub(crate) struct Doubtful {
    pub(crate) store: Arc<dyn ConfigStore>,
    pub(crate) in_doubt: AtomicBool,
}

#[async_trait]
impl ConfigStore for Doubtful {
    async fn get(&self, key: &str) -> Stored<Option<ConfigEntry>> {
        self.store.get(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Stored<Vec<ConfigEntry>> {
        self.store.list(prefix, after, limit).await
    }

    async fn count(&self, prefix: &str) -> Stored<u64> {
        self.store.count(prefix).await
    }

    async fn commit(&self, change: Change) -> Stored<Commit> {
        let done = self.store.commit(change).await?;
        if self.in_doubt.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("the answer was lost".into()));
        }
        Ok(done)
    }

    async fn revision(&self) -> Stored<i64> {
        self.store.revision().await
    }

    async fn written_since(&self, prefix: &str, after: i64) -> Stored<Written> {
        self.store.written_since(prefix, after).await
    }
}

/// A store that is broken for one tenant, and in which nothing can be written over.
pub(crate) struct Broken {
    pub(crate) store: Arc<dyn InboxStore>,
    pub(crate) tenant: TenantId,
}

#[async_trait]
impl InboxStore for Broken {
    async fn take(&self, arrivals: Vec<Arrival>, room: Room) -> Result<Taken> {
        self.store.take(arrivals, room).await
    }

    async fn get(&self, tenant: &TenantId, id: &str) -> Result<Option<Delivery>> {
        self.store.get(tenant, id).await
    }

    async fn content(&self, tenant: &TenantId, id: &str) -> Result<Option<Content>> {
        self.store.content(tenant, id).await
    }

    async fn list(&self, tenant: &TenantId, hook: &str, filter: DeliveryFilter) -> Result<Vec<Delivery>> {
        self.store.list(tenant, hook, filter).await
    }

    async fn tenants_waiting(&self) -> Result<Vec<TenantId>> {
        let mut tenants = vec![self.tenant.clone()];
        tenants.extend(self.store.tenants_waiting().await?);
        Ok(tenants)
    }

    async fn due(&self, tenant: &TenantId, now: Moment, limit: usize) -> Result<Vec<Delivery>> {
        if *tenant == self.tenant {
            return Err(Error::internal(anyhow::anyhow!("its rows cannot be read")));
        }
        self.store.due(tenant, now, limit).await
    }

    async fn advance(&self, _: Delivery, _: Vec<Entry>) -> Result<bool> {
        Err(Error::internal(anyhow::anyhow!("the disk is full")))
    }

    async fn map(&self, _: Delivery, _: Room) -> Result<Mapped> {
        Err(Error::internal(anyhow::anyhow!("the disk is full")))
    }

    async fn tidy(&self, room: Room, limit: usize) -> Result<usize> {
        self.store.tidy(room, limit).await
    }

    async fn drop_parameters(&self, limit: usize) -> Result<usize> {
        self.store.drop_parameters(limit).await
    }

    async fn forget(&self, before: Moment, limit: usize) -> Result<usize> {
        self.store.forget(before, limit).await
    }

    async fn note(&self, entries: Vec<Entry>) -> Result<()> {
        self.store.note(entries).await
    }
}
