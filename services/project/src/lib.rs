//! The project service: what exists. Tenants and their projects, the controllers where things are run, and the
//! templates that stand for exactly one thing that may be run.
//!
//! - [`tenant`], [`project`], [`controller`], [`template`]: the nouns, their rules and who may do what to them.
//! - [`limits`]: what several of them have in common of limits.
//! - [`store`]: the catalog they are kept in, each change with its audit entry in one commit.
//! - [`port`]: what is needed of the secret service and of the executor.
//! - [`rpc`]: the only place that knows gRPC.

mod config;
pub mod controller;
pub mod limits;
pub mod port;
pub mod project;
mod refusal;
pub mod rpc;
pub mod store;
pub mod template;
pub mod tenant;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use runwarden_engines::idempotency::Pepper;
use runwarden_engines::{Engines, catalog, watch};
use runwarden_kit::mesh::Service;
use runwarden_kit::service::{Parts, ServiceKit};

pub use config::Config;

use rpc::{MeshAccess, MeshSecrets, Services};
use store::Catalog;
pub use store::key::TENANTS;

/// Builds the service on the embedded store in its data folder.
///
/// # Errors
/// When the store does not open, the pepper is not readable by this service alone, or a peer has no address.
pub async fn build(config: Config, kit: &ServiceKit) -> anyhow::Result<Parts> {
    let engines = Engines::of(kit)?;
    let (store, watch) = watch::watched(engines.config("project.db").await?, store::key::concern);
    let outbox = kit.outbox(engines.outbox(&store));
    let idempotency = engines.idempotency(&store, Pepper::load_or_create(&kit.data_dir.join("project.pepper"))?);
    kit.tasks.spawn(
        "project: idempotency keys",
        idempotency.clone().keep_pruned(Arc::clone(&kit.clock), kit.shutdown().clone()),
    );
    let access = Arc::new(MeshAccess::new(kit.peers.channel(Service::Executor)?));
    let secrets = Arc::new(MeshSecrets::new(kit.peers.channel(Service::Secret)?));
    let catalog = Catalog::new(catalog::Catalog::new(store, outbox), idempotency, Arc::clone(&kit.clock));
    Ok(Services::new(catalog, access, secrets, config.allow_plain_http_controllers)
        .into_parts()
        .with(watch.into_server()))
}
