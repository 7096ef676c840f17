//! Looking at deliveries, having them worked on again, and trying out what a hook would make of them.

use std::sync::Arc;

use runwarden_engines::idempotency::Repeat;
use runwarden_kit::audit::{EntryBuilder, Outbox};
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::clock::Clock;
use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::mesh::Service;
use runwarden_kit::page::{Listing, Page, PageRequest};
use runwarden_kit::permission::Permission;
use runwarden_kit::{Error, ErrorReason, FieldError, Result, id, json};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use super::delivery::{Arrival, Delivery, DeliveryState, Step, Went};
use super::parameters::{self, Divided};
use super::steps::{self, words};
use super::tokens::Tokens;
use crate::callback::sent::Sent;
use crate::config::Limits;
use crate::hook::{Hook, Hooks};
use crate::ports::{Account, Jobs, Made, Modules, Order, Origin};
use crate::store::{DeliveryFilter, InboxStore, Taken};

/// The largest event that is tried, in bytes of JSON.
const MAX_EVENT: usize = 1 << 20;

/// Looks at deliveries.
pub struct Deliveries {
    pub(crate) hooks: Hooks,
    pub(crate) store: Arc<dyn InboxStore>,
    pub(crate) outbox: Outbox,
    pub(crate) modules: Arc<dyn Modules>,
    pub(crate) jobs: Arc<dyn Jobs>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) bell: Arc<Notify>,
    pub(crate) limits: Limits,
    /// What was sent of jobs.
    pub(crate) sent: Sent,
}

/// A delivery as a caller may see it.
#[derive(Debug)]
pub struct Shown {
    /// The delivery.
    pub delivery: Delivery,
    /// What it contains, a JSON object, for those who may see that.
    pub event: Option<String>,
}

/// What is tried.
#[derive(Clone, Debug)]
pub enum Sample {
    /// A stored delivery.
    Stored(String),
    /// An event that is made up.
    Given {
        /// What happened, in the sender's words.
        event: String,
        /// The headers, a JSON object; empty for none.
        headers: String,
        /// The body, JSON.
        body: String,
    },
}

/// What a hook would do.
#[derive(Debug, Default)]
pub struct Tried {
    /// The steps, as far as they would be taken.
    pub steps: Vec<Step>,
    /// Whether a job would be accepted.
    pub would_run: bool,
    /// What filter and mapping saw.
    pub event: String,
    /// The parameters.
    pub parameters: Map<String, Value>,
    /// What the sender calls it.
    pub reference: String,
    /// What is wrong with which parameter.
    pub problems: Vec<FieldError>,
}

impl Tried {
    fn step(&mut self, clock: &dyn Clock, name: &str, result: Went, detail: impl Into<String>) {
        self.steps.push(Step { name: name.to_owned(), at: clock.now(), result, detail: detail.into() });
    }
}

impl Deliveries {
    /// Lists the deliveries of a hook, newest first.
    pub async fn list(
        &self,
        caller: &Caller,
        hook: &str,
        states: Vec<DeliveryState>,
        page: &PageRequest,
    ) -> Result<Page<Delivery>> {
        let hook = self.hooks.get(caller, hook).await?;
        let size = page.size()?;
        let asked: Vec<&str> = states.iter().map(|state| state.name()).collect();
        let listing =
            Listing::of("deliveries", Some(&hook.tenant)).filter("hook", &hook.id).filter("states", &asked.join(","));
        let before = listing.start(&page.token, |last| id::is_valid("dlv", last).then(|| last.to_owned()))?;
        // One more than asked for tells whether there is another page.
        let filter = DeliveryFilter { states, before, limit: size.saturating_add(1) };
        let found = self.store.list(&hook.tenant, &hook.id, filter).await?;
        Ok(listing.cut(found, size, |last| last.id.clone()))
    }

    /// Reads a delivery, with what became of its job as far as the caller may see that.
    pub async fn get(&self, caller: &Caller, hook: &str, id: &str) -> Result<Shown> {
        let hook = self.hooks.get(caller, hook).await?.into_inner();
        let mut delivery = self.find(&hook, id).await?;
        let may_see = caller.holds(Permission::DeliveriesRead, &place(&hook));
        let content = if may_see { self.store.content(&hook.tenant, id).await? } else { None };
        if let Some(asked) = &mut delivery.asked {
            let kept = std::mem::take(&mut asked.parameters);
            if may_see {
                asked.parameters = self.shown(&hook, &asked.template, &asked.client_id, kept).await;
            }
        }
        self.follow(&mut delivery).await;
        if caller.holds(Permission::CallbacksRead, &place(&hook))
            && let Some(job) = &delivery.job
        {
            match self.sent.steps(&hook.tenant, job).await {
                Ok(told) => delivery.steps.extend(told),
                // The rest is worth having without it.
                Err(error) => error.log(),
            }
        }
        Ok(Shown { delivery, event: content.map(|content| content.event) })
    }

