//! Following runs: all of a controller's at once, as often as something happens there. What is learned is durable
//! before anybody is told.
//!
//! Any number of executors may run: one of them sweeps a controller, and each looks more often at the few runs that
//! somebody waits for at it or wants stopped. Whatever two of them learn at once, the store takes once.

mod follow;
mod followed;
mod output;
mod pace;
mod silence;
mod unlisted;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use runwarden_kit::audit::Bell;
use runwarden_kit::clock::Clock;
use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::{Result, id};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::awx::{Ask, AwxError, Client, RunRef, RunSummary};
use crate::breaker::Breaker;
use crate::controllers::Controllers;
use crate::failpoint::Failpoint;
use crate::instance::Instance;
use crate::job::Job;
use crate::live::Live;
use crate::ports::Templates;
use crate::store::JobStore;
use crate::work::WorkBell;
use follow::REPLACED;
use followed::{Followed, Following, Key};
use pace::Pace;
use silence::Silences;
use unlisted::Asked;

/// How often to see what other executors changed.
const LOOK: Duration = Duration::from_secs(1);
/// How many runs a controller is asked about in one request.
const BATCH: usize = 200;
/// How many jobs are read from the store at once.
const PAGE: usize = 500;
/// How many runs of a controller are worked on at once, and so how many requests for output it gets at once.
const AT_ONCE: usize = 4;

/// Why a run is lost whose controller was removed.
const REMOVED: &str = "Its controller was removed from Runwarden while it ran. What it did is not known.";
/// Why a run is lost whose controller is another installation now: there, its id would be that of somebody else's run.
const MOVED: &str = "Its controller is another installation now: it was set up anew, or its address was changed, while it \
                     ran. What it did is not known.";

/// Follows runs to their end.
pub struct Watcher {
    /// Where jobs live.
    pub store: Arc<dyn JobStore>,
    /// Where controllers are.
    pub templates: Arc<dyn Templates>,
    /// Clients for them.
    pub controllers: Arc<Controllers>,
    /// Which executor this is.
    pub instance: Arc<Instance>,
    /// Which controllers are left alone.
    pub breaker: Breaker,
    /// Where a test has the process die.
    pub failpoint: Failpoint,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Who waits for jobs.
    pub live: Live,
    /// Rings when a job was bound or is to be stopped.
    pub watch: WorkBell,
    /// Rings when a job ended, so that another may begin.
    pub work: WorkBell,
    /// Rings when audit entries wait.
    pub bell: Bell,
    /// How many bytes of a run's output are kept.
    pub output_limit: u64,
    /// How long a run may be missing on its controller before it is lost.
    pub missing_limit: Duration,
    /// What it keeps in mind from one look to the next.
    pub memory: Memory,
}

/// What looks at the same runs keep in mind.
#[derive(Default)]
pub struct Memory {
    asked: Asked,
    silences: Silences,
}

/// Which runs of a controller are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Look {
    /// All of them.
    All,
    /// Those that somebody waits for or wants stopped.
    Some,
}

/// What a look at runs of one controller found.
struct Seen {
    key: Key,
    look: Look,
    took: Duration,
    /// Whether anything changed; none if it could not be asked, an error if it did not answer.
    changed: std::result::Result<Option<bool>, AwxError>,
}

/// What is to be done about a run.
enum ToDo {
    /// It is not there, or no longer the one under its id; why.
    Miss(&'static str),
    /// It is asked to stop, although nothing could be read of it.
    StopUnseen,
    /// What is told of it is taken over.
    Follow { row: Option<RunSummary>, awaited: bool },
}

/// What the loop knows between two looks.
#[derive(Default)]
struct Round {
    following: Following,
    version: i64,
    paces: HashMap<(Key, Look), Pace>,
    under_way: HashSet<(Key, Look)>,
    looks: JoinSet<Seen>,
}

impl Watcher {
    /// Looks until shutdown. Controllers are looked at side by side: one that hangs holds up nobody else's jobs.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let mut round = Round::default();
        let mut loaded = false;
        loop {
            let read = if loaded { self.catch_up(&mut round).await } else { self.load(&mut round).await };
            let store_failed = read.is_err();
            match read {
                Ok(()) => loaded = true,
                Err(error) => error.log(),
            }
            self.begin_looks(&mut round).await;
            let wait = if store_failed { LOOK } else { until_next(&round) };
            tokio::select! {
                Some(done) = round.looks.join_next(), if !round.looks.is_empty() => match done {
                    Ok(seen) => round.saw(seen),
                    // One that broke down says so in the log; its runs are looked at again.
                    Err(_) => round.broke_down(),
                },
                () = self.watch.heard_within(wait) => {}
                () = shutdown.begun() => break,
            }
        }
        if let Err(error) = self.store.unwatch(self.instance.id()).await {
            error.log();
        }
    }

