//! Policies as code: keeps Rego modules, and decides by roles and modules whether somebody may do
//! exactly this.
//!
//! A program that holds this service calls [`worker::run_if_requested`] first thing in `main`:
//! policies run in processes of their own, which are this program started once more.

mod config;
pub mod decision;
pub mod judge;
pub mod library;
pub mod module;
mod rpc;
pub mod store;
pub mod worker;

use std::sync::Arc;

use anyhow::Context;
use runwarden_engines::catalog::Catalog;
use runwarden_engines::{Engines, watch};
use runwarden_kit::service::{Parts, ServiceKit};
use runwarden_proto::policy::v1::decision_service_server::DecisionServiceServer;
use runwarden_proto::policy::v1::hook_module_service_server::HookModuleServiceServer;
use runwarden_proto::policy::v1::policy_service_server::PolicyServiceServer;

pub use config::{Config, InProcess};

use decision::Decider;
use judge::Judge;
use library::Library;
use store::{ConfigModules, ModuleStore};
use worker::Pool;

/// The largest request: a module of the full size, and something around it.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Builds the service. It starts one worker, to fail here and now if that cannot be done.
///
/// # Errors
/// When the store cannot be opened or no worker can be started.
pub async fn build(config: Config, kit: &ServiceKit) -> anyhow::Result<Parts> {
    let engines = Engines::of(kit)?;
    let (store, watch) = watch::watched(engines.config("config.db").await?, store::concern);
    let in_process = config.in_process;
    let settings = config.settings()?;
    let command = settings.command.display().to_string();
    let pool = Pool::new(settings);
    pool.warm_up().await.with_context(|| format!("starting {command} as a policy worker"))?;

    let pool = Arc::new(pool);
    let hooks = rpc::HookModuleRpc(Arc::clone(&pool));
    let judge: Arc<dyn Judge> = pool;
    let outbox = kit.outbox(engines.outbox(&store));
    let modules: Arc<dyn ModuleStore> = Arc::new(ConfigModules::new(Catalog::new(store, outbox.clone())));
    let library = Library::new(Arc::clone(&modules), Arc::clone(&judge), outbox, Arc::clone(&kit.clock));
    let decider = Arc::new(Decider::new(modules, judge, Arc::clone(&kit.clock)).handing_out(in_process));
    let standing = rpc::DecisionRpc(Arc::clone(&decider));
    let handlers = rpc::PolicyRpc { library: Arc::new(library), decider, trust: Arc::clone(&kit.trust) };
    Ok(Parts::new()
        .with(PolicyServiceServer::new(handlers).max_decoding_message_size(MAX_MESSAGE_BYTES))
        .with(DecisionServiceServer::new(standing).max_decoding_message_size(MAX_MESSAGE_BYTES))
        .with(HookModuleServiceServer::new(hooks).max_decoding_message_size(MAX_MESSAGE_BYTES))
        .with(watch.into_server()))
}