    /// Parameters that are kept, as they may be shown now: the template may call write-only what it did not when they were
    /// divided. If that cannot be found out, nothing but their names is shown.
    async fn shown(
        &self,
        hook: &Hook,
        template: &str,
        client_id: &str,
        kept: Map<String, Value>,
    ) -> Map<String, Value> {
        let names = Divided::all(&kept).shown;
        if kept.is_empty() {
            return names;
        }
        let account = Account { tenant: &hook.tenant, client_id, project: &hook.project, hook: &hook.name };
        let divided = self.as_account(account, parameters::divided(&*self.jobs, template, kept)).await;
        divided.map_or(names, |divided| divided.shown)
    }

    /// Asks as a hook's service account.
    async fn as_account<T>(&self, account: Account<'_>, asking: impl Future<Output = Result<T>>) -> Result<T> {
        let context = RequestContext {
            token: Some(self.tokens.of(account).await?),
            tenant: None,
            idempotency_key: None,
            ..Arc::unwrap_or_clone(context::current())
        };
        let asked = context::scope(context, asking).await;
        self.tokens.judge(account, &asked);
        asked
    }

    /// Adds the steps of the job. What cannot be found out now is left out.
    async fn follow(&self, delivery: &mut Delivery) {
        let Some(job) = &delivery.job else { return };
        let Ok(Some(job)) = self.jobs.view(job).await else { return };
        if let Some(at) = job.launched_at {
            delivery.step("launched", at, Went::Ok, "");
        }
        if let Some(at) = job.finished_at {
            let went = if job.state == "succeeded" { Went::Ok } else { Went::Failed };
            let told = if job.detail.is_empty() { job.state } else { format!("{}: {}", job.state, job.detail) };
            delivery.step("finished", at, went, told);
        }
    }

    /// Makes a new delivery of what an earlier one contains. It may become a job, so the caller must be one that could
    /// submit it, and that may let the hook act as its service account.
    pub async fn redeliver(&self, caller: &Caller, hook: &str, id: &str, repeat: &Repeat) -> Result<Delivery> {
        let hook = self.hooks.get(caller, hook).await?.into_inner();
        for needed in [Permission::HooksWrite, Permission::JobsSubmit] {
            caller.require(needed, &place(&hook))?;
        }
        self.hooks.check_account(&hook).await?;
        let earlier = self.find(&hook, id).await?;
        let content = self.store.content(&hook.tenant, id).await?.ok_or_else(|| Error::not_found("delivery"))?;
        if !content.sealed.is_empty() {
            return Err(Error::conflict(
                "This delivery cannot be repeated: what its sender sent in confidence is for one use.",
            ));
        }
        self.outbox.check_room(&hook.tenant).await?;
        let (now, context) = (self.clock.now(), context::current());
        let mark = repeat.key.as_ref().map(|key| {
            let named = format!("{}\n{id}\n{key}", caller.principal);
            format!("again:{}", json::sha256_hex(named.as_bytes()))
        });
        let mut delivery = Delivery {
            id: id::new("dlv"),
            mark,
            state: DeliveryState::Received,
            steps: Vec::new(),
            asked: None,
            job: None,
            reason: None,
            reason_detail: None,
            received_at: now,
            answer_by: None,
            finished_at: None,
            due_at: Some(now),
            tries: 0,
            tried_since: None,
            repeats: 0,
            repeated_at: None,
            redelivery_of: Some(earlier.id.clone()),
            source_address: context.source_address.clone(),
            request_id: context.request_id.clone(),
            trace_id: context.trace_id.clone(),
            version: 1,
            ..earlier
        };
        delivery.step("received", now, Went::Ok, format!("delivered again by {}", caller.name));
        let entry = EntryBuilder::new(&*self.clock, Service::Hook, "delivery.redeliver", "delivery", &delivery.id)
            .tenant(&hook.tenant)
            .payload_digest(&delivery.digest)
            .details(&json!({ "hook": hook.name, "redelivery_of": id }))
            .build();
        let arrival = Arrival { delivery, content, entries: vec![entry] };
        match self.store.take(vec![arrival], self.limits.room(now)).await? {
            Taken::Kept(kept) => {
                self.outbox.ring();
                self.bell.notify_one();
                let kept = kept.into_iter().next();
                Ok(kept.ok_or_else(|| Error::internal(anyhow::anyhow!("nothing was kept")))?.delivery)
            }
            Taken::Conflict(_) => Err(runwarden_kit::idempotency::reused()),
            Taken::Full => Err(Error::new(
                ErrorReason::QueueFull,
                "No more deliveries of this tenant can be kept now. Try again when some of them have become jobs.",
            )),
        }
    }