    /// Reads all that runs.
    async fn load(&self, round: &mut Round) -> Result<()> {
        let version = self.store.version().await?;
        let mut after = String::new();
        loop {
            let page = self.store.running(&after, PAGE).await?;
            for job in &page {
                round.following.put(job);
            }
            match page.last() {
                Some(last) if page.len() == PAGE => last.id.clone_into(&mut after),
                _ => break,
            }
        }
        round.version = version;
        if round.following.len() > 0 {
            tracing::info!(runs = round.following.len(), "going on to follow runs");
        }
        Ok(())
    }

    /// Reads what changed since the last time.
    async fn catch_up(&self, round: &mut Round) -> Result<()> {
        loop {
            let changed = self.store.changed(round.version, PAGE).await?;
            for job in &changed {
                round.following.note(job);
                round.version = job.version;
            }
            if changed.len() < PAGE {
                return Ok(());
            }
        }
    }

    /// Begins to look at what is due.
    async fn begin_looks(self: &Arc<Self>, round: &mut Round) {
        let now = Instant::now();
        let keys: HashSet<Key> = round.following.keys().into_iter().collect();
        let to_stop: BTreeSet<String> = round.following.to_stop(self.clock.now(), now).into_iter().collect();
        let mut wanted: BTreeSet<String> = self.live.awaited().into_iter().collect();
        wanted.extend(to_stop.iter().cloned());
        let some = round.following.some(wanted.iter());
        // What nobody wants any more is no reason to wake up.
        round.paces.retain(|(key, look), _| keys.contains(key) && (*look == Look::All || some.contains_key(key)));
        for (key, mut runs) in some {
            // Those to stop come first, should there be more than one request asks about.
            runs.sort_by_key(|(job, _)| !to_stop.contains(job));
            runs.truncate(BATCH);
            let stopping: Vec<String> =
                runs.iter().map(|(job, _)| job).filter(|job| to_stop.contains(*job)).cloned().collect();
            if self.begin(round, key, Look::Some, runs, !stopping.is_empty(), now) {
                round.following.stopping(stopping.iter(), now);
            }
        }
        for key in keys {
            if !round.is_due(&key, Look::All, now) {
                continue;
            }
            if let Some(rest) = self.breaker.rest(&key, now) {
                round.pace(&key, Look::All).again_in(rest);
                continue;
            }
            match self.store.watch(&key.0, &key.1, self.instance.id()).await {
                Ok(true) => {
                    let runs = round.following.all(&key);
                    self.begin(round, key, Look::All, runs, false, now);
                }
                Ok(false) => round.pace(&key, Look::All).again_in(LOOK),
                Err(error) => {
                    error.log();
                    round.pace(&key, Look::All).failed();
                }
            }
        }
    }

    /// Begins a look, if one is due. False if not.
    fn begin(
        self: &Arc<Self>,
        round: &mut Round,
        key: Key,
        look: Look,
        runs: Vec<(String, Followed)>,
        urgent: bool,
        now: Instant,
    ) -> bool {
        let due = round.is_due(&key, look, now) || (urgent && !round.under_way.contains(&(key.clone(), look)));
        if !due {
            return false;
        }
        if let Some(rest) = self.breaker.rest(&key, now) {
            round.pace(&key, look).again_in(rest);
            return false;
        }
        self.breaker.trying(&key, now);
        round.under_way.insert((key.clone(), look));
        let watcher = self.clone();
        round.looks.spawn(async move {
            let begun = Instant::now();
            let changed = watcher.look(&key, runs).await;
            if look == Look::All
                && let Err(error) =
                    watcher.memory.silences.note(&*watcher.store, &key, &changed, watcher.clock.now()).await
            {
                error.log();
            }
            Seen { key, look, took: begun.elapsed(), changed }
        });
        true
    }

