//! How much of controllers' answers this process holds at once. What a controller sends is foreign: many that send as
//! much as they can must not add up to more than there is, and those of one tenant must not take what others need.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::AwxError;

/// The size up to which answers are not counted, bytes: ordinary ones never wait.
pub(super) const FREE: usize = 64 * 1024;
/// What is counted in, bytes.
const UNIT: usize = 1024;
/// One tenant gets this part of all.
const SHARES: usize = 8;
/// How long a large answer waits for room. Who sends has to be done within the time of a request, so room comes free.
const PATIENCE: Duration = Duration::from_secs(20);

/// One tenant's way to the memory that all controllers' answers share.
#[derive(Clone)]
pub struct Memory {
    pool: Arc<Pool>,
    own: Arc<Semaphore>,
}

struct Pool {
    all: Arc<Semaphore>,
    /// Units of one tenant.
    share: u32,
    tenants: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// Memory that is taken, until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Held(#[expect(dead_code, reason = "it counts as long as it is there")] Vec<OwnedSemaphorePermit>);

impl Memory {
    /// So many bytes for all tenants together.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let share = u32::try_from((bytes / SHARES).div_ceil(UNIT)).unwrap_or(u32::MAX);
        let all = Arc::new(Semaphore::new((bytes / UNIT).min(Semaphore::MAX_PERMITS)));
        let pool = Arc::new(Pool { all, share, tenants: Mutex::default() });
        let own = pool.of("");
        Self { pool, own }
    }

    /// The same memory, for a tenant.
    #[must_use]
    pub fn of(&self, tenant: &str) -> Self {
        Self { own: self.pool.of(tenant), pool: self.pool.clone() }
    }

    /// The most that one tenant gets, bytes.
    #[must_use]
    pub fn share(&self) -> usize {
        usize::try_from(self.pool.share).unwrap_or(usize::MAX).saturating_mul(UNIT)
    }

    /// Takes so many bytes, waiting for a while until there is room.
    pub(super) async fn hold(&self, bytes: usize) -> Result<Held, AwxError> {
        let units = self.units(bytes);
        let taking = async {
            let own = self.own.clone().acquire_many_owned(units).await.ok()?;
            let all = self.pool.all.clone().acquire_many_owned(units).await.ok()?;
            Some(Held(vec![own, all]))
        };
        tokio::time::timeout(PATIENCE, taking).await.ok().flatten().ok_or(AwxError::Busy)
    }

    /// Takes so many bytes if there is room now. Who holds some already must not wait for more: others may do the same.
    fn try_hold(&self, bytes: usize) -> Result<Held, AwxError> {
        let units = self.units(bytes);
        let own = self.own.clone().try_acquire_many_owned(units).map_err(|_| AwxError::Busy)?;
        let all = self.pool.all.clone().try_acquire_many_owned(units).map_err(|_| AwxError::Busy)?;
        Ok(Held(vec![own, all]))
    }

    fn units(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.pool.share)
    }
}

impl Pool {
    fn of(&self, tenant: &str) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = tenants.get(tenant).and_then(Weak::upgrade) {
            return own;
        }
        tenants.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(usize::try_from(self.share).unwrap_or(Semaphore::MAX_PERMITS)));
        tenants.insert(tenant.to_owned(), Arc::downgrade(&own));
        own
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("share", &self.share()).finish_non_exhaustive()
    }
}

/// What one operation keeps of the answers it reads.
#[derive(Debug)]
pub(super) struct Kept {
    memory: Memory,
    limit: usize,
    bytes: usize,
    covered: usize,
    held: Vec<Held>,
}

impl Kept {
    /// Nothing yet, and never more than `limit` bytes.
    pub(super) fn new(memory: Memory, limit: usize) -> Self {
        Self { memory, limit, bytes: 0, covered: FREE, held: Vec::new() }
    }

    /// How many bytes may still be added.
    pub(super) fn left(&self) -> usize {
        self.limit - self.bytes
    }

    /// Adds so many bytes.
    pub(super) fn add(&mut self, bytes: usize) -> Result<(), AwxError> {
        let now = self.bytes.saturating_add(bytes);
        if now > self.limit {
            return Err(AwxError::TooLarge { limit: self.limit });
        }
        if now > self.covered {
            // In steps that double: what is kept grows by many small pieces.
            let next = now.next_power_of_two();
            self.held.push(self.memory.try_hold(next - self.covered)?);
            self.covered = next;
        }
        self.bytes = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_tenant_takes_its_share_and_no_more() {
        let memory = Memory::new(8 << 20);
        let (acme, other) = (memory.of("acme"), memory.of("other"));
        assert_eq!(acme.share(), 1 << 20);
        let held = acme.hold(1 << 20).await.unwrap();
        assert_eq!(memory.of("acme").try_hold(1).unwrap_err(), AwxError::Busy, "whoever asks for it");
        let others = other.hold(1 << 20).await.unwrap();
        drop(held);
        let _again = acme.hold(1 << 20).await.unwrap();
        drop(others);
    }

    #[tokio::test]
    async fn all_tenants_together_take_what_there_is() {
        let memory = Memory::new(8 << 20);
        let tenants: Vec<Memory> = (0..9).map(|n| memory.of(&n.to_string())).collect();
        let mut held = Vec::new();
        for tenant in &tenants[..8] {
            held.push(tenant.hold(1 << 20).await.unwrap());
        }
        assert_eq!(tenants[8].try_hold(1).unwrap_err(), AwxError::Busy);
        let waiting = tokio::spawn({
            let last = tenants[8].clone();
            async move { last.hold(1 << 20).await.is_ok() }
        });
        held.pop();
        assert!(waiting.await.unwrap(), "what comes free goes to who waits");
    }

    #[tokio::test]
    async fn what_is_kept_is_held_and_has_a_limit() {
        let memory = Memory::new(8 << 20);
        let mut kept = Kept::new(memory.clone(), 256 << 10);
        kept.add(FREE).unwrap();
        let _all = memory.try_hold(1 << 20).expect("ordinary answers are not counted");
        assert_eq!(kept.add(1), Err(AwxError::Busy));
        drop(_all);
        kept.add(1).unwrap();
        assert_eq!(kept.left(), (256 << 10) - FREE - 1);
        assert_eq!(kept.add(256 << 10), Err(AwxError::TooLarge { limit: 256 << 10 }));
        memory.try_hold(1 << 20).unwrap_err();
        drop(kept);
        memory.try_hold(1 << 20).unwrap();
    }

    #[test]
    fn a_tenant_that_is_gone_is_forgotten() {
        let memory = Memory::new(8 << 20);
        for n in 0..1000 {
            let _client = memory.of(&n.to_string());
        }
        assert!(memory.pool.tenants.lock().unwrap().len() < 3);
    }
}