    /// Tries out what a hook would do. Nothing is kept, and nothing is launched.
    pub async fn test(&self, caller: &Caller, hook: &str, sample: Sample, module: Option<&str>) -> Result<Tried> {
        let hook = self.hooks.get(caller, hook).await?.into_inner();
        caller.require(Permission::DeliveriesRead, &place(&hook))?;
        let event = match sample {
            Sample::Stored(id) => {
                self.find(&hook, &id).await?;
                let content = self.store.content(&hook.tenant, &id).await?;
                content.ok_or_else(|| Error::not_found("delivery"))?.event
            }
            Sample::Given { event, headers, body } => {
                made_up(&hook, &event, &headers, &body, self.clock.now().seconds())?
            }
        };
        let mut tried = Tried { event, ..Tried::default() };
        let clock = &*self.clock;
        match steps::make(&*self.modules, &hook, module.unwrap_or(&hook.module), &tried.event).await? {
            Made::Wanted { parameters, reference } => {
                tried.step(clock, "filtered", Went::Ok, "wanted");
                tried.step(clock, "mapped", Went::Ok, format!("{} parameters", parameters.len()));
                (tried.parameters, tried.reference) = (parameters, reference);
            }
            Made::Unwanted => {
                tried.step(clock, "filtered", Went::No, "the filter does not want it");
                return Ok(tried);
            }
            Made::Failed(problem) => {
                tried.step(clock, "mapped", Went::Failed, problem);
                return Ok(tried);
            }
        }
        match self.check(&hook, &mut tried.parameters, &tried.reference).await {
            Ok(verdict) => {
                tried.step(clock, "validated", Went::Ok, "the parameters fit the template");
                let went = if verdict.allowed { Went::Ok } else { Went::No };
                let told = if verdict.allowed { "allowed".to_owned() } else { verdict.reasons.join(" ") };
                tried.step(clock, "decided", went, told);
                tried.would_run = verdict.allowed;
            }
            // What would not pass by itself is the answer, not a failure to give one.
            Err(error) if error.retry_after().is_none() && error.reason() != ErrorReason::Internal => {
                tried.step(clock, "validated", Went::Failed, words(&error));
                tried.problems = error.fields().to_vec();
            }
            Err(error) => return Err(error),
        }
        Ok(tried)
    }

    /// Asks as the hook's service account whether a job with these parameters and this reference would be accepted, and
    /// leaves of those parameters that are write-only that they are there.
    async fn check(
        &self,
        hook: &Hook,
        parameters: &mut Map<String, Value>,
        reference: &str,
    ) -> Result<crate::ports::Verdict> {
        // Taken before anything can fail: what is not known to be harmless is not shown.
        let made = std::mem::take(parameters);
        let account =
            Account { tenant: &hook.tenant, client_id: &hook.client_id, project: &hook.project, hook: &hook.name };
        let asking = async {
            let origin = Some(Origin { hook: &hook.name, delivery: "", reference });
            let order = Order { template: &hook.template, parameters: &made, origin, start_by: None };
            let verdict = self.jobs.check(order).await;
            *parameters = parameters::divided(&*self.jobs, &hook.template, made).await?.shown;
            verdict
        };
        self.as_account(account, asking).await
    }

    async fn find(&self, hook: &Hook, id: &str) -> Result<Delivery> {
        let missing = || Error::not_found("delivery");
        if !id::is_valid("dlv", id) {
            return Err(missing());
        }
        let found = self.store.get(&hook.tenant, id).await?;
        found.filter(|delivery| delivery.hook_id == hook.id).ok_or_else(missing)
    }
}

fn place(hook: &Hook) -> Scope {
    Scope::project(&hook.tenant, &hook.project)
}

/// The event that a request with this body would be, as filter and mapping see it.
fn made_up(hook: &Hook, event: &str, headers: &str, body: &str, now: i64) -> Result<String> {
    if headers.len() + body.len() > MAX_EVENT {
        return Err(Error::invalid("/body", "must not be larger than 1 MiB"));
    }
    let read =
        |pointer: &str, text: &str| json::parse(text.as_bytes()).map_err(|_| Error::invalid(pointer, "is not JSON"));
    let headers = if headers.is_empty() { json!({}) } else { read("/headers", headers)? };
    let all_texts = headers.as_object().is_some_and(|headers| headers.values().all(Value::is_string));
    if !all_texts {
        return Err(Error::invalid("/headers", "must be an object of strings"));
    }
    let body = if body.is_empty() { Value::Null } else { read("/body", body)? };
    Ok(json!({
        "version": runwarden_webhooks::DOCUMENT_VERSION,
        "kind": hook.kind,
        "id": null,
        "event": event,
        "received_at": now,
        "headers": headers,
        "body": body,
    })
    .to_string())
}
