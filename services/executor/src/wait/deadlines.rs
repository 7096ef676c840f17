//! Ends waiting jobs that will not start: their time has passed, or their authority no longer holds. No worker holds
//! them, and their callers learn of it soon, however long they would have waited for their turn.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runwarden_awx::Target;
use runwarden_kit::Result;
use runwarden_kit::lifecycle::Shutdown;

use crate::breaker::Key;
use crate::job::{Attempt, Job, Queue};
use crate::launch::prepare;
use crate::launch::protocol;
use crate::ports::Template;
use crate::records;
use crate::shared::Shared;
use crate::store::Effects;

/// How often to look at deadlines.
const LOOK: Duration = Duration::from_millis(500);
/// How often to look at what waiting jobs were accepted for: one question for each template that has some.
const GROUNDS: Duration = Duration::from_secs(2);

/// Where the names of controllers led, and with which credential, when that was last looked at.
type Led = HashMap<Key, (Target, String)>;

/// Watches over jobs that wait.
pub struct Deadlines {
    /// What everybody works with.
    pub shared: Shared,
}

impl Deadlines {
    /// Works until shutdown.
    pub async fn run(self, shutdown: Shutdown) {
        let mut looked = Instant::now();
        let mut led = Led::default();
        while shutdown.sleep(LOOK).await.is_ok() {
            if let Err(error) = self.expire().await {
                error.log();
            }
            if looked.elapsed() < GROUNDS {
                continue;
            }
            if let Err(error) = self.look_at_grounds(&mut led).await {
                error.log();
            }
            if let Err(error) = self.measure().await {
                error.log();
            }
            looked = Instant::now();
        }
    }

    /// Shows for how long a launch has been looked for, so that a launch that cannot be searched for is noticed.
    async fn measure(&self) -> Result<()> {
        let age = self
            .shared
            .store
            .oldest_unresolved()
            .await?
            .map_or(Duration::ZERO, |sent| self.shared.clock.now().since(sent));
        metrics::gauge!("runwarden_oldest_unresolved_launch_seconds").set(age.as_secs_f64());
        Ok(())
    }

    async fn expire(&self) -> Result<()> {
        let now = self.shared.clock.now();
        for id in self.shared.store.expiring(now).await? {
            let change = |job: &mut Job, last: Option<Attempt>, _| {
                let ended = protocol::expired(job, last.as_ref(), now)?;
                Ok(ended.then(|| Effects::announced().finished(records::finish(now, job))))
            };
            self.shared.change(&id, now, None, &change).await?;
        }
        Ok(())
    }

    /// The template of a queue, and the jobs that wait for what it no longer is. Where there are any, it is the template
    /// of now: old news ends no job.
    async fn grounds(&self, queue: &Queue) -> Result<(Option<Arc<Template>>, Vec<String>)> {
        let Queue { tenant, template, .. } = queue;
        let outdated = async |found: Option<&Template>| {
            let digest = found.filter(|found| !found.tenant_disabled).map(|found| found.launch_digest.as_str());
            self.shared.store.outdated(queue, digest).await
        };
        let known = self.shared.templates.template(tenant, template).await?;
        let ended = outdated(known.as_deref()).await?;
        if known.is_none() || ended.is_empty() {
            return Ok((known, ended));
        }
        let now = self.shared.templates.template_now(tenant, template).await?;
        let ended = outdated(now.as_deref()).await?;
        Ok((now, ended))
    }

    /// Looks at every template of which jobs wait. What limits it is learned on the way: who raises a limit does not
    /// have to wait for the next launch.
    async fn look_at_grounds(&self, led: &mut Led) -> Result<()> {
        for head in self.shared.store.heads(self.shared.clock.now()).await? {
            let Queue { tenant, template, .. } = &head.queue;
            let (found, outdated) = match self.grounds(&head.queue).await {
                Ok(found) => found,
                // The service cannot be asked about the others either.
                Err(error) if error.retry_after().is_some() => return Err(error),
                Err(error) => {
                    error.log();
                    continue;
                }
            };
            if let Some(found) = &found {
                let controller = &found.controller;
                let key = (controller.tenant.clone(), controller.name.clone());
                let to = (controller.target.clone(), controller.secret_name.clone());
                // What is known to be down, or not to accept the credential, is not what the name leads to now.
                if led.insert(key.clone(), to.clone()).is_some_and(|before| before != to) {
                    self.shared.breaker.forget(&key);
                    self.shared.work.ring_ended();
                }
                if self.shared.known.of(tenant, template) != found.limits {
                    self.shared.known.learn(tenant, template, found.limits);
                    self.shared.work.ring_ended();
                }
            }
            for id in outdated {
                let now = self.shared.clock.now();
                let change = |job: &mut Job, _: Option<Attempt>, _| {
                    let Some(why) = prepare::groundless(found.as_deref(), job) else { return Ok(None) };
                    let ended = protocol::baseless(job, why, now)?;
                    Ok(ended.then(|| Effects::announced().finished(records::finish(now, job))))
                };
                self.shared.change(&id, now, None, &change).await?;
            }
        }
        Ok(())
    }
}