    /// One look at runs of one controller. `None` if it could not be asked.
    async fn look(&self, key: &Key, runs: Vec<(String, Followed)>) -> std::result::Result<Option<bool>, AwxError> {
        let context = RequestContext { request_id: id::new("req"), ..RequestContext::default() };
        let span = tracing::debug_span!("sweep", tenant = key.0, controller = key.1, runs = runs.len());
        context::scope(context, async {
            let client = match self.client(key).await {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(Some(self.let_go(key, runs, REMOVED).await)),
                Err(error) => {
                    error.log();
                    return Ok(None);
                }
            };
            // What is known by when it was made is told from strangers by what the controller shows, whichever it is.
            let (mut here, unsure): (Vec<_>, Vec<_>) =
                runs.into_iter().partition(|(_, followed)| followed.run.created.is_some());
            let mut changed = false;
            if !unsure.is_empty() {
                let installation = self.note(key, &client, client.installation(Ask::Once).await)?;
                let (also, elsewhere): (Vec<_>, Vec<_>) =
                    unsure.into_iter().partition(|(_, followed)| followed.run.installation.is_same(&installation));
                here.extend(also);
                changed |= self.let_go(key, elsewhere, MOVED).await;
            }
            let started = Instant::now();
            for batch in here.chunks(BATCH) {
                changed |= self.batch(key, &client, batch).await?;
            }
            metrics::histogram!("runwarden_sweep_seconds").record(started.elapsed().as_secs_f64());
            Ok(Some(changed))
        })
        .instrument(span)
        .await
    }

    /// A client for the controller.
    async fn client(&self, key: &Key) -> Result<Option<Arc<Client>>> {
        let Some(controller) = self.templates.controller(&key.0, &key.1).await? else { return Ok(None) };
        self.controllers.client(&controller, "follow runs").await.map(Some)
    }

    /// Takes note of what a controller's answer says of it as a whole.
    fn note<T>(
        &self,
        key: &Key,
        client: &Arc<Client>,
        answer: std::result::Result<T, AwxError>,
    ) -> std::result::Result<T, AwxError> {
        if self.breaker.note(key, &answer) && answer.as_ref().is_err_and(AwxError::is_credential) {
            self.controllers.forget(client);
        }
        answer
    }

    /// Gives up, after a while, on runs that nobody can be asked about.
    async fn let_go(&self, key: &Key, runs: Vec<(String, Followed)>, why: &'static str) -> bool {
        let follower = self.follower();
        let mut changed = false;
        for (job, _) in runs {
            let gone = async {
                let Some(job) = self.store.get(&key.0, &job).await? else { return Ok(false) };
                context::scope(context_of(&job), follower.missing(&job, why)).await
            };
            match gone.await {
                Ok(ended) => changed |= ended,
                Err(error) => error.log(),
            }
        }
        changed
    }

