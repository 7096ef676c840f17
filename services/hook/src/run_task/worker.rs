//! Reports what becomes of run tasks, whatever dies.
//!
//! Each tenant has its turn: of tasks that are due, the next one is of the tenant of whose tasks the fewest are worked
//! on, so that a thousand tasks of one do not delay another's beyond what Terraform waits.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use runwarden_kit::audit::{Entry, EntryBuilder, Outbox, Outcome};
use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::mesh::Service;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result, SecretString};
use runwarden_webhooks::run_task::{ACCESS_TOKEN, CALLBACK_URL, End, Next, OUTCOMES, Sequence, Verdict, Why, running};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::limits;
use super::seen::{Seen, out_of_time, verdict};
use super::terraform::Terraform;
use super::woken::Woken;
use crate::by_hook::ByHook;
use crate::failpoint::{At, Failpoint};
use crate::inbox::delivery::Delivery;
use crate::inbox::tokens::Tokens;
use crate::ports::{Account, Jobs, Keys, Output};
use crate::store::InboxStore;
use crate::store::run_tasks::{RunTask, RunTaskStore};
use crate::turns::{Pauses, Turns, UnderWay};

/// How often it is looked for tasks that are due.
const LOOK: Duration = Duration::from_secs(1);
/// The longest pause between two looks at a job. Its end is noticed at once anyway, unless the news of it were lost.
const LONGEST_POLL: Duration = Duration::from_secs(30);
/// How long a task is left alone of which nothing could be written.
pub(crate) const PAUSES: Pauses = Pauses { first: Duration::from_secs(5), longest: Duration::from_secs(120) };
/// When a task is looked at again whose store, key or peer failed.
const AGAIN: Duration = Duration::from_secs(5);
/// What is read of a run's output, in bytes: the recap is at its end, and a run that prints more has its head cut off.
pub(crate) const OUTPUT_BYTES: usize = 2 * 1024 * 1024;

/// Reports on run tasks.
pub(crate) struct RunTasks {
    pub(crate) tasks: Arc<dyn RunTaskStore>,
    pub(crate) inbox: Arc<dyn InboxStore>,
    pub(crate) outbox: Outbox,
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) jobs: Arc<dyn Jobs>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) terraform: Terraform,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) reporting: ByHook<Reporting>,
    /// How many tasks are worked on at once.
    pub(crate) at_once: usize,
    pub(crate) failpoint: Failpoint,
    /// Tasks to be looked at before they are due.
    pub(crate) woken: Arc<Woken>,
    /// What is worked on.
    pub(crate) turns: Turns,
}

/// How run tasks are reported on.
#[derive(Clone, Debug)]
pub(crate) struct Reporting {
    /// How long a job may take, at most 57 minutes.
    pub(crate) wait: Duration,
    /// How often a job is looked at, at first.
    pub(crate) poll: Duration,
    /// The link of results; none to leave it out.
    pub(crate) link: Option<String>,
}

/// A task whose tenant's turn it may be.
enum Ready {
    /// It was woken; whether the delivery is a run task at all is found out in its turn.
    Woken(String),
    Due(RunTask),
}

/// A task with what is needed to report on it.
struct Open {
    delivery: Delivery,
    callback: String,
    /// The token, sealed: each opening is on the record, so it is opened only to send.
    token: Vec<u8>,
    detailed: bool,
}

