//! Sends messages. Every receiver has a few places of its own, so that a slow one holds up nobody else; one that fails
//! has a single one until it accepts again. Receivers take turns, and so do tenants.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use runwarden_engines::catalog::{Catalog, Stored, guard, put};
use runwarden_engines::config::{Change, Commit};
use runwarden_kit::audit::{EntryBuilder, Outcome};
use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::mesh::Service;
use runwarden_kit::{Result, SecretString};
use runwarden_outbound::{Client, Failure, Request};
use runwarden_webhooks::standard::{self, SigningKey};
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::ports::Keys;
use super::schedule::{self, LONGEST_FAILURE, OUR_PAUSE, Verdict};
use super::{Callback, Disabled, Why};
use crate::failpoint::{At, Failpoint};
use crate::store::key;
use crate::store::messages::{Head, Message, Messages, Tried};

/// Requests at a time, of all receivers; of a tenant's; of one receiver; of one that failed last.
const IN_ALL: usize = 128;
const OF_TENANT: usize = 32;
const OF_RECEIVER: usize = 4;
const OF_FAILING: usize = 1;
/// How long a receiver may take, connecting included.
const WITHIN: Duration = Duration::from_secs(20);
/// How long keys are kept in memory. One that is retired signs nothing any more all the same: its callback no longer names it.
const KEYS_KEPT: Duration = Duration::from_secs(600);
/// Look for due messages after this long in any case.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How long it is known what was delivered, and how long what was not can be replayed.
pub const DELIVERED_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// See [`DELIVERED_KEPT`].
pub const DEAD_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Sends messages.
pub struct Sender {
    /// Callbacks.
    pub catalog: Catalog,
    /// Messages.
    pub messages: Arc<dyn Messages>,
    /// Keys that sign.
    pub keys: Arc<dyn Keys>,
    /// The client for addresses that tenants choose.
    pub client: Client,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Rings when there are messages to send.
    pub bell: Arc<Notify>,
    /// Keys in memory, by callback and key.
    pub known: Known,
    /// Where a test has the process die.
    pub failpoint: Failpoint,
}

/// Keys in memory for a moment.
#[derive(Default)]
pub struct Known(Mutex<HashMap<KeyName, (Instant, Arc<SigningKey>)>>);

/// A callback's id and its key's.
type KeyName = (String, String);

/// What is being sent.
#[derive(Default)]
struct UnderWay {
    messages: HashSet<String>,
    of_receiver: HashMap<String, usize>,
    of_tenant: HashMap<String, usize>,
}

impl UnderWay {
    fn room(&self, head: &Head, places: usize) -> usize {
        let left = |of: &HashMap<String, usize>, name: &str, most: usize| {
            most.saturating_sub(of.get(name).copied().unwrap_or_default())
        };
        left(&self.of_receiver, &head.callback, places)
            .min(left(&self.of_tenant, &head.tenant, OF_TENANT))
            .min(IN_ALL.saturating_sub(self.messages.len()))
    }

    fn begin(&mut self, message: &Message) -> bool {
        if !self.messages.insert(message.id.clone()) {
            return false;
        }
        *self.of_receiver.entry(message.callback.clone()).or_default() += 1;
        *self.of_tenant.entry(message.tenant.clone()).or_default() += 1;
        true
    }

    fn end(&mut self, message: &Message) {
        self.messages.remove(&message.id);
        for (of, name) in [(&mut self.of_receiver, &message.callback), (&mut self.of_tenant, &message.tenant)] {
            match of.get_mut(name) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    of.remove(name);
                }
            }
        }
    }
}

