//! Which executor this is, and whether the others still live. Any number of executors share one store: each holds
//! jobs and watches under its id, and shows that it lives by counting up a number there.
//!
//! Clocks are never compared. An executor is presumed dead when its number has not moved for a lease by the observer's
//! own steady clock; then what it held is free, with new fences, so that it does no harm should it come back.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::{Result, id};

use crate::store::{Beat, JobStore};
use crate::work::WorkBell;

/// An executor's identity. It belongs to its data folder, which only one process at a time has: who finds it there
/// knows that the executor that had it before is dead.
#[derive(Debug)]
pub struct Instance {
    id: String,
    _lock: File,
}

impl Instance {
    /// Takes the identity of a data folder, making one at the first start.
    ///
    /// # Errors
    /// When another process has it, or the file cannot be read or written.
    pub fn take(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("executor.id");
        let told = || path.display().to_string();
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).with_context(told)?;
        if file.try_lock().is_err() {
            bail!("{}: another executor uses this data folder", path.display());
        }
        let mut found = String::new();
        file.read_to_string(&mut found).with_context(told)?;
        let found = found.trim();
        if id::is_valid("exe", found) {
            return Ok(Self { id: found.to_owned(), _lock: file });
        }
        let made = id::new("exe");
        file.set_len(0).with_context(told)?;
        file.rewind().with_context(told)?;
        file.write_all(made.as_bytes()).with_context(told)?;
        file.sync_all().with_context(told)?;
        Ok(Self { id: made, _lock: file })
    }

    /// Its id, `exe_…`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// What was seen of other executors, and when first by this process's steady clock.
#[derive(Default)]
struct Observed(HashMap<String, (i64, Instant)>);

impl Observed {
    /// Takes note of what the others show. Answers those that have not moved for a lease.
    fn gone(&mut self, beats: Vec<Beat>, lease: Duration, now: Instant) -> Vec<Beat> {
        self.0.retain(|holder, _| beats.iter().any(|beat| beat.holder == *holder));
        beats
            .into_iter()
            .filter(|beat| {
                let seen = self.0.entry(beat.holder.clone()).or_insert((beat.beat, now));
                if seen.0 != beat.beat {
                    *seen = (beat.beat, now);
                }
                now.duration_since(seen.1) >= lease
            })
            .collect()
    }
}

/// Sends this executor's heartbeats and frees what dead ones held, until shutdown; then releases what it watches.
pub async fn keep_alive(
    store: Arc<dyn JobStore>,
    instance: Arc<Instance>,
    lease: Duration,
    work: WorkBell,
    shutdown: Shutdown,
) {
    let mut observed = Observed::default();
    // A quarter of a lease between looks and beats: a dead executor is noticed within one and a half.
    let pause = lease / 4;
    loop {
        if let Err(error) = once(&*store, &instance, lease, &mut observed, &work).await {
            error.log();
        }
        if shutdown.sleep(pause).await.is_err() {
            return;
        }
    }
}

async fn once(
    store: &dyn JobStore,
    instance: &Instance,
    lease: Duration,
    observed: &mut Observed,
    work: &WorkBell,
) -> Result<()> {
    store.beat(instance.id()).await?;
    let others = store.beats(instance.id()).await?;
    for beat in observed.gone(others, lease, Instant::now()) {
        if let Some(freed) = store.free(&beat).await? {
            tracing::warn!(executor = beat.holder, jobs = freed, "an executor is gone; this one takes over its work");
            work.ring();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(holder: &str, beat: i64) -> Beat {
        Beat { holder: holder.into(), beat }
    }

    #[test]
    fn a_folder_has_one_identity_and_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let first = Instance::take(folder.path()).unwrap();
        assert!(id::is_valid("exe", first.id()));
        Instance::take(folder.path()).unwrap_err();
        let was = first.id().to_owned();
        drop(first);
        assert_eq!(Instance::take(folder.path()).unwrap().id(), was);
    }

    #[test]
    fn what_a_crash_left_of_the_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("executor.id"), "exe_01").unwrap();
        assert!(id::is_valid("exe", Instance::take(folder.path()).unwrap().id()));
    }

    #[test]
    fn who_does_not_move_for_a_lease_is_gone_whatever_the_clocks_show() {
        let (mut observed, lease, start) = (Observed::default(), Duration::from_secs(10), Instant::now());
        let at = |second: u64| start + Duration::from_secs(second);
        assert!(observed.gone(vec![beat("a", 7), beat("b", 1)], lease, at(0)).is_empty());
        assert!(observed.gone(vec![beat("a", 7), beat("b", 2)], lease, at(6)).is_empty());
        assert_eq!(observed.gone(vec![beat("a", 7), beat("b", 2)], lease, at(11)), [beat("a", 7)]);
        // It came back: a new count begins.
        assert!(observed.gone(vec![beat("a", 8), beat("b", 3)], lease, at(12)).is_empty());
        assert!(observed.gone(vec![beat("a", 8), beat("b", 4)], lease, at(21)).is_empty());
    }
}
