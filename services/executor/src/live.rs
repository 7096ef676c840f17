//! Wakes the callers that wait for a job: a signal that something changed, never what.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

/// Waiters look again after this long in any case. What other processes do is told by whoever reads what changed
/// ([`Live::ring_waiting`]); this is for when that cannot be read.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Who waits for which job.
#[derive(Clone, Default)]
pub struct Live {
    jobs: Arc<Mutex<HashMap<String, watch::Sender<u64>>>>,
    /// Rings for every job.
    all: Arc<watch::Sender<u64>>,
}

/// A caller that waits for a job.
pub struct Waiter {
    live: Live,
    job: String,
    receiver: Option<watch::Receiver<u64>>,
}

impl Live {
    /// Something changed about a job.
    pub fn ring(&self, job: &str) {
        self.all.send_modify(|n| *n = n.wrapping_add(1));
        self.ring_waiting(job);
    }

    /// Something changed about a job, here or in another process: for those that wait for this one.
    pub fn ring_waiting(&self, job: &str) {
        if let Ok(jobs) = self.jobs.lock()
            && let Some(sender) = jobs.get(job)
        {
            sender.send_modify(|n| *n = n.wrapping_add(1));
        }
    }

    /// Begins to wait. Look at the job after this, so that nothing is missed between.
    #[must_use]
    pub fn wait_for(&self, job: &str) -> Waiter {
        let receiver = self
            .jobs
            .lock()
            .ok()
            .map(|mut jobs| jobs.entry(job.to_owned()).or_insert_with(|| watch::channel(0).0).subscribe());
        Waiter { live: self.clone(), job: job.to_owned(), receiver }
    }

    /// Begins to wait for a change of any job. Look at them after this, so that nothing is missed between.
    #[must_use]
    pub fn wait_for_any(&self) -> watch::Receiver<u64> {
        self.all.subscribe()
    }

    /// All jobs that callers wait for.
    #[must_use]
    pub fn awaited(&self) -> Vec<String> {
        let Ok(jobs) = self.jobs.lock() else { return Vec::new() };
        jobs.iter().filter(|(_, sender)| sender.receiver_count() > 0).map(|(job, _)| job.clone()).collect()
    }

    /// Whether a caller waits for a job.
    #[must_use]
    pub fn is_awaited(&self, job: &str) -> bool {
        self.jobs.lock().is_ok_and(|jobs| jobs.get(job).is_some_and(|s| s.receiver_count() > 0))
    }
}

impl Waiter {
    /// Whether something changed since this was asked last.
    #[cfg(test)]
    pub(crate) fn has_rung(&mut self) -> bool {
        self.receiver.as_mut().is_some_and(|receiver| {
            let changed = receiver.has_changed().is_ok_and(|changed| changed);
            receiver.mark_unchanged();
            changed
        })
    }

    /// Waits for a change, or for the time to look again.
    pub async fn changed(&mut self) {
        match &mut self.receiver {
            Some(receiver) => {
                let _either = tokio::time::timeout(LOOK_AGAIN, receiver.changed()).await;
            }
            None => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.receiver = None;
        if let Ok(mut jobs) = self.live.jobs.lock()
            && jobs.get(&self.job).is_some_and(|s| s.receiver_count() == 0)
        {
            jobs.remove(&self.job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ring_between_looking_and_waiting_is_not_missed() {
        let live = Live::default();
        let mut waiter = live.wait_for("job_1");
        live.ring("job_1");
        let started = std::time::Instant::now();
        waiter.changed().await;
        assert!(started.elapsed() < LOOK_AGAIN);
    }

    #[test]
    fn who_stopped_waiting_is_forgotten() {
        let live = Live::default();
        let waiter = live.wait_for("job_1");
        assert!(live.is_awaited("job_1"));
        drop(waiter);
        assert!(!live.is_awaited("job_1"));
    }
}
