//! A request to a hook: verified, made durable, and only then answered.
//!
//! Whoever has not proven anything learns nothing: a hook that is not there, one that is disabled, a wrong signature and
//! none at all get the same answer, and none of them faster than the others. What was wrong is in the audit log of the
//! hook's tenant.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use runwarden_kit::audit::{Actor, Entry, EntryBuilder, Outbox, Outcome};
use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::mesh::Service;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::trust::Trust;
use runwarden_kit::{Error, ErrorReason, ExposeSecret as _, Result, SecretString, context, id};
use runwarden_webhooks::run_task::ACCESS_TOKEN;
use runwarden_webhooks::{Answer, Arrived, Event, Outcome as Answered, ProvedBy, Received};
use serde_json::json;
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::delivery::{Arrival, Content, Delivery, DeliveryState, Went};
use super::reach::{HOLDS, Reach};
use super::ready::{Facts, Found, Ready, ReadyHooks};
use super::refusals::{Place, Refusals, Tally};
use crate::by_hook::ByHook;
use crate::config::Limits;
use crate::failpoint::{At, Failpoint};
use crate::hook::Hooks;
use crate::ports::Keys;
use crate::run_task::limits;
use crate::run_task::worker::Reporting;
use crate::store::{InboxStore, Taken};

/// What is not proven is answered no sooner than this, so that its timing does not say whether the hook exists.
const REFUSAL_TAKES: Duration = Duration::from_millis(50);
/// Hooks of this name answer as a program did that Runwarden can stand in for.
const RUN_TASK: &str = "run-task";
/// When to send again what found no room, in seconds.
const BUSY: u32 = 30;
/// How often it is looked for minutes that are over.
const TALLIED_EVERY: Duration = Duration::from_secs(10);

/// Takes requests of foreign senders.
pub struct Inbox {
    pub(crate) hooks: Hooks,
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) store: Arc<dyn InboxStore>,
    pub(crate) outbox: Outbox,
    pub(crate) trust: Arc<Trust>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Rings when something waits to be worked on.
    pub(crate) bell: Arc<Notify>,
    pub(crate) limits: Limits,
    reporting: ByHook<Reporting>,
    pub(crate) failpoint: Failpoint,
    ready: ReadyHooks,
    reach: Arc<Reach>,
    refusals: Refusals,
}

/// What an inbox is made of.
pub(crate) struct Parts {
    pub(crate) hooks: Hooks,
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) store: Arc<dyn InboxStore>,
    pub(crate) outbox: Outbox,
    pub(crate) trust: Arc<Trust>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) bell: Arc<Notify>,
    pub(crate) limits: Limits,
    /// How run tasks are reported on.
    pub(crate) reporting: ByHook<Reporting>,
    pub(crate) failpoint: Failpoint,
}

