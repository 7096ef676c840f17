//! One look at runs of one controller: what it tells of up to 200 at a time, and which of them something is to be done
//! about.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt as _;
use runwarden_awx::{Ask, AwxError, Client, RunRef, RunSummary};
use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::id;
use tracing::Instrument as _;

use super::Watcher;
use super::cost::Cost;
use super::followed::{Followed, Key};
use super::follower::{Closely, Follower, REPLACED, may_wait};
use super::round::{Looked, Unasked};
use crate::job::Job;

/// How many runs a controller is asked about in one request.
pub(super) const BATCH: usize = 200;
/// How many runs of a controller are worked on at once, and so how many requests for output it gets at once.
const AT_ONCE: usize = 4;
/// The same, to divide the time of one among them.
const LANES: u32 = 4;

/// Why a run is lost: its controller was removed.
pub(super) const REMOVED: &str = "Its controller was removed from Runwarden while it ran. What it did is not known.";
/// Why a run is lost: its controller is another installation now, where its id would belong to a different run.
pub(super) const MOVED: &str = "Its controller is another installation now: it was set up anew, or its address was changed, \
                                while it ran. What it did is not known.";

/// What is to be done about a run.
enum ToDo {
    /// It is not there, or no longer the one under its id; why.
    Miss(&'static str),
    /// It is asked to stop, although nothing could be read of it.
    StopUnseen,
    /// Its reported state is recorded.
    Follow { row: Option<RunSummary>, closely: Closely },
}

impl Watcher {
    /// One look at runs of one controller.
    pub(super) async fn look(&self, key: &Key, runs: Vec<(String, Followed)>, cost: &Cost) -> Looked {
        let context = RequestContext { request_id: id::new("req"), ..RequestContext::default() };
        let span = tracing::debug_span!("sweep", tenant = %key.0, controller = key.1, runs = runs.len());
        context::scope(context, async {
            let asking = cost.asking();
            let controller = match self.shared.templates.controller(&key.0, &key.1).await {
                Ok(Some(controller)) => controller,
                Ok(None) => return Looked::Done { changed: self.let_go(key, runs, REMOVED).await },
                Err(error) => {
                    error.log();
                    return Looked::NotAsked(Unasked::Mapping);
                }
            };
            let client = match self.shared.controllers.client(&controller, "follow runs").await {
                Ok(client) => client,
                Err(error) => {
                    error.log();
                    return Looked::NotAsked(Unasked::Credential);
                }
            };
            drop(asking);
            match self.sweep(key, &client, runs, cost).await {
                Ok(changed) => Looked::Done { changed },
                Err(error) => Looked::Failed(error),
            }
        })
        .instrument(span)
        .await
    }

    /// Asks a controller about runs, batch by batch. True if anything changed.
    async fn sweep(
        &self,
        key: &Key,
        client: &Arc<Client>,
        runs: Vec<(String, Followed)>,
        cost: &Cost,
    ) -> std::result::Result<bool, AwxError> {
        // A run identified by its creation time is compared with what the controller shows, whichever installation it
        // is.
        let (mut here, unsure): (Vec<_>, Vec<_>) =
            runs.into_iter().partition(|(_, followed)| followed.run.created.is_some());
        let mut changed = false;
        if !unsure.is_empty() {
            let asking = cost.asking();
            let installation = self.note(key, client, client.installation(Ask::Once).await)?;
            drop(asking);
            let (also, elsewhere): (Vec<_>, Vec<_>) =
                unsure.into_iter().partition(|(_, followed)| followed.run.installation.is_same(&installation));
            here.extend(also);
            changed |= self.let_go(key, elsewhere, MOVED).await;
        }
        let started = Instant::now();
        for batch in here.chunks(BATCH) {
            changed |= self.batch(key, client, batch, cost).await?;
        }
        metrics::histogram!("runwarden_sweep_seconds").record(started.elapsed().as_secs_f64());
        Ok(changed)
    }

    /// Takes note of what a controller's answer says of it as a whole.
    fn note<T>(
        &self,
        key: &Key,
        client: &Arc<Client>,
        answer: std::result::Result<T, AwxError>,
    ) -> std::result::Result<T, AwxError> {
        if self.shared.breaker.note(key, &answer) && answer.as_ref().is_err_and(AwxError::is_credential) {
            self.shared.controllers.forget(client);
        }
        answer
    }

