//! Puts the way out together.

use std::sync::Arc;

use runwarden_engines::Engines;
use runwarden_engines::catalog::Catalog;
use runwarden_kit::mesh::Service;
use runwarden_kit::service::ServiceKit;
use runwarden_outbound::{Client, Settings, SystemResolver};
use tokio::sync::Notify;

use super::follow::Follower;
use super::manage::Callbacks;
use super::sender::Sender;
use crate::rpc::callback_ports::{MeshJobs, MeshKeys};
use crate::run_task::woken::Woken;
use crate::store::messages::{MIGRATIONS, Messages, SqliteMessages};

/// Opens the messages, and begins to follow jobs and to send.
///
/// # Errors
/// When the messages do not open, a setting makes no sense, or another service has no address.
pub(crate) async fn build(
    outbound: Settings,
    kit: &ServiceKit,
    engines: &Engines,
    catalog: Catalog,
    woken: Arc<Woken>,
) -> anyhow::Result<Callbacks> {
    let messages: SqliteMessages = engines.database("callbacks.db", MIGRATIONS).await?.stores();
    let messages: Arc<dyn Messages> = Arc::new(messages);
    let client = Client::new(outbound, Arc::new(SystemResolver::default()))?;
    let bell = Arc::new(Notify::new());
    let callbacks = Callbacks {
        catalog: catalog.clone(),
        messages: messages.clone(),
        keys: Arc::new(MeshKeys::new(kit.peers.channel(Service::Secret)?)),
        client: client.clone(),
        recorder: kit.recorder.clone(),
        clock: kit.clock.clone(),
        bell: bell.clone(),
    };
    let follower = Follower {
        jobs: Arc::new(MeshJobs::new(kit.peers.channel(Service::Executor)?)),
        catalog: catalog.clone(),
        messages: messages.clone(),
        clock: kit.clock.clone(),
        bell: bell.clone(),
        woken,
    };
    kit.tasks.spawn("hook: results of jobs", follower.run(kit.shutdown().clone()));
    let sender = Arc::new(Sender {
        catalog,
        messages,
        keys: callbacks.keys.clone(),
        client,
        clock: kit.clock.clone(),
        bell,
        known: super::sender::Known::default(),
    });
    kit.tasks.spawn("hook: callbacks", sender.clone().run(kit.shutdown().clone()));
    kit.tasks.spawn("hook: old messages", sender.keep_house(kit.shutdown().clone()));
    Ok(callbacks)
}
