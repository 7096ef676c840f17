//! The hook service: events in, results out. It parses what strangers send and calls addresses that others chose, in a
//! process that holds no controller credential.
//!
//! - [`hook`]: the noun: a configured way in for a foreign sender, its rules and who may do what to it.
//! - [`store`]: where hooks are kept, each change with its audit entry in one commit.
//! - [`rpc`]: the only place that knows gRPC.

mod config;
pub mod hook;
pub mod rpc;
pub mod store;

use runwarden_engines::Engines;
use runwarden_engines::catalog;
use runwarden_kit::service::{Parts, ServiceKit};

pub use config::Config;

use hook::Hooks;
use rpc::Services;

/// Builds the service on the embedded stores in its data folder.
///
/// # Errors
/// When a store does not open.
pub async fn build(_config: Config, kit: &ServiceKit) -> anyhow::Result<Parts> {
    let engines = Engines::of(kit)?;
    let store = engines.config("hooks.db").await?;
    let outbox = kit.outbox(engines.outbox(&store));
    Ok(Services::new(Hooks::new(catalog::Catalog::new(store, outbox))).into_parts())
}