    /// Gives up, after a while, on runs that no controller can be asked about.
    async fn let_go(&self, key: &Key, runs: Vec<(String, Followed)>, why: &'static str) -> bool {
        let follower = self.follower();
        let mut changed = false;
        for (job, _) in runs {
            let gone = async {
                let Some(job) = self.shared.store.get(&key.0, &job).await? else { return Ok(false) };
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
        cost: &Cost,
    ) -> std::result::Result<bool, AwxError> {
        let asking = cost.asking();
        let asked: Vec<RunRef> = runs.iter().map(|(_, followed)| followed.run.to_ref()).collect();
        let found = self.note(key, client, client.runs(&asked).await)?;
        if let Some(run) = found.unreadable.first() {
            let runs = found.unreadable.len();
            tracing::warn!(tenant = %key.0, controller = key.1, run, runs, "the controller cannot tell of some runs");
        }
        let unreadable: HashSet<i64> = found.unreadable.into_iter().collect();
        let rows: HashMap<i64, RunSummary> = found.rows.into_iter().map(|row| (row.run.id, row)).collect();
        let now = self.shared.clock.now();
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
        // A workflow's row does not say that it waits for an approval.
        let workflows = runs.iter().filter(|(_, followed)| rows.get(&followed.run.id).is_some_and(may_wait));
        let workflows = workflows.map(|(job, _)| job.as_str()).collect();
        let to_look_into: HashSet<&str> = self.memory.steps.due(workflows, Instant::now()).into_iter().collect();
        let mut work = Vec::new();
        for (job, followed) in runs {
            let row = rows.get(&followed.run.id);
            let closely =
                Closely { output: self.shared.live.is_awaited(job), steps: to_look_into.contains(job.as_str()) };
            let looks = closely.output || closely.steps;
            // What could not be read of it says nothing about it; it can be asked to stop all the same. The same goes
            // for what is not listed until it is asked for by itself.
            let unseen = row.is_none() && !to_ask.contains(job.as_str());
            let moved = here.as_ref().is_some_and(|here| !here.is_same(&followed.run.installation));
            let something =
                if unseen { followed.is_to_stop(now) } else { looks || followed.calls_for_something(row, now) };
            let to_do = match row {
                // Nothing of a stranger's is taken for the job's, and nothing is done to it.
                Some(row) if !followed.is_shown_by(row) => ToDo::Miss(if moved { MOVED } else { REPLACED }),
                None if moved && followed.is_astray(&rows, &unreadable) => ToDo::Miss(MOVED),
                _ if !something => continue,
                _ if unseen => ToDo::StopUnseen,
                row => ToDo::Follow { row: row.cloned(), closely },
            };
            work.push((job.clone(), to_do));
        }
        drop(asking);
        let follower = self.follower();
        let mut changed = false;
        let mut doing = futures::stream::iter(work)
            .map(|(job, to_do)| {
                let (client, follower) = (client.clone(), &follower);
                async move {
                    let Some(job) = self.shared.store.get(&key.0, &job).await? else { return Ok(false) };
                    let (context, begun) = (context_of(&job), Instant::now());
                    let did = match to_do {
                        ToDo::Miss(why) => context::scope(context, follower.missing(&job, why)).await,
                        ToDo::StopUnseen => context::scope(context, follower.stop_unseen(&client, &job)).await,
                        ToDo::Follow { row, closely } => {
                            context::scope(context, follower.follow(&client, job, row, closely)).await
                        }
                    };
                    if !matches!(did, Ok(true)) {
                        cost.add(begun.elapsed() / LANES);
                    }
                    did
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

    pub(super) fn follower(&self) -> Follower {
        Follower { shared: self.shared.clone(), output_limit: self.output_limit, missing_limit: self.missing_limit }
    }
}

/// A job's own request and trace, for what is done about it.
fn context_of(job: &Job) -> RequestContext {
    RequestContext { request_id: job.request_id.clone(), trace_id: job.trace_id.clone(), ..RequestContext::default() }
}
