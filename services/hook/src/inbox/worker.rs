//! From a delivery to at most one job, whatever dies.
//!
//! 1. Filter and mapping are evaluated, and what they ask for is written down: template, parameters, service account.
//! 2. That, and nothing else, is submitted, with the delivery's id in the idempotency key, until there is an answer.
//! 3. The answer is written down.
//!
//! Whoever dies between two of these does the second again, and the executor answers with the job that it made the first
//! time. It recognises repeats for a day; so what may have been submitted is submitted again within 20 hours only, and is
//! then given up, for a person to look at.

use std::sync::Arc;
use std::time::Duration;

use runwarden_kit::audit::{Entry, EntryBuilder, Outbox, Outcome};
use runwarden_kit::clock::Clock;
use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::mesh::Service;
use runwarden_kit::reason::ReasonExt as _;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, Result};
use runwarden_webhooks::run_task;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::delivery::{Asked, Content, Delivery, DeliveryState, Went};
use super::parameters::{self, Remembered};
use super::steps::{self, words};
use super::tokens::{Tokens, is_refused};
use crate::by_hook::ByHook;
use crate::config::{Limits, MAX_PATIENCE};
use crate::failpoint::{At, Failpoint};
use crate::hook::{Hook, Hooks};
use crate::ports::{Account, Jobs, Keys, Made, Modules, Order, Origin, Plans};
use crate::run_task::limits;
use crate::run_task::woken::Woken;
use crate::run_task::worker::Reporting;
use crate::store::{InboxStore, Mapped};
use crate::turns::{Pauses, Turns, UnderWay};

/// How often it is looked for what is due again.
const LOOK: Duration = Duration::from_secs(1);
/// The first pause before another try; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// How long a delivery is left alone of which nothing could be written.
pub(crate) const PAUSES: Pauses = Pauses { first: Duration::from_secs(1), longest: Duration::from_secs(300) };

/// Works on deliveries.
pub struct Worker {
    pub(crate) store: Arc<dyn InboxStore>,
    pub(crate) outbox: Outbox,
    pub(crate) hooks: Hooks,
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) modules: Arc<dyn Modules>,
    pub(crate) jobs: Arc<dyn Jobs>,
    pub(crate) plans: Arc<dyn Plans>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) bell: Arc<Notify>,
    pub(crate) at_once: usize,
    pub(crate) patience: Duration,
    /// How run tasks are reported on.
    pub(crate) reporting: ByHook<Reporting>,
    /// Tells of run tasks about which there is something to say.
    pub(crate) woken: Arc<Woken>,
    pub(crate) failpoint: Failpoint,
    /// How much may be kept.
    pub(crate) limits: Limits,
    /// Parameters of what is tried again.
    pub(crate) remembered: Remembered,
    /// What is worked on.
    pub(crate) turns: Turns,
}

/// Why a run task for which Terraform does not wait any longer is refused.
const OUT_OF_TIME: &str = "RUN_TASK_OUT_OF_TIME";

/// How a delivery is to be written down, with its audit entries.
type Written = (Delivery, Vec<Entry>);

/// Why a hook has nothing done any more.
struct Gone {
    reason: &'static str,
    why: &'static str,
}

/// Why a job was not made now.
struct NotMade {
    error: Error,
    /// Whether that also says that no earlier try made one.
    looked_for: bool,
}

impl From<Error> for NotMade {
    /// Of what comes before the executor is asked.
    fn from(error: Error) -> Self {
        Self { error, looked_for: false }
    }
}

/// What came of filtering and mapping.
enum Came {
    /// On with it, and with all its parameters.
    On(Box<Delivery>, Map<String, Value>),
    /// It is done with, or waits.
    Stop(Box<Written>),
}

impl From<Written> for Came {
    fn from(written: Written) -> Self {
        Self::Stop(Box::new(written))
    }
}

