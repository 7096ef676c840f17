//! Makes messages of what became of jobs. How far it came is kept with the messages it made, so nothing is left out and
//! nothing is told twice, whatever dies.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use runwarden_engines::catalog::Catalog;
use runwarden_kit::Result;
use runwarden_kit::clock::Clock;
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::tenant::TenantId;
use runwarden_proto::executor::v1::{Job, WatchJobsResponse};
use tokio::sync::Notify;

use super::event::{self, Event};
use super::ports::Jobs;
use super::{Callback, Why};
use crate::failpoint::{At, Failpoint};
use crate::run_task::woken::Woken;
use crate::store::key;
use crate::store::messages::{Messages, NewMessage};

/// How long the executor is to wait for a change; less than a call on the mesh may take.
const WAIT: Duration = Duration::from_secs(20);
/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// When jobs are followed from the beginning again, those that ended before this are left out: what was told of them is
/// no longer known.
const TOO_OLD: Duration = super::sender::DELIVERED_KEPT;

/// Follows jobs.
pub struct Follower {
    /// What becomes of jobs.
    pub jobs: Arc<dyn Jobs>,
    /// Callbacks.
    pub catalog: Catalog,
    /// Messages.
    pub messages: Arc<dyn Messages>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Rings when there are messages to send.
    pub bell: Arc<Notify>,
    /// Hears of each job of a delivery that ended.
    pub(crate) woken: Arc<Woken>,
    /// Where a test has the process die.
    pub failpoint: Failpoint,
}

impl Follower {
    /// Works until the process stops.
    pub async fn run(self, shutdown: Shutdown) {
        let mut pause = Duration::from_secs(1);
        while !shutdown.has_begun() {
            let step = tokio::select! {
                step = self.step(WAIT) => step,
                () = shutdown.begun() => return,
            };
            match step {
                Ok(()) => pause = Duration::from_secs(1),
                Err(error) => {
                    error.log();
                    if shutdown.sleep(pause).await.is_err() {
                        return;
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Makes the messages of what changed since the last step.
    pub(crate) async fn step(&self, wait: Duration) -> Result<()> {
        let after = self.messages.cursor().await?;
        let WatchJobsResponse { jobs, last, starts_over } = self.jobs.changed(after, wait).await?;
        if starts_over {
            tracing::warn!(after, "the executor's store was restored; jobs are followed from its beginning");
        }
        if after == Some(last) && jobs.is_empty() {
            return Ok(());
        }
        let too_old = self.clock.now().minus(TOO_OLD);
        let mut of_tenants: HashMap<String, Vec<Callback>> = HashMap::new();
        let mut made = Vec::new();
        for job in &jobs {
            let Some(event) = Event::of(job.state()) else { continue };
            let Ok(tenant) = job.tenant.parse::<TenantId>() else { continue };
            if starts_over && event.at(job) < too_old {
                continue;
            }
            if !of_tenants.contains_key(&job.tenant) {
                let all = self.catalog.list_all::<Callback>(&key::callbacks(&tenant)).await?;
                of_tenants.insert(job.tenant.clone(), all.into_iter().map(|stored| stored.value).collect());
            }
            for callback in of_tenants.get(&job.tenant).into_iter().flatten() {
                made.extend(message(callback, job, event)?);
            }
        }
        let any = !made.is_empty();
        if any {
            self.failpoint.pass(At::MessageBefore);
        }
        self.messages.put(made, last, self.clock.now()).await?;
        if any {
            self.failpoint.pass(At::MessageAfter);
            self.bell.notify_one();
        }
        self.wake(&jobs);
        Ok(())
    }

    /// Run tasks report how their job ended.
    fn wake(&self, jobs: &[Job]) {
        for job in jobs.iter().filter(|job| job.finished_at.is_some()) {
            let delivery = job.origin.as_ref().map_or("", |origin| origin.delivery.as_str());
            if let (false, Ok(tenant)) = (delivery.is_empty(), job.tenant.parse::<TenantId>()) {
                self.woken.wake(&tenant, delivery);
            }
        }
    }
}

/// What a callback is told of this; none if nothing. What is for one that was disabled by itself is kept for later.
fn message(callback: &Callback, job: &Job, event: Event) -> Result<Option<NewMessage>> {
    let why = callback.disabled.map(|disabled| disabled.why);
    if !callback.wants(job, event) || why == Some(Why::Person) {
        return Ok(None);
    }
    Ok(Some(NewMessage {
        id: event::message_id(&callback.id, &job.id, event),
        tenant: callback.tenant.clone(),
        callback: callback.id.clone(),
        job: job.id.clone(),
        event: event.name(),
        body: event::body(job, event)?,
        dead: why.map(|why| why.in_words().to_owned()).unwrap_or_default(),
    }))
}