impl Inbox {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { hooks, keys, store, outbox, trust, clock, bell, limits, reporting, failpoint } = parts;
        let reach = Arc::new(Reach::new(Arc::clone(&keys), Arc::clone(&clock)));
        let ready = ReadyHooks::new(Arc::clone(&keys), Arc::clone(&reach));
        let refusals = Refusals::default();
        Self { hooks, keys, store, outbox, trust, clock, bell, limits, reporting, failpoint, ready, reach, refusals }
    }

    /// Takes a request, and says what its sender is to be answered.
    ///
    /// # Errors
    /// When that cannot be said now: the sender is to try again.
    pub async fn receive(
        &self,
        tenant: &str,
        hook: &str,
        mut received: Received,
        token: Option<SecretString>,
    ) -> Result<Answer> {
        let asked = Instant::now();
        let Some(ready) = self.find(tenant, hook).await? else {
            return Ok(self.unproven(asked, tenant, hook).await);
        };
        received.caller = self.caller(&ready, token).await;
        let arrived = match ready.receiver.receive(&received, &ready.keys) {
            Ok(arrived) => arrived,
            Err(refusal) => {
                self.refuse(&ready.hook, refusal.reason.code()).await;
                return Ok(if refusal.reason.is_unproven() {
                    self.unproven(asked, tenant, hook).await
                } else {
                    ready.receiver.answer(&received, &Answered::Refused(&refusal))
                });
            }
        };
        match arrived {
            Arrived::Handshake { what, answer } => {
                count(&ready.hook.kind, what);
                Ok(answer)
            }
            Arrived::Events(verified) => self.keep(&ready, &received, &verified.by, verified.events).await,
        }
    }

    /// Makes the events of a request durable.
    async fn keep(&self, ready: &Ready, received: &Received, by: &ProvedBy, events: Vec<Event>) -> Result<Answer> {
        let hook = &ready.hook;
        self.outbox.check_room(&hook.tenant).await?;
        let mut arrivals = Vec::with_capacity(events.len());
        for event in events {
            arrivals.push(self.arrival(hook, by, event).await?);
        }
        self.failpoint.pass(At::ReceiveBefore);
        let taken = self.store.take(arrivals, self.limits.room(self.clock.now())).await?;
        self.failpoint.pass(At::ReceiveAfter);
        match taken {
            Taken::Kept(kept) => {
                self.outbox.ring();
                self.bell.notify_one();
                for kept in &kept {
                    count(&hook.kind, if kept.repeat { "repeat" } else { "accepted" });
                }
                let new = kept.iter().find(|kept| !kept.repeat);
                Ok(match (new, kept.first()) {
                    (Some(new), _) => {
                        ready.receiver.answer(received, &Answered::Accepted { delivery: &new.delivery.id })
                    }
                    (None, Some(first)) => ready.receiver.answer(
                        received,
                        &Answered::Repeat { delivery: &first.delivery.id, job: first.delivery.job.as_deref() },
                    ),
                    (None, None) => return Err(Error::internal(anyhow::anyhow!("a request without events"))),
                })
            }
            Taken::Conflict(first) => {
                self.refuse(hook, "conflict").await;
                Ok(ready.receiver.answer(received, &Answered::Conflict { delivery: &first.id }))
            }
            Taken::Full => {
                self.refuse(hook, "full").await;
                Ok(ready.receiver.answer(received, &Answered::Busy { retry_after: BUSY }))
            }
        }
    }

    /// A delivery of an event that was verified, with its audit entry.
    async fn arrival(&self, hook: &Facts, by: &ProvedBy, event: Event) -> Result<Arrival> {
        let (now, context) = (self.clock.now(), context::current());
        let id = id::new("dlv");
        let mut sealed = BTreeMap::new();
        for (name, secret) in &event.secrets {
            sealed.insert((*name).to_owned(), self.keys.seal(&hook.tenant, &id, secret).await?);
        }
        let reporting = sealed.contains_key(ACCESS_TOKEN).then(|| self.reporting.of(&hook.tenant, &hook.name));
        let content = Content { event: event.document.to_string(), sealed };
        let digest = hex(&event.content);
        let mut delivery = Delivery {
            id,
            tenant: hook.tenant.clone(),
            hook_id: hook.id.clone(),
            hook: hook.name.clone(),
            project: hook.project.clone(),
            mark: event.id.as_ref().map(|id| format!("id:{id}")),
            sender_id: event.id,
            digest,
            event: event.event,
            state: DeliveryState::Received,
            steps: Vec::new(),
            asked: None,
            job: None,
            reason: None,
            reason_detail: None,
            received_at: now,
            answer_by: reporting.map(|reporting| limits::answer_by(now, reporting.wait)),
            finished_at: None,
            due_at: Some(now),
            tries: 0,
            tried_since: None,
            repeats: 0,
            repeated_at: None,
            redelivery_of: None,
            source_address: context.source_address.clone(),
            request_id: context.request_id.clone(),
            trace_id: context.trace_id.clone(),
            version: 1,
        };
        delivery.step("received", now, Went::Ok, format!("{} bytes", content.size()));
        delivery.step("verified", now, Went::Ok, proof(hook, by));
        let told = if delivery.mark.is_some() { "the first with this id" } else { "the sender has no ids" };
        delivery.step("deduplicated", now, Went::Ok, told);
        let entry = EntryBuilder::new(&*self.clock, Service::Hook, "delivery.receive", "delivery", &delivery.id)
            .tenant(&hook.tenant)
            .actor(sender(hook, by))
            .payload_digest(&delivery.digest)
            .details(&json!({ "hook": hook.name, "event": delivery.event, "sender_id": delivery.sender_id }))
            .build();
        Ok(Arrival { delivery, content, entries: vec![entry] })
    }

    /// A hook that takes deliveries, with its keys; none also if that cannot be found out now. The hook is looked for
    /// first: whether a tenant exists is asked for hooks that are there only, so that neither takes longer than the other.
    async fn find(&self, tenant: &str, name: &str) -> Result<Option<Arc<Ready>>> {
        let unknown = || count("unknown", "unknown_hook");
        let Ok(tenant) = tenant.parse::<TenantId>() else {
            unknown();
            return Ok(None);
        };
        let place = (tenant, name.to_owned());
        let Some(hook) = self.hooks.find(&place.0, name).await?.filter(|hook| !hook.disabled) else {
            self.ready.forget(&place);
            unknown();
            return Ok(None);
        };
        match self.trust.require_tenant(&place.0).await {
            Ok(false) => {}
            Err(error) if error.retry_after().is_some() => {
                tracing::warn!(%error, "a hook's requests cannot be verified now");
                self.reach.note_trouble(&place);
                count(&hook.kind, "later");
                return Ok(None);
            }
            Err(error) if error.reason() != ErrorReason::NotFound => return Err(error),
            // It is disabled, or gone.
            Ok(true) | Err(_) => {
                unknown();
                return Ok(None);
            }
        }
        let kind = hook.kind.clone();
        match self.ready.of(hook).await {
            Found::Ready(ready) => {
                self.reach.end_trouble(&place);
                Ok(Some(ready))
            }
            Found::Unusable(hook, reason) => {
                self.refuse(&hook, reason).await;
                Ok(None)
            }
            Found::Later => {
                count(&kind, "later");
                Ok(None)
            }
        }
    }

    /// The one answer for everything that is not proven. While requests cannot be verified it is another one, and the
    /// same for hooks that are there and those that are not.
    /// It goes by the names that were asked for, and by nothing that is known of a hook of this name.
    async fn unproven(&self, asked: Instant, tenant: &str, name: &str) -> Answer {
        let cannot_tell = self.cannot_tell(tenant).await;
        tokio::time::sleep_until(asked + REFUSAL_TAKES).await;
        if cannot_tell { later() } else { unproven(name) }
    }

    /// Whether requests to hooks of a tenant, that may not exist, cannot be verified now.
    async fn cannot_tell(&self, tenant: &str) -> bool {
        let is_in_trouble = || tenant.parse().is_ok_and(|tenant| self.reach.is_in_trouble(&tenant));
        !self.trust.is_current() || is_in_trouble() || !self.reach.is_there().await || is_in_trouble()
    }

    /// The OAuth client whose access token came along: verified here, of the hook's own tenant.
    async fn caller(&self, ready: &Ready, token: Option<SecretString>) -> Option<String> {
        // Only a hook without keys asks for one.
        let token = token.filter(|_| ready.receiver.key().is_none())?;
        let caller = self.trust.verify(token.expose_secret()).await.ok()?;
        let own = caller.home_tenant.as_ref() == Some(&ready.hook.tenant) && !self.trust.has_revoked(&caller);
        own.then(|| caller.client_id.clone())
    }

    /// Counts a refusal at a hook that exists, and records it unless too many come.
    async fn refuse(&self, hook: &Facts, reason: &'static str) {
        count(&hook.kind, reason);
        let place = (hook.tenant.clone(), hook.name.clone());
        if self.refusals.note(&place, reason, self.clock.now()) == Tally::Record {
            let entry = self.refusal(&place, &BTreeMap::from([(reason, 1)]));
            if let Err(error) = self.store.note(vec![entry]).await {
                error.log();
            }
            self.outbox.ring();
        }
    }

    fn refusal(&self, (tenant, hook): &Place, reasons: &BTreeMap<&'static str, u64>) -> Entry {
        EntryBuilder::new(&*self.clock, Service::Hook, "delivery.refuse", "hook", hook)
            .tenant(tenant)
            .actor(Actor { authenticated_by: "none".to_owned(), ..Actor::default() })
            .outcome(Outcome::Denied)
            .details(&json!({ "requests": reasons }))
            .build()
    }

    /// Records what was only counted, minute by minute, and forgets hooks that nobody used for long.
    pub async fn keep_tally(self: Arc<Self>, shutdown: Shutdown) {
        while shutdown.sleep(TALLIED_EVERY).await.is_ok() {
            self.tally(self.clock.now()).await;
            self.ready.forget_idle();
        }
        // What this minute brought so far would be lost.
        self.tally(self.clock.now().plus(Duration::from_secs(60))).await;
    }

    /// Forgets keys of hooks that are changed, switched off or removed, without waiting for their next request.
    pub async fn forget_changed(self: Arc<Self>, shutdown: Shutdown) {
        let mut changes = self.hooks.changes();
        loop {
            tokio::select! {
                () = shutdown.begun() => return,
                changed = changes.recv() => match changed {
                    Ok(place) => self.ready.forget(&place),
                    // Those are forgotten when they are not used any more.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    /// How many hooks are ready.
    #[cfg(test)]
    pub(crate) fn ready_hooks(&self) -> usize {
        self.ready.count()
    }

    async fn tally(&self, now: Moment) {
        for uncounted in self.refusals.over(now) {
            let entry = self.refusal(&uncounted.hook, &uncounted.refusals);
            if let Err(error) = self.store.note(vec![entry]).await {
                error.log();
                self.refusals.put_back(uncounted, now);
            }
            self.outbox.ring();
        }
    }
}

fn unproven(name: &str) -> Answer {
    if name == RUN_TASK {
        let body = json!({ "error": "HMAC validation failed" }).to_string();
        return Answer { status: 401, headers: vec![("content-type", "application/json".to_owned())], body };
    }
    let detail = "There is no such hook, or the request does not prove that its sender may use it.";
    let body = json!({ "type": "about:blank", "title": "Unauthenticated", "status": 401, "code": "UNAUTHENTICATED", "detail": detail });
    let headers =
        vec![("content-type", "application/problem+json".to_owned()), ("www-authenticate", "Webhook".to_owned())];
    Answer { status: 401, headers, body: body.to_string() }
}

fn later() -> Answer {
    let detail = "Requests cannot be verified now. Send it again later.";
    let body = json!({ "type": "about:blank", "title": "Unavailable", "status": 503, "code": "UNAVAILABLE", "detail": detail });
    let headers =
        vec![("content-type", "application/problem+json".to_owned()), ("retry-after", HOLDS.as_secs().to_string())];
    Answer { status: 503, headers, body: body.to_string() }
}

/// How a request proved itself, for people.
fn proof(hook: &Facts, by: &ProvedBy) -> String {
    // The newest key is tried first.
    let of = |key: usize| hook.key_ids.get(key).map_or("", String::as_str);
    match by {
        ProvedBy::Signature { key } => format!("signed with {}", of(*key)),
        ProvedBy::Credential { key } => format!("sent {}", of(*key)),
        ProvedBy::Caller { id } => format!("an access token of {id}"),
    }
}

/// The sender as an actor.
fn sender(hook: &Facts, by: &ProvedBy) -> Actor {
    let (principal, how) = match by {
        ProvedBy::Signature { .. } => (format!("hook:{}", hook.name), "signature"),
        ProvedBy::Credential { .. } => (format!("hook:{}", hook.name), "credential"),
        ProvedBy::Caller { id } => (id.clone(), "access_token"),
    };
    Actor {
        principal,
        name: hook.name.clone(),
        authenticated_by: how.to_owned(),
        home_tenant: hook.tenant.to_string(),
        ..Actor::default()
    }
}

fn count(kind: &str, result: &'static str) {
    metrics::counter!("runwarden_hook_requests_total", "kind" => kind.to_owned(), "result" => result).increment(1);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
