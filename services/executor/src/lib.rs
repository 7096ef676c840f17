//! The executor: accepts jobs, launches each exactly once, follows its run, keeps what it printed.
//!
//! The code is laid out by what happens to a job: [`accept`] → [`wait`] → [`launch`] → [`follow`], with what a job is in
//! [`job`], where it lives in [`store`], what callers may do with it in [`access`], and the contracts in [`rpc`]. Each
//! room says what it may use of the others, and the test in `rooms.rs` holds it to that.

pub mod accept;
pub mod access;
pub mod breaker;
mod changes;
mod config;
pub mod controllers;
mod decides;
pub mod failpoint;
pub mod follow;
pub mod hints;
pub mod instance;
pub mod job;
mod known_templates;
pub mod launch;
pub mod live;
pub mod ports;
pub mod records;
#[cfg(test)]
mod rooms;
mod rpc;
pub mod shared;
pub mod store;
#[cfg(test)]
mod test_doubles;
pub mod wait;
pub mod work;

use std::sync::Arc;
use std::time::Duration;

use runwarden_engines::Engines;
use runwarden_kit::ErrorReason;
use runwarden_kit::mesh::Service;
use runwarden_kit::seats::CallerSeats;
use runwarden_kit::service::{Parts, ServiceKit};
use runwarden_kit::watched;
use runwarden_rego::local::Local;

pub use config::Config;
pub use store::Stores;

use accept::parameters::Schemas;
use accept::repeats::InProgress;
use accept::submit::Submitter;
use access::{JobAccess, JobFeed};
use breaker::Breaker;
use controllers::Controllers;
use decides::Decides;
use follow::Watcher;
use hints::Hints;
use instance::Instance;
use known_templates::KnownTemplates;
use launch::authority::{Authority, Shown};
use launch::first_seen::FirstSeen;
use launch::launcher::Launcher;
use launch::looks::Looks;
use launch::resolver::Resolver;
use launch::strays::Strays;
use live::Live;
use ports::{CredentialSource, Policies, Seals, Standings};
use rpc::controller_access::ControllerAccessRpc;
use rpc::credential::MeshCredentials;
use rpc::feed::JobFeedRpc;
use rpc::hint::HintRpc;
use rpc::jobs::JobRpc;
use rpc::policies::MeshPolicies;
use rpc::policy_sets::WatchedPolicySets;
use rpc::seals::MeshSeals;
use rpc::standings::MeshStandings;
use rpc::templates::MeshTemplates;
use shared::Shared;
use store::JobStore;
use wait::deadlines::Deadlines;
use work::WorkBell;

/// How long an idempotency key is remembered.
const KEYS_KEPT: Duration = Duration::from_secs(24 * 3600);