impl Sender {
    /// Works until the process stops. What is being sent then is sent again by the next one.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let mut under_way = UnderWay::default();
        let mut sending: JoinSet<Message> = JoinSet::new();
        let mut turn = 0;
        while !shutdown.has_begun() {
            let pause = match self.begin(&mut under_way, &mut sending, turn).await {
                Ok(pause) => pause,
                Err(error) => {
                    error.log();
                    Duration::from_secs(1)
                }
            };
            turn += 1;
            tokio::select! {
                () = self.bell.notified() => {}
                () = tokio::time::sleep(pause) => {}
                Some(done) = sending.join_next() => {
                    if let Ok(message) = done {
                        under_way.end(&message);
                    }
                    // A task that panicked keeps its place until the process restarts; it sent what it sent.
                }
                () = shutdown.begun() => {}
            }
        }
    }

    /// Begins to send what is due and has room. Answers when to look again.
    async fn begin(
        self: &Arc<Self>,
        under_way: &mut UnderWay,
        sending: &mut JoinSet<Message>,
        turn: usize,
    ) -> Result<Duration> {
        let now = self.clock.now();
        let mut heads = self.messages.heads().await?;
        let soonest = heads.iter().filter(|head| head.due_at > now).map(|head| head.due_at.since(now)).min();
        heads.retain(|head| head.due_at <= now);
        if !heads.is_empty() {
            // Another one goes first each time.
            let first = turn % heads.len();
            heads.rotate_left(first);
        }
        for head in &heads {
            let fails = self.messages.failing_since(&head.callback).await?.is_some();
            let places = if fails { OF_FAILING } else { OF_RECEIVER };
            let room = under_way.room(head, places);
            if room == 0 {
                continue;
            }
            for message in self.messages.due(&head.callback, now, places + OF_RECEIVER).await? {
                if under_way.room(head, places) > 0 && under_way.begin(&message) {
                    let sender = self.clone();
                    sending.spawn(async move {
                        sender.deliver(&message).await;
                        message
                    });
                }
            }
        }
        Ok(soonest.unwrap_or(LOOK_AGAIN).clamp(Duration::from_millis(10), LOOK_AGAIN))
    }

    /// Sends a message once, and notes what became of it.
    pub(crate) async fn deliver(&self, message: &Message) {
        if let Err(error) = self.attempt(message).await {
            error.log();
            // Nothing is known of the receiver. Its turn comes again.
            let later = self.clock.now().plus(OUR_PAUSE);
            if let Err(error) = self.messages.put_off(&message.id, later).await {
                error.log();
            }
        }
    }

    async fn attempt(&self, message: &Message) -> Result<()> {
        let Some(stored) = self.callback(message).await? else { return self.messages.remove(&message.callback).await };
        let callback = &stored.value;
        if let Some(disabled) = callback.disabled {
            return self.messages.bury(&callback.id, disabled.why.in_words()).await.map(drop);
        }
        let keys = self.signing_keys(callback).await?;
        let at = self.clock.now();
        let heard = match self.request(callback, message, &keys, at) {
            Ok(request) => {
                self.failpoint.pass(At::SendBefore);
                self.client.send(request).await
            }
            Err(failure) => Err(failure),
        };
        self.failpoint.pass(At::SendAfter);
        // A pause that the receiver asks for begins when it asks.
        let answered = self.clock.now();
        let verdict = schedule::verdict(&heard, answered);
        let problem = match &heard {
            Ok(_) if verdict == Verdict::Delivered => String::new(),
            Ok(answer) => format!("the receiver answered {}", answer.status.as_u16()),
            Err(failure) => failure.to_string(),
        };
        let result = match &heard {
            Ok(answer) => answer.status.as_str().to_owned(),
            Err(failure) => failure.code().to_owned(),
        };
        metrics::counter!("runwarden_callback_attempts_total", "result" => result).increment(1);
        let status = heard.as_ref().map_or(0, |answer| answer.status.as_u16());
        let again_at = match verdict {
            Verdict::NotTried => return self.messages.put_off(&message.id, answered.plus(OUR_PAUSE)).await,
            Verdict::Delivered | Verdict::Gone => None,
            Verdict::Again { asked } => schedule::pause(&message.id, message.attempts.saturating_add(1), asked)
                .map(|pause| answered.plus(pause)),
        };
        if !problem.is_empty() {
            tracing::info!(callback = callback.name, tenant = %callback.tenant, id = message.id, problem, "not delivered");
        }
        let failing_since = self.messages.tried(&message.id, Tried { at, status, problem, again_at }).await?;
        if verdict == Verdict::Gone {
            self.disable(stored, Why::Gone, at).await
        } else if failing_since.is_some_and(|since| at.since(since) >= LONGEST_FAILURE) {
            self.disable(stored, Why::Failing, at).await
        } else {
            Ok(())
        }
    }

    /// The callback of a message, if there still is one.
    async fn callback(&self, message: &Message) -> Result<Option<Stored<Callback>>> {
        let Ok(tenant) = message.tenant.parse() else { return Ok(None) };
        let Some(name) = self.catalog.get::<String>(&key::callback_id(&tenant, &message.callback)).await? else {
            return Ok(None);
        };
        let found = self.catalog.get::<Callback>(&key::callback(&tenant, &name.value)).await?;
        Ok(found.filter(|found| found.value.id == message.callback))
    }

    fn request(
        &self,
        callback: &Callback,
        message: &Message,
        keys: &[Arc<SigningKey>],
        at: Moment,
    ) -> std::result::Result<Request, Failure> {
        let seconds = at.micros().div_euclid(1_000_000);
        let signatures: Vec<_> =
            keys.iter().map(|key| key.sign(&message.id, seconds, message.body.as_bytes())).collect();
        let headers = [
            ("content-type", "application/json".to_owned()),
            (standard::ID, message.id.clone()),
            (standard::TIMESTAMP, seconds.to_string()),
            (standard::SIGNATURE, signatures.join(" ")),
        ];
        let mut request = Request::new(http::Method::POST, self.client.address(&callback.url)?)
            .body(message.body.clone())
            .within(WITHIN)
            .answer_bytes(1024);
        for (name, value) in headers {
            // They hold what we made: nothing in them can be refused.
            request = request.header(name, &value).map_err(|_| Failure::Broken)?;
        }
        Ok(request)
    }

    /// All keys of a callback: while one is being replaced, receivers that know either accept the message.
    async fn signing_keys(&self, callback: &Callback) -> Result<Vec<Arc<SigningKey>>> {
        let mut keys = Vec::new();
        for key in &callback.keys {
            let name = (callback.id.clone(), key.id.clone());
            if let Some(known) = self.known.get(&name) {
                keys.push(known);
                continue;
            }
            let value: SecretString = self.keys.open(callback, key).await?;
            let read = SigningKey::parse(&value)
                .map_err(|_| runwarden_kit::Error::internal(anyhow::anyhow!("a callback's key cannot sign")))?;
            keys.push(self.known.learn(name, read));
        }
        Ok(keys)
    }

    /// Nothing is sent any more, until somebody enables it: on the record, and shown with the callback.
    async fn disable(&self, stored: Stored<Callback>, why: Why, at: Moment) -> Result<()> {
        let mut callback = stored.value.clone();
        callback.disabled = Some(Disabled { why, since: at });
        callback.updated_at = at;
        callback.revision += 1;
        let mut change = Change::new();
        guard(&mut change, &stored.key, Some(&stored));
        put(&mut change, &*stored.key, &callback)?;
        let entry = EntryBuilder::new(&*self.clock, Service::Hook, "callback.disable", "callback", &callback.name)
            .tenant(&callback.tenant)
            .outcome(Outcome::Success)
            .details(&json!({ "why": why.name() }))
            .build();
        match self.catalog.commit(change, &entry).await? {
            Commit::Done { .. } => {
                tracing::warn!(callback = callback.name, tenant = %callback.tenant, why = why.name(), "a callback was disabled");
                metrics::counter!("runwarden_callbacks_disabled_total", "why" => why.name()).increment(1);
                self.messages.bury(&callback.id, why.in_words()).await.map(drop)
            }
            // Somebody changed it meanwhile: the next attempt tells whether that helped.
            Commit::Refused { .. } => Ok(()),
        }
    }

    /// Forgets what has been kept for long enough.
    pub async fn keep_house(self: Arc<Self>, shutdown: Shutdown) {
        while shutdown.sleep(Duration::from_secs(600)).await.is_ok() {
            let now = self.clock.now();
            loop {
                match self.messages.forget(now.minus(DELIVERED_KEPT), now.minus(DEAD_KEPT), 500).await {
                    Ok(500..) => {}
                    Ok(_) => break,
                    Err(error) => {
                        error.log();
                        break;
                    }
                }
            }
        }
    }
}

impl Known {
    fn get(&self, name: &KeyName) -> Option<Arc<SigningKey>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(name).filter(|(since, _)| since.elapsed() < KEYS_KEPT).map(|(_, key)| key.clone())
    }

    fn learn(&self, name: KeyName, key: SigningKey) -> Arc<SigningKey> {
        let key = Arc::new(key);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (since, _)| since.elapsed() < KEYS_KEPT);
        known.insert(name, (Instant::now(), key.clone()));
        key
    }
}