impl Worker {
    /// Works until shutdown. What was begun is finished.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let mut working = JoinSet::new();
        while !shutdown.has_begun() {
            if let Err(error) = self.begin(&mut working).await {
                error.log();
            }
            tokio::select! {
                () = shutdown.begun() => break,
                () = self.bell.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
                Some(_) = working.join_next() => {}
            }
        }
        while working.join_next().await.is_some() {}
    }

    /// Begins with as many as may be under way, tenant by tenant in their turns. A tenant whose deliveries cannot be read now
    /// stops no other.
    pub(crate) async fn begin(self: &Arc<Self>, working: &mut JoinSet<()>) -> Result<()> {
        while working.try_join_next().is_some() {}
        self.turns.forget_old(self.clock.now());
        if self.free() == 0 {
            return Ok(());
        }
        let mut tenants = self.store.tenants_waiting().await?;
        while self.free() > 0 && !tenants.is_empty() {
            tenants.sort_by_key(|tenant| self.turns.rank(tenant));
            let each = (self.free() / tenants.len()).max(1);
            let mut with_more = Vec::new();
            for tenant in tenants {
                match self.begin_for(&tenant, each, working).await {
                    Ok(begun) if begun == each => with_more.push(tenant),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::error!(tenant = %tenant, %error, "the deliveries of a tenant could not be looked for");
                        error.log();
                    }
                }
                if self.free() == 0 {
                    break;
                }
            }
            tenants = with_more;
        }
        Ok(())
    }

    /// Begins with so many deliveries of a tenant at most, and with no more than half of what may be under way. Answers with
    /// how many.
    async fn begin_for(self: &Arc<Self>, tenant: &TenantId, most: usize, working: &mut JoinSet<()>) -> Result<usize> {
        let of_tenant = (self.at_once / 2).max(1);
        let most = most.min(self.free()).min(of_tenant.saturating_sub(self.turns.own(tenant)));
        if most == 0 {
            return Ok(0);
        }
        let now = self.clock.now();
        // Those that are under way or paused are still due, and must not hide others.
        let due = self.store.due(tenant, now, most.saturating_add(self.turns.hidden(tenant))).await?;
        let mut begun = 0;
        for delivery in due.into_iter().filter(|due| self.turns.may_begin(&due.id, now)).take(most) {
            if !self.turns.begin(&delivery.id, tenant) {
                continue;
            }
            begun += 1;
            let worker = Arc::clone(self);
            working.spawn(async move {
                let id = delivery.id.clone();
                let mut under_way =
                    UnderWay { turns: &worker.turns, clock: &*worker.clock, delivery: &id, went_well: false };
                under_way.went_well = worker.work(delivery).await;
            });
        }
        Ok(begun)
    }

    /// How many more may be under way.
    fn free(&self) -> usize {
        self.at_once.saturating_sub(self.turns.count())
    }

    /// Works on a delivery; answers whether what became of it could be written.
    async fn work(&self, delivery: Delivery) -> bool {
        let context = RequestContext {
            request_id: delivery.request_id.clone(),
            trace_id: delivery.trace_id.clone(),
            source_address: delivery.source_address.clone(),
            ..RequestContext::default()
        };
        let id = delivery.id.clone();
        let advanced = context::scope(context, self.advance(delivery)).await;
        if let Err(error) = &advanced {
            tracing::warn!(delivery = id, %error, "a delivery could not be worked on now");
            error.log();
        }
        advanced.is_ok()
    }

    /// Takes a delivery as far as it goes now.
    async fn advance(&self, mut delivery: Delivery) -> Result<()> {
        delivery.tried_since.get_or_insert(self.clock.now());
        let is_new = delivery.state == DeliveryState::Received;
        let mut made = None;
        if is_new {
            let unmapped = delivery.clone();
            delivery = match self.map(delivery).await? {
                Came::On(mapped, parameters) => {
                    self.failpoint.pass(At::MapBefore);
                    match self.store.map((*mapped).clone(), self.limits.room(self.clock.now())).await? {
                        Mapped::Kept => {}
                        Mapped::Elsewhere => return Ok(()),
                        Mapped::Full => {
                            let (written, entries) = self.later(unmapped, "mapped", &no_room());
                            self.write(&written, entries).await?;
                            return Ok(());
                        }
                    }
                    self.failpoint.pass(At::MapAfter);
                    made = Some(parameters);
                    Delivery { version: mapped.version + 1, ..*mapped }
                }
                Came::Stop(written) => {
                    self.write(&written.0, written.1).await?;
                    return Ok(());
                }
            };
        }
        let Some(asked) = delivery.asked.clone() else {
            return Err(Error::internal(anyhow::anyhow!("delivery {} asks for nothing", delivery.id)));
        };
        // Whoever disables or removes a hook stops what waits, too.
        let (delivery, entries) = match self.usable(&delivery).await? {
            Ok(hook) => {
                if hook.kind == run_task::KIND {
                    self.set_answer_by(&mut delivery);
                }
                self.submit(delivery, &asked, made).await
            }
            Err(gone) if is_new => self.refused(delivery, "submitted", gone.reason, gone.why),
            // It was mapped before, so an earlier try may have reached the executor.
            Err(gone) => self.given_up(delivery, &format!("{} A job may have been made of it before that.", gone.why)),
        };
        self.failpoint.pass(At::SubmitBefore);
        self.write(&delivery, entries).await?;
        self.failpoint.pass(At::SubmitAfter);
        Ok(())
    }

    /// Until when Terraform has a result: run tasks that an earlier version took do not say it.
    fn set_answer_by(&self, delivery: &mut Delivery) {
        let wait = self.reporting.of(&delivery.tenant, &delivery.hook).wait;
        delivery.answer_by.get_or_insert(limits::answer_by(delivery.received_at, wait));
    }

    async fn write(&self, delivery: &Delivery, entries: Vec<Entry>) -> Result<bool> {
        let written = self.store.advance(delivery.clone(), entries).await?;
        self.outbox.ring();
        if delivery.finished_at.is_some() {
            self.remembered.take(&delivery.id);
        }
        if delivery.finished_at.is_some() && delivery.answer_by.is_some() {
            self.woken.wake(&delivery.tenant, &delivery.id);
        }
        Ok(written)
    }

    /// The hook of a delivery, unless it was disabled or removed since. Another one of its name is not it.
    async fn usable(&self, delivery: &Delivery) -> Result<std::result::Result<Hook, Gone>> {
        let found = self.hooks.find(&delivery.tenant, &delivery.hook).await?;
        Ok(match found.filter(|hook| hook.id == delivery.hook_id) {
            Some(hook) if !hook.disabled => Ok(hook),
            Some(_) => Err(Gone { reason: "HOOK_DISABLED", why: "The hook was disabled meanwhile." }),
            None => Err(Gone { reason: "HOOK_DELETED", why: "The hook was removed meanwhile." }),
        })
    }

    /// Filters and maps.
    async fn map(&self, mut delivery: Delivery) -> Result<Came> {
        let hook = match self.usable(&delivery).await? {
            Ok(hook) => hook,
            Err(gone) => return Ok(self.refused(delivery, "filtered", gone.reason, gone.why).into()),
        };
        let Some(content) = self.store.content(&delivery.tenant, &delivery.id).await? else {
            return Err(Error::internal(anyhow::anyhow!("delivery {} contains nothing", delivery.id)));
        };
        let now = self.clock.now();
        if content.sealed.contains_key(run_task::ACCESS_TOKEN) {
            self.set_answer_by(&mut delivery);
        }
        let start_by = delivery.answer_by.map(limits::start_by);
        if start_by.is_some_and(|by| by <= now) {
            return Ok(self
                .refused(delivery, "submitted", OUT_OF_TIME, "Terraform does not wait for it any longer.")
                .into());
        }
        let event = match self.event(&hook, &delivery, content).await {
            Ok(event) => event,
            Err(error) if is_temporary(&error) => return Ok(self.later(delivery, "mapped", &error).into()),
            Err(error) => return Ok(self.refused(delivery, "mapped", "PLAN_UNREADABLE", &words(&error)).into()),
        };
        match steps::make(&*self.modules, &hook, &hook.module, &event).await {
            Ok(Made::Wanted { parameters, reference }) => {
                let (shown, sealed) = match self.seal(&hook, &delivery, &parameters).await {
                    Ok(divided) => divided,
                    Err(error) if is_temporary(&error) => {
                        return Ok(self.later(delivery, "mapped", &error).into());
                    }
                    // The template is not there, or not for this account: its refusal is that of the job.
                    Err(error) => {
                        delivery.step("filtered", now, Went::Ok, "wanted");
                        let (reason, why) = (error.reason().name(), words(&error));
                        return Ok(self.refused(delivery, "submitted", reason, &why).into());
                    }
                };
                delivery.step("filtered", now, Went::Ok, "wanted");
                delivery.step("mapped", now, Went::Ok, steps::named(&parameters));
                let (template, client_id) = (hook.template, hook.client_id);
                delivery.asked =
                    Some(Asked { template, client_id, parameters: shown, sealed, reference, since: now, start_by });
                delivery.state = DeliveryState::Mapped;
                delivery.tries = 0;
                Ok(Came::On(Box::new(delivery), parameters))
            }
            Ok(Made::Unwanted) => {
                delivery.step("filtered", now, Went::No, "the filter does not want it");
                delivery.finish(DeliveryState::Filtered, now);
                let details = json!({ "hook": delivery.hook, "event": delivery.event });
                let entry = self.entry(&delivery, "delivery.filter", Outcome::Success, &details);
                Ok((delivery, vec![entry]).into())
            }
            Ok(Made::Failed(problem)) => Ok(self.refused(delivery, "mapped", "MAPPING_FAILED", &problem).into()),
            Err(error) => Ok(self.later(delivery, "mapped", &error).into()),
        }
    }

    /// The parameters as they may be kept, and the write-only ones sealed.
    async fn seal(
        &self,
        hook: &Hook,
        delivery: &Delivery,
        parameters: &Map<String, Value>,
    ) -> Result<(Map<String, Value>, Option<String>)> {
        let account = account(delivery, &hook.client_id);
        let divided = async {
            let context = self.acting_for(account, None).await?;
            context::scope(context, parameters::divided(&*self.jobs, &hook.template, parameters.clone())).await
        };
        let divided = divided.await;
        self.tokens.judge(account, &divided);
        // Nothing waits for the executor here: what may be write-only is sealed all the same.
        let divided = match divided {
            Err(error) if is_temporary(&error) => parameters::Divided::all(parameters),
            divided => divided?,
        };
        let sealed = divided.seal(&*self.keys, &delivery.tenant, &delivery.id).await?;
        Ok((divided.shown, sealed))
    }

    /// The context of a request that is made as a service account.
    async fn acting_for(&self, account: Account<'_>, key: Option<String>) -> Result<RequestContext> {
        let token = Some(self.tokens.of(account).await?);
        Ok(RequestContext { token, idempotency_key: key, ..Arc::unwrap_or_clone(context::current()) })
    }

    /// What filter and mapping see: with the plan, if the hook wants it.
    async fn event(&self, hook: &Hook, delivery: &Delivery, content: Content) -> Result<String> {
        if hook.kind != run_task::KIND || hook.settings.get(run_task::WANTS_PLAN) != Some(&Value::Bool(true)) {
            return Ok(content.event);
        }
        let plan = self.plans.plan(delivery, &content).await?;
        with_plan(&content.event, plan.as_deref().unwrap_or("null"))
    }

    /// Asks for the job.
    async fn submit(&self, mut delivery: Delivery, asked: &Asked, made: Option<Map<String, Value>>) -> Written {
        let now = self.clock.now();
        if now.since(asked.since) > MAX_PATIENCE {
            return self
                .given_up(delivery, "It may have been submitted, and it is too late to find out by doing so again.");
        }
        // An earlier version did not tell the executor until when, and the same has to be submitted.
        if asked.start_by.is_none() && delivery.answer_by.is_some_and(|by| limits::start_by(by) <= now) {
            return self
                .given_up(delivery, "Terraform does not wait for it any longer, and it may have been submitted.");
        }
        // An earlier try may have reached the executor.
        let is_first = made.is_some();
        match self.ask(&delivery, asked, made).await {
            Ok(job) => {
                let now = self.clock.now();
                delivery.step("validated", now, Went::Ok, "the parameters fit the template");
                delivery.step("decided", now, Went::Ok, "allowed");
                delivery.step("submitted", now, Went::Ok, job.clone());
                delivery.finish(DeliveryState::Submitted, now);
                let details = json!({ "hook": delivery.hook, "job": job, "reference": asked.reference });
                delivery.job = Some(job);
                metrics::counter!("runwarden_hook_deliveries_total", "result" => "submitted").increment(1);
                let entry = self.entry(&delivery, "delivery.submit", Outcome::Success, &details);
                (delivery, vec![entry])
            }
            Err(NotMade { error, .. }) if is_temporary(&error) => self.later(delivery, "submitted", &error),
            Err(NotMade { error, looked_for: false }) if !is_first => {
                let why = format!("{} A job may have been made of it before that.", words(&error));
                self.given_up(delivery, &why)
            }
            // The executor knows of no job of it, and makes none any more.
            Err(_) if asked.start_by.is_some_and(|by| by <= now) => {
                self.refused(delivery, "submitted", OUT_OF_TIME, "Terraform does not wait for it any longer.")
            }
            Err(NotMade { error, .. }) => {
                let step = match error.reason() {
                    ErrorReason::ParametersInvalid | ErrorReason::ValidationFailed => "validated",
                    ErrorReason::PolicyDenied => "decided",
                    _ => "submitted",
                };
                self.refused(delivery, step, error.reason().name(), &words(&error))
            }
        }
    }

    async fn ask(
        &self,
        delivery: &Delivery,
        asked: &Asked,
        made: Option<Map<String, Value>>,
    ) -> std::result::Result<String, NotMade> {
        let parameters = match made {
            Some(parameters) => parameters,
            None => match self.remembered.take(&delivery.id) {
                Some(parameters) => parameters,
                None => parameters::whole(&*self.keys, delivery, asked).await?,
            },
        };
        let account = account(delivery, &asked.client_id);
        let context = self.acting_for(account, Some(format!("hook:{}:{}", delivery.hook, delivery.id))).await?;
        let origin = Origin { hook: &delivery.hook, delivery: &delivery.id, reference: &asked.reference };
        let sealed = asked.sealed.is_some();
        let order = Order {
            template: &asked.template,
            parameters: &parameters,
            origin: Some(origin),
            start_by: asked.start_by,
        };
        let asked = context::scope(context, self.jobs.submit(order)).await;
        self.tokens.judge(account, &asked);
        if sealed && asked.as_ref().is_err_and(is_temporary) {
            self.remembered.keep(&delivery.id, &parameters);
        }
        asked.map_err(|error| NotMade { looked_for: was_looked_for(error.reason()), error })
    }

    /// It is tried again, unless it was tried for too long, or nobody waits for it any longer.
    fn later(&self, mut delivery: Delivery, step: &str, error: &Error) -> Written {
        let now = self.clock.now();
        // Not before: what is given up is told, and a launch that was begun in time may still be under way.
        if delivery.answer_by.is_some_and(|by| by <= now) {
            let why = format!(
                "Terraform does not wait for it any longer. If a job was made of it, that is not begun any more. The last \
                 try: {}",
                error.detail()
            );
            return self.given_up(delivery, &why);
        }
        let since = *delivery.tried_since.get_or_insert(now);
        if now.since(since) > self.patience {
            return self.given_up(delivery, &format!("It was tried for too long. The last time: {}", error.detail()));
        }
        let doubled = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(delivery.tries).unwrap_or(u32::MAX));
        let pause = doubled.max(error.retry_after().unwrap_or_default()).min(LONGEST_PAUSE);
        delivery.tries = delivery.tries.saturating_add(1);
        let due_at = now.plus(pause.mul_f64(jitter(&delivery)));
        delivery.due_at = Some(delivery.answer_by.map_or(due_at, |by| by.min(due_at)));
        delivery.step(step, now, Went::Later, words(error));
        metrics::counter!("runwarden_hook_deliveries_total", "result" => "later").increment(1);
        (delivery, Vec::new())
    }

    fn given_up(&self, mut delivery: Delivery, why: &str) -> Written {
        let now = self.clock.now();
        delivery.step("submitted", now, Went::Failed, why);
        delivery.reason = Some("GIVEN_UP".to_owned());
        delivery.reason_detail = Some(why.to_owned());
        delivery.finish(DeliveryState::GivenUp, now);
        metrics::counter!("runwarden_hook_deliveries_total", "result" => "given_up").increment(1);
        let details = json!({ "hook": delivery.hook, "why": why });
        let entry = self.entry(&delivery, "delivery.give_up", Outcome::Failed, &details);
        (delivery, vec![entry])
    }

    fn refused(&self, mut delivery: Delivery, step: &str, reason: &str, why: &str) -> Written {
        let now = self.clock.now();
        let went = if step == "decided" { Went::No } else { Went::Failed };
        delivery.step(step, now, went, why);
        delivery.reason = Some(reason.to_owned());
        delivery.reason_detail = Some(why.to_owned());
        delivery.finish(DeliveryState::Refused, now);
        metrics::counter!("runwarden_hook_deliveries_total", "result" => "refused").increment(1);
        let details = json!({ "hook": delivery.hook, "reason": reason, "why": why });
        let entry = self.entry(&delivery, "delivery.refuse", Outcome::Denied, &details);
        (delivery, vec![entry])
    }

    fn entry(&self, delivery: &Delivery, action: &str, outcome: Outcome, details: &serde_json::Value) -> Entry {
        EntryBuilder::new(&*self.clock, Service::Hook, action, "delivery", &delivery.id)
            .tenant(&delivery.tenant)
            .outcome(outcome)
            .details(details)
            .build()
    }
}