/// Opens the store, resumes everything that was under way, and builds the service.
///
/// # Errors
/// When the store cannot be opened or another service has no address.
pub async fn build(config: Config, kit: &ServiceKit) -> anyhow::Result<Parts> {
    config::refuse_renamed(|name| std::env::var_os(name).is_some())?;
    let instance = Arc::new(Instance::take(&kit.data_dir)?);
    let (engines, file) = (Engines::of(kit)?, config.jobs_file.as_deref());
    let Stores { jobs: store, outbox } = Stores::open_failing(&engines, file, config.failpoint.clone()).await?;
    let held = store.resume(instance.id()).await?;
    if held > 0 {
        tracing::info!(jobs = held, "resuming the jobs this executor held when it ended");
    }
    let outbox = kit.outbox(outbox);
    let project = kit.peers.channel(Service::Project)?;
    let templates = Arc::new(KnownTemplates::new(Arc::new(MeshTemplates::new(project.clone()))));
    kit.tasks.spawn(
        "executor: changes of templates",
        watched::follow(project, templates.followers(), kit.shutdown().clone()),
    );
    let to_policy = kit.peers.channel(Service::Policy)?;
    let (sets, kept) = WatchedPolicySets::new(to_policy.clone());
    kit.tasks
        .spawn("executor: changes of policies", watched::follow(to_policy.clone(), vec![kept], kit.shutdown().clone()));
    let policies: Arc<dyn Policies> = Arc::new(Decides {
        local: Local::new(kit.clock.clone()),
        sets: Arc::new(sets),
        elsewhere: Arc::new(MeshPolicies::new(to_policy)),
    });
    let standings: Arc<dyn Standings> = Arc::new(MeshStandings::new(kit.peers.channel(Service::Auth)?));
    let shown = Arc::new(Shown::default());
    let authority = Arc::new(Authority { standings, policies: policies.clone(), shown: shown.clone() });
    let seals: Arc<dyn Seals> = Arc::new(MeshSeals::new(kit.peers.channel(Service::Secret)?));
    let credentials: Arc<dyn CredentialSource> = Arc::new(MeshCredentials::new(kit.peers.channel(Service::Secret)?));
    // One for all that talk to controllers: they share its memory.
    let limits = config.limits();
    let controllers = Arc::new(Controllers::new(credentials.clone(), limits.clone()));
    let shared = Shared {
        store: store.clone(),
        templates,
        controllers,
        breaker: Breaker::default(),
        known: Arc::default(),
        failpoint: config.failpoint.clone(),
        clock: kit.clock.clone(),
        live: Live::default(),
        work: WorkBell::default(),
        watch: WorkBell::default(),
        bell: outbox.bell().clone(),
        public_url: config.executor_public_url.trim_end_matches('/').into(),
    };

    let launcher = Arc::new(Launcher {
        shared: shared.clone(),
        seals: seals.clone(),
        authority,
        instance: instance.clone(),
        patience: config.patience(),
        seen: FirstSeen::default(),
        looks: Looks::default(),
    });
    kit.tasks.spawn("executor: launcher", launcher.run(config.launches_at_once.max(1), kit.shutdown().clone()));
    let hints = Hints::new(shared.watch.clone());
    let watcher = Arc::new(Watcher {
        shared: shared.clone(),
        instance: instance.clone(),
        output_limit: config.output_limit,
        missing_limit: config.run_missing_time,
        poll: config.poll(),
        hints: hints.clone(),
        memory: follow::Memory::default(),
    });
    kit.tasks.spawn("executor: watcher", watcher.run(kit.shutdown().clone()));
    kit.tasks.spawn("executor: housekeeping", keep_house(store.clone(), kit.clone()));
    let alive = instance::keep_alive(store, instance, config.lease, shared.work.clone(), kit.shutdown().clone());
    kit.tasks.spawn("executor: heartbeat", alive);
    let deadlines = Deadlines { shared: shared.clone() };
    kit.tasks.spawn("executor: deadlines", deadlines.run(kit.shutdown().clone()));
    let strays = Strays { shared: shared.clone() };
    kit.tasks.spawn("executor: stray runs", strays.run(kit.shutdown().clone()));

    let resolver = Resolver { shared: shared.clone(), outbox: outbox.clone(), patience: config.patience() };
    let submitter = Submitter {
        shared: shared.clone(),
        outbox: outbox.clone(),
        policies,
        seals,
        recorder: kit.recorder.clone(),
        schemas: Schemas::default(),
        queue_limit: config.queue_limit,
        in_progress: InProgress::default(),
        trust: kit.trust.clone(),
        shown,
    };
    let feed = JobFeedRpc { feed: JobFeed::new(shared.clone()), shutdown: kit.shutdown().clone() };
    let jobs = JobRpc {
        access: JobAccess::new(shared, outbox, resolver),
        submitter: Arc::new(submitter),
        shutdown: kit.shutdown().clone(),
        streams: CallerSeats::new("event streams and waits", ErrorReason::TooManyStreams, config.stream_limits()),
    };
    let access = ControllerAccessRpc::new(credentials, limits);
    let hint = HintRpc { hints };
    Ok(Parts::new()
        .with(jobs.into_server())
        .with(feed.into_server())
        .with(hint.into_server())
        .with(access.into_server()))
}

/// Forgets what has been kept for long enough.
async fn keep_house(store: Arc<dyn JobStore>, kit: ServiceKit) {
    while kit.shutdown().sleep(Duration::from_secs(600)).await.is_ok() {
        if let Err(error) = store.forget_keys(kit.clock.now().minus(KEYS_KEPT)).await {
            error.log();
        }
    }
}
