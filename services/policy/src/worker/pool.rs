//! Workers that wait for work, and fresh ones for what nobody trusts yet.

mod hooks;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::ModuleText;
use super::limits::WorkerLimits;
use super::message::{Reply, Request};
use super::process::{Process, Trouble};
use runwarden_kit::tenant::TenantId;
use runwarden_rego::set::{Named, digest_of};
use runwarden_rego::text::Problem;
use runwarden_rego::{Advice, Verdict};

/// After so many requests a worker is replaced: what it leaked goes with it.
const MAX_ASKED: u32 = 5_000;
/// The processor time of a whole life of a worker.
const LIFETIME_CPU: Duration = Duration::from_secs(900);
/// Of so many sets it is remembered whether they may be evaluated elsewhere.
const MAX_VETTED: usize = 4096;
/// So many uploads are tried at once.
const CHECKS: usize = 2;
/// What is added to a limit for the worker to end itself, should the service be gone.
const GRACE: Duration = Duration::from_secs(2);

/// What came of trying a set: what there is to say about it, or why it cannot be used.
pub type Tried = std::result::Result<Advice, Vec<Problem>>;

/// As [`Tried`], and whether the set may be evaluated outside of a worker.
type TriedOut = std::result::Result<(Advice, bool), Vec<Problem>>;

/// How workers are run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program.
    pub command: PathBuf,
    /// How many wait for decisions.
    pub workers: usize,
    /// The address space of each.
    pub memory_bytes: u64,
    /// How long one decision may take.
    pub decision: Duration,
    /// How long compiling a set may take.
    pub compilation: Duration,
    /// How long a decision may wait for a worker.
    pub queue: Duration,
}

/// The workers of a service.
#[derive(Debug)]
pub struct Pool {
    settings: Settings,
    slots: Arc<Semaphore>,
    checks: Arc<Semaphore>,
    idle: Mutex<Vec<Process>>,
    shares: Mutex<HashMap<String, Weak<Semaphore>>>,
    /// Which sets may be evaluated outside of a worker, of those that were tried.
    vetted: Mutex<HashMap<String, bool>>,
}

