//! The hook service: events in, results out. It parses what strangers send and calls addresses that others chose, in a
//! process that holds no controller credential.
//!
//! - [`hook`]: the noun: a configured way in for a foreign sender, its rules and who may do what to it.
//! - [`callback`]: the noun: a configured way back out, and the messages that are sent to it.
//! - [`inbox`]: what is delivered, from the request of the sender to the job that it becomes.
//! - `by_hook`: what the operator set for all hooks, and otherwise for one.
//! - `run_task`: what is reported to Terraform until it has a final result.
//! - [`ports`]: what is needed of other services.
//! - [`store`]: where hooks and deliveries are kept, each change with its audit entry in one commit.
//! - [`rpc`]: the only place that knows gRPC.

mod by_hook;
pub mod callback;
mod config;
pub mod failpoint;
pub mod hook;
pub mod inbox;
pub mod ports;
pub mod rpc;
mod run_task;
pub mod store;
#[cfg(test)]
mod tests;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use runwarden_engines::idempotency::Pepper;
use runwarden_engines::{Engines, catalog};
use runwarden_kit::mesh::Service;
use runwarden_kit::service::{Parts, ServiceKit};
use tokio::sync::Notify;

pub use config::{Config, TerraformOf};
pub use runwarden_outbound::Exceptions;
pub use runwarden_webhooks::KeyForm;

use by_hook::ByHook;
use callback::sent::Sent;
use hook::Hooks;
use inbox::look::Deliveries;
use inbox::parameters::Remembered;
use inbox::receive::{self, Inbox};
use inbox::tokens::Tokens;
use inbox::worker::Worker;
use ports::{Identities, Jobs, Keys, Modules, Projects};
use rpc::{MeshIdentities, MeshJobs, MeshKeys, MeshModules, MeshProjects, Services};
use run_task::plan::TerraformPlans;
use run_task::terraform::Terraform;
use run_task::woken::Woken;
use run_task::worker::RunTasks;
use runwarden_outbound::{Client, SystemResolver};
use store::{Catalog, InboxStore, Stores};
use turns::Turns;

/// How often old deliveries are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(600);
/// How many are forgotten in one commit.
const FORGET_AT_ONCE: usize = 200;