impl RunTasks {
    /// Works until shutdown. What was begun is finished.
    pub(crate) async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let mut working = JoinSet::new();
        while !shutdown.has_begun() {
            if let Err(error) = self.begin(&mut working).await {
                error.log();
            }
            tokio::select! {
                () = shutdown.begun() => break,
                () = self.woken.any() => {}
                () = tokio::time::sleep(LOOK) => {}
                Some(_) = working.join_next() => {}
            }
        }
        while working.join_next().await.is_some() {}
    }

    /// Begins with as many as may be worked on at once. A tenant whose tasks cannot be read stops no other.
    pub(crate) async fn begin(self: &Arc<Self>, working: &mut JoinSet<()>) -> Result<()> {
        while working.try_join_next().is_some() {}
        let now = self.clock.now();
        self.turns.forget_old(now);
        let free = self.free();
        if free == 0 {
            return Ok(());
        }
        let mut queues: HashMap<TenantId, VecDeque<Ready>> = HashMap::new();
        for (delivery, tenant) in self.woken.take(|id| !self.turns.may_begin(id, now)) {
            queues.entry(tenant).or_default().push_back(Ready::Woken(delivery));
        }
        match self.tasks.tenants_due(now).await {
            Ok(tenants) => {
                for tenant in tenants {
                    // Those that are worked on or paused may still be due, and must not hide others.
                    let hidden = self.turns.hidden(&tenant);
                    match self.tasks.due(&tenant, now, free.saturating_add(hidden)).await {
                        Ok(due) => {
                            let due = due.into_iter().filter(|task| self.turns.may_begin(&task.delivery, now));
                            queues.entry(tenant).or_default().extend(due.map(Ready::Due));
                        }
                        Err(error) => error.log(),
                    }
                }
            }
            Err(error) => error.log(),
        }
        while self.free() > 0 {
            queues.retain(|_, waiting| !waiting.is_empty());
            let next = queues.iter_mut().min_by_key(|(tenant, _)| self.turns.rank(tenant));
            let Some((tenant, ready)) = next.and_then(|(tenant, waiting)| Some((tenant, waiting.pop_front()?))) else {
                break;
            };
            match ready {
                Ready::Due(task) => self.take(task, working),
                Ready::Woken(delivery) => match self.tasks.get(tenant, &delivery).await {
                    Ok(Some(task)) => self.take(task, working),
                    Ok(None) => {}
                    Err(error) => error.log(),
                },
            }
        }
        // Those whose turn it is not yet.
        for (tenant, waiting) in queues {
            for ready in waiting {
                if let Ready::Woken(delivery) = ready {
                    self.woken.put_back(&tenant, delivery);
                }
            }
        }
        Ok(())
    }

    fn take(self: &Arc<Self>, task: RunTask, working: &mut JoinSet<()>) {
        if !self.turns.begin(&task.delivery, &task.tenant) {
            return;
        }
        let worker = Arc::clone(self);
        working.spawn(async move {
            let id = task.delivery.clone();
            let mut under_way =
                UnderWay { turns: &worker.turns, clock: &*worker.clock, delivery: &id, went_well: false };
            under_way.went_well = worker.work(task).await;
        });
    }

    /// How many more may be worked on.
    fn free(&self) -> usize {
        self.at_once.saturating_sub(self.turns.count())
    }

    /// Takes a task as far as it goes now. Answers whether what became of it could be written.
    async fn work(&self, task: RunTask) -> bool {
        let Err(error) = self.advance(task.clone()).await else { return true };
        tracing::warn!(delivery = task.delivery, %error, "a run task could not be reported on now");
        error.log();
        // It stays due; others go first.
        let later = self.clock.now().plus(AGAIN);
        // If that fails, it is due at once, and what was sent is not known: it must not be sent again at once.
        self.tasks.save(task, Some(later), Vec::new()).await.inspect_err(Error::log).is_ok()
    }

    pub(crate) async fn advance(&self, mut task: RunTask) -> Result<()> {
        let Some(open) = self.open(&task).await? else {
            // Its delivery was forgotten, long after Terraform stopped waiting.
            self.tasks.save(task, None, Vec::new()).await?;
            return Ok(());
        };
        let mut sequence = task.sequence.take().unwrap_or_else(|| self.sequence(&open.delivery));
        // What is decided does not change any more, whatever becomes of the job.
        let decided = sequence.verdict().is_some();
        let seen = if decided { Seen::of_delivery(&open.delivery) } else { self.look(&open.delivery).await };
        loop {
            let now = self.clock.now().seconds();
            match sequence.next(now, seen.is_over()) {
                Next::Wait(until) => {
                    let until = Moment::from_micros(until.saturating_mul(1_000_000));
                    let poll = self.clock.now().plus(self.poll(&open.delivery));
                    let due = if sequence.verdict().is_some() { until } else { until.min(poll) };
                    self.tasks.save(RunTask { sequence: Some(sequence), ..task }, Some(due), Vec::new()).await?;
                    return Ok(());
                }
                Next::Over => {
                    let entry = self.ended(&open.delivery, &sequence);
                    self.tasks.save(RunTask { sequence: Some(sequence), ..task }, None, vec![entry]).await?;
                    self.outbox.ring();
                    return Ok(());
                }
                Next::Conclude(why) => sequence.conclude(self.conclude(&open, &seen, why).await),
                Next::Update => {
                    let body = running(seen.message(), self.reporting(&open.delivery).link.as_deref());
                    let token = self.token(&open).await?;
                    let reply = self.terraform.send(&open.delivery, &open.callback, &token, body).await;
                    self.failpoint.pass(At::UpdateAfter);
                    sequence.updated(self.clock.now().seconds(), reply);
                }
                Next::Final { plain } => {
                    let Some(verdict) = sequence.verdict() else {
                        return Err(Error::internal(anyhow::anyhow!("a final result that says nothing")));
                    };
                    let body = verdict.body(open.detailed && !plain);
                    let token = self.token(&open).await?;
                    // Whoever dies from here on must assume that it arrived.
                    sequence.sending();
                    task.sequence = Some(sequence.clone());
                    if !self.tasks.save(task.clone(), Some(self.clock.now()), Vec::new()).await? {
                        return Ok(());
                    }
                    task.version += 1;
                    self.failpoint.pass(At::FinalBefore);
                    let reply = self.terraform.send(&open.delivery, &open.callback, &token, body).await;
                    self.failpoint.pass(At::FinalAfter);
                    sequence.finished(self.clock.now().seconds(), reply);
                }
            }
            // Durable before anything else is done: what a final result says is decided on once.
            task.sequence = Some(sequence.clone());
            if !self.tasks.save(task.clone(), Some(self.clock.now()), Vec::new()).await? {
                return Ok(());
            }
            task.version += 1;
        }
    }

    fn reporting(&self, delivery: &Delivery) -> &Reporting {
        self.reporting.of(&delivery.tenant, &delivery.hook)
    }

    /// At its beginning. Those that an earlier version took do not say until when.
    fn sequence(&self, delivery: &Delivery) -> Sequence {
        let at = delivery.received_at;
        let by = delivery.answer_by.unwrap_or_else(|| limits::answer_by(at, self.reporting(delivery).wait));
        Sequence::new(at.seconds(), limits::wait(at, by))
    }

    /// Reads what a task needs.
    async fn open(&self, task: &RunTask) -> Result<Option<Open>> {
        let Some(delivery) = self.inbox.get(&task.tenant, &task.delivery).await? else { return Ok(None) };
        let Some(content) = self.inbox.content(&task.tenant, &task.delivery).await? else { return Ok(None) };
        let event: Value = serde_json::from_str(&content.event).map_err(Error::internal)?;
        let callback = event.pointer(CALLBACK_URL).and_then(Value::as_str).unwrap_or_default().to_owned();
        let Some(sealed) = content.sealed.get(ACCESS_TOKEN) else {
            return Err(Error::internal(anyhow::anyhow!("delivery {} has no access token", delivery.id)));
        };
        let token = sealed.clone();
        let detailed = event.pointer(OUTCOMES).and_then(Value::as_bool).unwrap_or_default();
        Ok(Some(Open { delivery, callback, token, detailed }))
    }

    async fn token(&self, open: &Open) -> Result<SecretString> {
        self.keys.open(&open.delivery.tenant, &open.delivery.id, &open.token).await
    }

    /// When a job is looked at again: the longer it takes, the less often.
    fn poll(&self, delivery: &Delivery) -> Duration {
        let taken = self.clock.now().since(delivery.received_at);
        let poll = self.reporting(delivery).poll;
        (taken / 8).clamp(poll, poll.max(LONGEST_POLL))
    }

    /// What is known of the job. If that cannot be found out now, Terraform is told what was known before.
    async fn look(&self, delivery: &Delivery) -> Seen {
        let Some(job) = &delivery.job else { return Seen::of_delivery(delivery) };
        match self.as_account(delivery, || self.jobs.view(job)).await {
            Ok(view) => Seen::of_job(delivery, view.as_ref()),
            Err(error) => {
                error.log();
                Seen::of_delivery(delivery)
            }
        }
    }

    async fn conclude(&self, open: &Open, seen: &Seen, why: Why) -> Verdict {
        let link = self.reporting(&open.delivery).link.clone();
        let output = match (why, seen) {
            (Why::OutOfTime, _) => return out_of_time(seen, link),
            (Why::Ended, Seen::Over { job: Some(job), .. }) if open.detailed => self.output(&open.delivery, job).await,
            (Why::Ended, _) => None,
        };
        verdict(seen, link, output.as_ref())
    }

    /// What the run printed. A result without it is better than none.
    async fn output(&self, delivery: &Delivery, job: &str) -> Option<Output> {
        match self.as_account(delivery, || self.jobs.output(job, OUTPUT_BYTES)).await {
            Ok(output) => output,
            Err(error) => {
                error.log();
                Some(Output::default())
            }
        }
    }

    /// Asks as the service account that asked for the job. If its token is refused, it was rotated or revoked, and it is
    /// asked with a new one.
    async fn as_account<T, F: Future<Output = Result<T>>>(
        &self,
        delivery: &Delivery,
        ask: impl Fn() -> F,
    ) -> Result<T> {
        let Some(asked) = &delivery.asked else {
            return Err(Error::internal(anyhow::anyhow!("delivery {} has a job and asked for none", delivery.id)));
        };
        let account = Account {
            tenant: &delivery.tenant,
            client_id: &asked.client_id,
            project: &delivery.project,
            hook: &delivery.hook,
        };
        let mut answer = self.with_token(delivery, account, ask()).await;
        if self.tokens.judge(account, &answer) {
            answer = self.with_token(delivery, account, ask()).await;
            self.tokens.judge(account, &answer);
        }
        answer
    }

    async fn with_token<T>(
        &self,
        delivery: &Delivery,
        account: Account<'_>,
        ask: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let context = RequestContext {
            token: Some(self.tokens.of(account).await?),
            request_id: delivery.request_id.clone(),
            trace_id: delivery.trace_id.clone(),
            source_address: delivery.source_address.clone(),
            ..RequestContext::default()
        };
        context::scope(context, ask).await
    }

    fn ended(&self, delivery: &Delivery, sequence: &Sequence) -> Entry {
        let (outcome, end) = match sequence.end() {
            Some(End::Delivered) => (Outcome::Success, "delivered"),
            Some(End::Refused) => (Outcome::Failed, "refused"),
            Some(End::Unanswered) | None => (Outcome::Failed, "unanswered"),
        };
        metrics::counter!("runwarden_hook_run_tasks_total", "result" => end).increment(1);
        let passed = sequence.verdict().map(|verdict| verdict.passed);
        let mut details = json!({ "hook": delivery.hook, "job": delivery.job, "result": end, "passed": passed });
        if let (false, Some(details)) = (end == "delivered", details.as_object_mut()) {
            details.insert("status".to_owned(), json!(sequence.refused()));
            details.insert("may_have_arrived".to_owned(), json!(sequence.may_have_arrived()));
        }
        EntryBuilder::new(&*self.clock, Service::Hook, "run_task.report", "delivery", &delivery.id)
            .tenant(&delivery.tenant)
            .outcome(outcome)
            .details(&details)
            .build()
    }
}

#[cfg(test)]
pub(crate) mod tests;