/// An event with the plan in it, as it was written: its numbers may have more digits than we keep.
fn with_plan(event: &str, plan: &str) -> Result<String> {
    let open = event.trim_end().strip_suffix('}').filter(|open| open.starts_with('{'));
    let open = open.ok_or_else(|| Error::internal(anyhow::anyhow!("an event that is not an object")))?;
    let comma = if open.len() == 1 { "" } else { "," };
    Ok(format!("{open}{comma}\"plan\":{plan}}}"))
}

/// The service account that a delivery's job is asked for as.
fn account<'a>(delivery: &'a Delivery, client_id: &'a str) -> Account<'a> {
    Account { tenant: &delivery.tenant, client_id, project: &delivery.project, hook: &delivery.hook }
}

/// Its hook's parameters wait for those of its earlier deliveries to become jobs.
fn no_room() -> Error {
    Error::new(ErrorReason::QueueFull, "There is no room for its parameters until more deliveries are done with.")
}

/// Whether the same may be answered otherwise in a while.
fn is_temporary(error: &Error) -> bool {
    error.retry_after().is_some() || is_refused(error.reason()) || error.reason() == ErrorReason::Internal
}

/// Whether whoever refuses a request like that has looked for the job of an earlier one and found none: the executor does
/// so first, but its gate may say these before, and the last one says that there is a job.
fn was_looked_for(reason: ErrorReason) -> bool {
    !matches!(
        reason,
        ErrorReason::PermissionDenied
            | ErrorReason::NotFound
            | ErrorReason::TenantDisabled
            | ErrorReason::IdempotencyKeyReused
    )
}

/// From 0.75 to 1.25, by the delivery's id and try: those that failed together do not come back together.
fn jitter(delivery: &Delivery) -> f64 {
    let seed = delivery.id.bytes().fold(u32::from(delivery.tries == 0) + delivery.tries, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    0.75 + f64::from(seed % 1000) / 2000.0
}
