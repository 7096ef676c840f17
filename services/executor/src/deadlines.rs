//! Ending jobs that were not begun in time, while nobody works on them.

use std::sync::Arc;
use std::time::Duration;

use runwarden_kit::Result;
use runwarden_kit::audit::Bell;
use runwarden_kit::clock::Clock;
use runwarden_kit::lifecycle::Shutdown;

use crate::attempt::Attempt;
use crate::job::Job;
use crate::live::Live;
use crate::protocol;
use crate::records;
use crate::store::{Effects, JobStore};
use crate::work::WorkBell;

/// How often to look.
const LOOK: Duration = Duration::from_millis(500);

/// Watches deadlines.
pub struct Deadlines {
    /// Where jobs live.
    pub store: Arc<dyn JobStore>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Who waits for jobs.
    pub live: Live,
    /// Rings when a job ended.
    pub work: WorkBell,
    /// Rings when audit entries wait.
    pub bell: Bell,
}

impl Deadlines {
    /// Works until shutdown.
    pub async fn run(self, shutdown: Shutdown) {
        while shutdown.sleep(LOOK).await.is_ok() {
            if let Err(error) = self.look().await {
                error.log();
            }
        }
    }

    async fn look(&self) -> Result<()> {
        let now = self.clock.now();
        for id in self.store.expiring(now).await? {
            let clock = self.clock.clone();
            let change = move |job: &mut Job, last: Option<Attempt>| {
                if !protocol::expired(job, last.as_ref(), now)? {
                    return Ok(None);
                }
                Ok(Some(Effects::told().with_entry(records::finish(&*clock, job))))
            };
            self.store.update(&id, now, Box::new(change)).await?;
            self.live.ring(&id);
            self.bell.ring();
            self.work.ring_ended();
        }
        Ok(())
    }
}
