//! Puts the way out together.

use std::sync::Arc;

use runwarden_engines::Engines;
use runwarden_kit::mesh::Service;
use runwarden_kit::service::ServiceKit;
use runwarden_outbound::Client;
use tokio::sync::Notify;

use super::follow::Follower;
use super::manage::Callbacks;
use super::sender::Sender;
use crate::failpoint::Failpoint;
use crate::ports::Projects;
use crate::rpc::callback_ports::{MeshJobs, MeshKeys};
use crate::run_task::woken::Woken;
use crate::store::Catalog;
use crate::store::messages::{MIGRATIONS, Messages, SqliteMessages};

/// What callbacks share with the rest of the service.
pub(crate) struct Parts {
    /// The client for addresses that tenants choose.
    pub(crate) client: Client,
    /// Where a test has the process die.
    pub(crate) failpoint: Failpoint,
    /// Callbacks.
    pub(crate) catalog: Catalog,
    /// Knows projects.
    pub(crate) projects: Arc<dyn Projects>,
    /// Tells of run tasks about which there is something to say.
    pub(crate) woken: Arc<Woken>,
}

/// Opens the messages, and begins to follow jobs and to send.
///
/// # Errors
/// When the messages do not open, or another service has no address.
pub(crate) async fn build(parts: Parts, kit: &ServiceKit, engines: &Engines) -> anyhow::Result<Callbacks> {
    let Parts { client, failpoint, catalog, projects, woken } = parts;
    let messages: SqliteMessages = engines.database("callbacks.db", MIGRATIONS).await?.stores();
    let messages: Arc<dyn Messages> = Arc::new(messages);
    let bell = Arc::new(Notify::new());
    let callbacks = Callbacks {
        catalog: catalog.clone(),
        messages: messages.clone(),
        keys: Arc::new(MeshKeys::new(kit.peers.channel(Service::Secret)?)),
        projects,
        client: client.clone(),
        recorder: kit.recorder.clone(),
        clock: kit.clock.clone(),
        bell: bell.clone(),
    };
    let follower = Follower {
        jobs: Arc::new(MeshJobs::new(kit.peers.channel(Service::Executor)?)),
        catalog: (*catalog).clone(),
        messages: messages.clone(),
        clock: kit.clock.clone(),
        bell: bell.clone(),
        woken,
        failpoint: failpoint.clone(),
    };
    kit.tasks.spawn("hook: results of jobs", follower.run(kit.shutdown().clone()));
    let sender = Arc::new(Sender {
        catalog: (*catalog).clone(),
        messages,
        keys: callbacks.keys.clone(),
        client,
        clock: kit.clock.clone(),
        bell,
        known: super::sender::Known::default(),
        failpoint,
    });
    kit.tasks.spawn("hook: callbacks", sender.clone().run(kit.shutdown().clone()));
    kit.tasks.spawn("hook: old messages", sender.keep_house(kit.shutdown().clone()));
    Ok(callbacks)
}