impl Pool {
    /// A pool that starts its workers when they are needed.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(settings.workers.max(1))),
            checks: Arc::new(Semaphore::new(CHECKS)),
            idle: Mutex::default(),
            shares: Mutex::default(),
            vetted: Mutex::default(),
            settings,
        }
    }

    /// Starts a worker and keeps it, so that what is wrong with the installation shows at once.
    pub async fn warm_up(&self) -> Result<(), Trouble> {
        let process = self.fresh().await?;
        self.keep(process);
        Ok(())
    }

    /// What the set `key` says about `input`. `tenant` is on whose behalf: no tenant can hold all
    /// workers. Trouble is never a yes.
    pub async fn decide(
        &self,
        tenant: &TenantId,
        key: &str,
        modules: &[ModuleText],
        input: &str,
    ) -> Result<Verdict, Trouble> {
        let _share = self.queue(self.share(tenant)).await?;
        let _slot = self.queue(Arc::clone(&self.slots)).await?;
        let mut process = self.worker_for(key).await?;
        // A worker that is not put back is killed, even if the caller has gone meanwhile.
        let mut outcome = self.ask(&mut process, key, modules, input).await;
        if matches!(outcome, Err(Trouble::Died(_))) {
            // It may have died of what others had it do, or of a signal: a fresh one shows whether it was this.
            process = self.fresh().await?;
            outcome = self.ask(&mut process, key, modules, input).await;
        }
        if outcome.is_ok() && process.asked < MAX_ASKED {
            self.keep(process);
        }
        outcome
    }

    /// A worker, if possible one that has this set ready.
    async fn worker_for(&self, key: &str) -> Result<Process, Trouble> {
        match self.take(key) {
            Some(process) => Ok(process),
            None => self.fresh().await,
        }
    }

    async fn fresh(&self) -> Result<Process, Trouble> {
        Process::start(&self.settings.command, self.standing()).await
    }

    async fn ask(
        &self,
        process: &mut Process,
        key: &str,
        modules: &[ModuleText],
        input: &str,
    ) -> Result<Verdict, Trouble> {
        let decide = Request::Decide { key: key.to_owned(), input: input.to_owned() };
        if process.prepared.contains(key) {
            match process.ask(&decide, self.settings.decision).await? {
                Reply::Decided { outcome } => return Ok(outcome),
                Reply::Missing => {}
                Reply::Hello { .. }
                | Reply::Prepared
                | Reply::Problems { .. }
                | Reply::Ran { .. }
                | Reply::Checked { .. } => return Err(Trouble::OutOfTurn),
            }
        }
        let prepare = Request::Prepare { key: key.to_owned(), modules: modules.to_vec() };
        // The set was fit to be stored; a busy machine must not make it unfit to decide.
        match process.ask(&prepare, self.settings.compilation * 2).await? {
            Reply::Prepared => {}
            Reply::Problems { mut problems } => {
                let problem = problems.pop().unwrap_or_else(|| Problem::of_set("the modules do not compile"));
                return Ok(Verdict::Failed { problem });
            }
            Reply::Hello { .. }
            | Reply::Missing
            | Reply::Decided { .. }
            | Reply::Ran { .. }
            | Reply::Checked { .. } => return Err(Trouble::OutOfTurn),
        }
        process.prepared.insert(key.to_owned());
        match process.ask(&decide, self.settings.decision).await? {
            Reply::Decided { outcome } => Ok(outcome),
            Reply::Hello { .. }
            | Reply::Prepared
            | Reply::Problems { .. }
            | Reply::Missing
            | Reply::Ran { .. }
            | Reply::Checked { .. } => Err(Trouble::OutOfTurn),
        }
    }

    /// Tries a set that nobody has tried before in a worker of its own: compiles it and evaluates
    /// it over `input` once. A set that takes the worker with it has a problem like any other.
    pub async fn check(&self, modules: &[ModuleText], input: &str) -> Result<Tried, Trouble> {
        Ok(self.try_out(modules, input).await?.map(|(advice, _)| advice))
    }

    /// Whether a set may be evaluated outside of a worker. One that nobody has tried in this process is tried first, as
    /// by [`Self::check`]: it may have been stored by an earlier version.
    pub async fn vet(&self, modules: &[ModuleText], input: &str) -> Result<bool, Trouble> {
        if let Some(vetted) = self.vetted().get(&key_of(modules)) {
            return Ok(*vetted);
        }
        Ok(self.try_out(modules, input).await?.is_ok_and(|(_, vetted)| vetted))
    }

    fn vetted(&self) -> MutexGuard<'_, HashMap<String, bool>> {
        self.vetted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn try_out(&self, modules: &[ModuleText], input: &str) -> Result<TriedOut, Trouble> {
        let tried = self.run_once(modules, input).await?;
        let mut vetted = self.vetted();
        if vetted.len() >= MAX_VETTED {
            vetted.clear();
        }
        vetted.insert(key_of(modules), tried.as_ref().is_ok_and(|(_, vetted)| *vetted));
        drop(vetted);
        Ok(tried)
    }

    async fn run_once(&self, modules: &[ModuleText], input: &str) -> Result<TriedOut, Trouble> {
        let _slot = self.queue(Arc::clone(&self.checks)).await?;
        let settings = &self.settings;
        let limits = WorkerLimits {
            memory_bytes: settings.memory_bytes / 4 * 3,
            cpu: settings.compilation.saturating_add(GRACE),
            evaluation: settings.decision / 4,
            request: settings.compilation.saturating_add(GRACE),
        };
        let mut process = Process::start(&settings.command, limits).await?;
        let check = Request::Check { modules: modules.to_vec(), input: input.to_owned() };
        match process.ask(&check, settings.compilation).await {
            Ok(Reply::Checked { advice, vetted }) => Ok(Ok((advice, vetted))),
            Ok(Reply::Problems { problems }) if !problems.is_empty() => Ok(Err(problems)),
            Ok(_) => Err(Trouble::OutOfTurn),
            Err(Trouble::Died(_)) => {
                Ok(Err(vec![Problem::of_set("the modules take more memory or depth than a policy may")]))
            }
            Err(Trouble::TimedOut) => Ok(Err(vec![Problem::of_set(format!(
                "the modules take longer than {} to compile and to evaluate once",
                humantime::format_duration(settings.compilation)
            ))])),
            Err(trouble) => Err(trouble),
        }
    }

    fn standing(&self) -> WorkerLimits {
        let settings = &self.settings;
        WorkerLimits {
            memory_bytes: settings.memory_bytes,
            cpu: LIFETIME_CPU,
            evaluation: settings.decision / 2,
            request: settings.decision.max(settings.compilation).saturating_add(GRACE),
        }
    }

    async fn queue(&self, semaphore: Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Trouble> {
        match timeout(self.settings.queue, semaphore.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Trouble::Busy),
        }
    }

    /// All workers but one, for each tenant.
    fn share(&self, tenant: &TenantId) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(tenant.as_str()).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let permits = self.settings.workers.saturating_sub(1).max(1);
        let share = Arc::new(Semaphore::new(permits));
        shares.insert(tenant.to_string(), Arc::downgrade(&share));
        share
    }

    /// An idle worker that is alive, best one that knows the set.
    fn take(&self, key: &str) -> Option<Process> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain_mut(Process::is_alive);
        let place =
            idle.iter().rposition(|process| process.prepared.contains(key)).or_else(|| idle.len().checked_sub(1))?;
        Some(idle.swap_remove(place))
    }

    fn keep(&self, process: Process) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.settings.workers.max(1) {
            idle.push(process);
        }
    }
}

/// What names a set of modules, in whatever order.
fn key_of(modules: &[ModuleText]) -> String {
    let mut named: Vec<Named> = modules.iter().map(Named::of).collect();
    named.sort_by(|one, other| one.name.cmp(&other.name));
    digest_of(&named)
}