/// Builds the service on the embedded stores in its data folder.
///
/// # Errors
/// When a setting cannot work, a store does not open, or a peer has no address.
pub async fn build(config: Config, kit: &ServiceKit) -> anyhow::Result<Parts> {
    config.check()?;
    let engines = Engines::of(kit)?;
    let records = engines.config("hooks.db").await?;
    let hook_outbox = kit.outbox(engines.outbox(&records));
    let idempotency = engines.idempotency(&records, Pepper::load_or_create(&kit.data_dir.join("hook.pepper"))?);
    kit.tasks.spawn(
        "hook: idempotency keys",
        idempotency.clone().keep_pruned(Arc::clone(&kit.clock), kit.shutdown().clone()),
    );
    let Stores { inbox: store, run_tasks, outbox } =
        Stores::open_failing(&engines, config.hook_failpoint.clone()).await?;
    let outbox = kit.outbox(outbox);

    let keys: Arc<dyn Keys> = Arc::new(MeshKeys::new(kit.peers.channel(Service::Secret)?));
    let modules: Arc<dyn Modules> = Arc::new(MeshModules::new(kit.peers.channel(Service::Policy)?));
    let identities: Arc<dyn Identities> = Arc::new(MeshIdentities::new(kit.peers.channel(Service::Auth)?));
    let jobs: Arc<dyn Jobs> = Arc::new(MeshJobs::new(kit.peers.channel(Service::Executor)?));
    let projects: Arc<dyn Projects> = Arc::new(MeshProjects::new(kit.peers.channel(Service::Project)?));
    let records = catalog::Catalog::new(records, hook_outbox);
    let woken = Arc::new(Woken::default());
    let catalog = Catalog::new(records, idempotency, Arc::clone(&kit.clock));
    let parts = callback::Parts {
        client: Client::new(config.outbound()?, Arc::new(SystemResolver::default()))?,
        failpoint: config.hook_failpoint.clone(),
        catalog: catalog.clone(),
        projects: Arc::clone(&projects),
        woken: Arc::clone(&woken),
    };
    let callbacks = callback::build(parts, kit, &engines).await?;
    let hooks = Hooks::new(catalog, Arc::clone(&keys), Arc::clone(&modules), Arc::clone(&identities), projects);
    let hooks = match &config.own_terraform {
        Some(own) => hooks.with_replaced(&own.tenant, &own.hook),
        None => hooks,
    };
    let tokens = Arc::new(Tokens::new(identities, Arc::clone(&kit.clock)));
    let bell = Arc::new(Notify::new());

    let inbox = Arc::new(Inbox::new(receive::Parts {
        hooks: hooks.clone(),
        keys: Arc::clone(&keys),
        store: Arc::clone(&store),
        outbox: outbox.clone(),
        trust: Arc::clone(&kit.trust),
        clock: Arc::clone(&kit.clock),
        bell: Arc::clone(&bell),
        limits: config.limits(),
        reporting: config.reporting(),
        failpoint: config.hook_failpoint.clone(),
    }));
    kit.tasks.spawn("hook: refusals", Arc::clone(&inbox).keep_tally(kit.shutdown().clone()));
    kit.tasks.spawn("hook: changed hooks", Arc::clone(&inbox).forget_changed(kit.shutdown().clone()));
    let terraform = terraform(&config)?;
    let worker = Arc::new(Worker {
        store: Arc::clone(&store),
        outbox: outbox.clone(),
        hooks: hooks.clone(),
        keys: Arc::clone(&keys),
        modules: Arc::clone(&modules),
        jobs: Arc::clone(&jobs),
        plans: Arc::new(TerraformPlans { terraform: terraform.clone(), keys: Arc::clone(&keys) }),
        tokens: Arc::clone(&tokens),
        clock: Arc::clone(&kit.clock),
        bell: Arc::clone(&bell),
        at_once: config.deliveries_at_once,
        patience: config.delivery_patience,
        reporting: config.reporting(),
        woken: Arc::clone(&woken),
        failpoint: config.hook_failpoint.clone(),
        limits: config.limits(),
        remembered: Remembered::default(),
        turns: Turns::pausing(inbox::worker::PAUSES),
    });
    kit.tasks.spawn("hook: deliveries", worker.run(kit.shutdown().clone()));
    let run_tasks = Arc::new(RunTasks {
        tasks: run_tasks,
        inbox: Arc::clone(&store),
        outbox: outbox.clone(),
        keys: Arc::clone(&keys),
        jobs: Arc::clone(&jobs),
        tokens: Arc::clone(&tokens),
        terraform,
        clock: Arc::clone(&kit.clock),
        reporting: config.reporting(),
        at_once: config.deliveries_at_once,
        failpoint: config.hook_failpoint.clone(),
        woken,
        turns: Turns::pausing(run_task::worker::PAUSES),
    });
    kit.tasks.spawn("hook: run tasks", run_tasks.run(kit.shutdown().clone()));
    kit.tasks.spawn("hook: housekeeping", keep_house(Arc::clone(&store), config.clone(), kit.clone()));
    let deliveries = Arc::new(Deliveries {
        hooks: hooks.clone(),
        store,
        outbox,
        modules,
        jobs,
        tokens,
        clock: Arc::clone(&kit.clock),
        bell,
        limits: config.limits(),
        sent: Sent { catalog: (*callbacks.catalog).clone(), messages: Arc::clone(&callbacks.messages) },
    });
    Ok(Services::new(hooks, inbox, deliveries, callbacks, Arc::clone(&kit.clock)).into_parts())
}

/// How Terraform is reached.
fn terraform(config: &Config) -> anyhow::Result<Terraform> {
    let client = |settings| Client::new(settings, Arc::new(SystemResolver::default()));
    let all = ByHook::all(client(config.outbound()?)?);
    Ok(Terraform(match &config.own_terraform {
        None => all,
        Some(own) => all.but(&own.tenant, &own.hook, client(own.outbound(config.outbound()?))?),
    }))
}

/// Forgets what has been kept for long enough, and what there is no room for.
async fn keep_house(store: Arc<dyn InboxStore>, config: Config, kit: ServiceKit) {
    loop {
        let now = kit.clock.now();
        let before = now.minus(config.delivery_retention);
        all_of(&kit, || store.drop_parameters(FORGET_AT_ONCE)).await;
        all_of(&kit, || store.forget(before, FORGET_AT_ONCE)).await;
        all_of(&kit, || store.tidy(config.limits().room(now), FORGET_AT_ONCE)).await;
        if kit.shutdown().sleep(FORGET_EVERY).await.is_err() {
            return;
        }
    }
}

/// Does something until it had less to do than it does at once.
async fn all_of<F: Future<Output = runwarden_kit::Result<usize>>>(kit: &ServiceKit, work: impl Fn() -> F) {
    while !kit.shutdown().has_begun() {
        match work().await {
            Ok(FORGET_AT_ONCE) => {}
            Ok(_) => return,
            Err(error) => return error.log(),
        }
    }
}
