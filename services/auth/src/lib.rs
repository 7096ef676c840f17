//! The auth service: authentication and roles. OAuth clients and their secrets, caller tokens and the keys that sign
//! them, roles and their bindings.
//!
//! The rooms, each of which says what it may use: [`key`] at the bottom, then [`trust`], [`role`], [`client`] and
//! [`token`]; [`store`] holds the records of all, [`rpc`] serves the contracts.

mod assemble;
mod audit;
mod client;
mod config;
mod ids;
mod key;
mod maintenance;
mod once;
mod role;
mod rpc;
mod shared;
mod store;
mod token;
mod trust;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use runwarden_engines::Engines;
use runwarden_kit::mesh::Service;
use runwarden_kit::service::{Parts, ServiceKit};
use runwarden_proto::auth::v1::client_service_server::ClientServiceServer;
use runwarden_proto::auth::v1::hook_identity_service_server::HookIdentityServiceServer;
use runwarden_proto::auth::v1::role_service_server::RoleServiceServer;
use runwarden_proto::auth::v1::standing_service_server::StandingServiceServer;
use runwarden_proto::auth::v1::token_service_server::TokenServiceServer;

use assemble::{Ground, assemble};
use rpc::project::MeshScopes;

pub use config::{Config, KeyBits};

/// Builds the service on the embedded store in its data folder. When it returns, there are a signing key and an
/// administrator, whose credentials are in the bootstrap file.
///
/// # Errors
/// When a setting cannot work, the store does not open, or a key file is missing or is not the store's own.
pub async fn build(config: Config, kit: &ServiceKit) -> anyhow::Result<Parts> {
    let engines = Engines::of(kit)?;
    let config_store = engines.config("auth.db").await?;
    let outbox = kit.outbox(engines.outbox(&config_store));
    let ground = Ground {
        config_store,
        outbox,
        clock: Arc::clone(&kit.clock),
        ticks: Arc::new(std::time::Instant::now),
        scopes: Arc::new(MeshScopes::new(kit.peers.channel(Service::Project)?)),
        data_dir: &kit.data_dir,
    };
    let assembled = assemble(&config, ground).await?;
    kit.tasks.spawn("auth: tenants", assembled.tenants.keep_fresh(kit.shutdown().clone()));
    kit.tasks.spawn("auth: maintenance", assembled.maintenance.run(kit.shutdown().clone()));
    Ok(Parts::new()
        .with(TokenServiceServer::new(assembled.tokens))
        .with(ClientServiceServer::new(assembled.clients))
        .with(RoleServiceServer::new(assembled.roles))
        .with(StandingServiceServer::new(assembled.standings))
        .with(HookIdentityServiceServer::new(assembled.hooks)))
}