    /// Asks about up to 200 runs, and works on those that something is to be done about.
    async fn batch(
        &self,
        key: &Key,
        client: &Arc<Client>,
        runs: &[(String, Followed)],
    ) -> std::result::Result<bool, AwxError> {
        let asked: Vec<RunRef> = runs.iter().map(|(_, followed)| followed.run.to_ref()).collect();
        let found = self.note(key, client, client.runs(&asked).await)?;
        if let Some(run) = found.unreadable.first() {
            let runs = found.unreadable.len();
            tracing::warn!(tenant = key.0, controller = key.1, run, runs, "the controller cannot tell of some runs");
        }
        let unreadable: HashSet<i64> = found.unreadable.into_iter().collect();
        let rows: HashMap<i64, RunSummary> = found.rows.into_iter().map(|row| (row.run.id, row)).collect();
        let now = self.clock.now();
        // Something disagrees: perhaps the controller is not the one it was.
        let here = match runs.iter().any(|(_, followed)| followed.is_astray(&rows, &unreadable)) {
            true => self.note(key, client, client.installation(Ask::Afresh).await).ok(),
            false => None,
        };
        let missing = runs
            .iter()
            .filter(|(_, followed)| !rows.contains_key(&followed.run.id) && followed.is_astray(&rows, &unreadable));
        let missing = missing.map(|(job, _)| job.as_str()).collect();
        let to_ask: HashSet<&str> = self.memory.asked.due(missing, Instant::now()).into_iter().collect();
        let mut work = Vec::new();
        for (job, followed) in runs {
            let row = rows.get(&followed.run.id);
            let awaited = self.live.is_awaited(job);
            // What could not be read of it says nothing about it; it can be asked to stop all the same. The same goes
            // for what is not listed until it is asked for by itself.
            let unseen = row.is_none() && !to_ask.contains(job.as_str());
            let moved = here.as_ref().is_some_and(|here| !here.is_same(&followed.run.installation));
            let something =
                if unseen { followed.is_to_stop(now) } else { awaited || followed.calls_for_something(row, now) };
            let to_do = match row {
                // Nothing of a stranger's is taken for the job's, and nothing is done to it.
                Some(row) if !followed.is_shown_by(row) => ToDo::Miss(if moved { MOVED } else { REPLACED }),
                None if moved && followed.is_astray(&rows, &unreadable) => ToDo::Miss(MOVED),
                _ if !something => continue,
                _ if unseen => ToDo::StopUnseen,
                row => ToDo::Follow { row: row.cloned(), awaited },
            };
            work.push((job.clone(), to_do));
        }
        let follower = self.follower();
        let mut changed = false;
        let mut doing = futures::stream::iter(work)
            .map(|(job, to_do)| {
                let (client, follower) = (client.clone(), &follower);
                async move {
                    let Some(job) = self.store.get(&key.0, &job).await? else { return Ok(false) };
                    let context = context_of(&job);
                    match to_do {
                        ToDo::Miss(why) => context::scope(context, follower.missing(&job, why)).await,
                        ToDo::StopUnseen => context::scope(context, follower.stop_unseen(&client, &job)).await,
                        ToDo::Follow { row, awaited } => {
                            // What a run that is over printed is always read; that of one that goes on if somebody
                            // watches it.
                            let read_output = awaited || row.as_ref().is_some_and(|row| row.ending().is_some());
                            context::scope(context, follower.follow(&client, job, row, read_output)).await
                        }
                    }
                }
            })
            .buffer_unordered(AT_ONCE);
        while let Some(done) = doing.next().await {
            match done {
                Ok(did) => changed |= did,
                Err(error) => runwarden_kit::Error::log(&error),
            }
        }
        Ok(changed)
    }

    fn follower(&self) -> follow::Follower {
        follow::Follower {
            store: self.store.clone(),
            clock: self.clock.clone(),
            live: self.live.clone(),
            work: self.work.clone(),
            bell: self.bell.clone(),
            output_limit: self.output_limit,
            missing_limit: self.missing_limit,
            failpoint: self.failpoint.clone(),
        }
    }
}

/// A job's own request and trace, for what is done about it.
fn context_of(job: &Job) -> RequestContext {
    RequestContext { request_id: job.request_id.clone(), trace_id: job.trace_id.clone(), ..RequestContext::default() }
}

impl Round {
    fn pace(&mut self, key: &Key, look: Look) -> &mut Pace {
        self.paces.entry((key.clone(), look)).or_default()
    }

    fn is_due(&mut self, key: &Key, look: Look, now: Instant) -> bool {
        !self.under_way.contains(&(key.clone(), look)) && self.pace(key, look).next <= now
    }

    fn saw(&mut self, seen: Seen) {
        self.under_way.remove(&(seen.key.clone(), seen.look));
        let pace = self.pace(&seen.key, seen.look);
        match (seen.look, seen.changed) {
            (Look::Some, Ok(Some(_))) => pace.soon(),
            (Look::All, Ok(Some(changed))) => pace.after(changed, seen.took),
            // And where the controller is to blame, the breaker says how much later.
            (Look::Some | Look::All, Ok(None) | Err(_)) => pace.failed(),
        }
    }

    /// One of the looks broke down, and it is not told which.
    fn broke_down(&mut self) {
        for which in self.under_way.drain() {
            self.paces.entry(which).or_default().failed();
        }
    }
}

/// How long nothing is due.
fn until_next(round: &Round) -> Duration {
    let now = Instant::now();
    let due = round
        .paces
        .iter()
        .filter(|(which, _)| !round.under_way.contains(*which))
        .map(|(_, pace)| pace.next.saturating_duration_since(now))
        .min();
    due.unwrap_or(LOOK).clamp(Duration::from_millis(50), LOOK)
}

#[cfg(test)]
mod tests;
