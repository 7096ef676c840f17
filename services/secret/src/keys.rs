//! The master key: its state and its rotation.

use std::sync::Arc;

use runwarden_engines::idempotency::Begun;
use runwarden_engines::vault::{KeyStatus, Rotation, Vault};
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::permission::Permission;
use runwarden_kit::{Error, Result, context};

use crate::outbox::Outbox;
use crate::record::Records;
use crate::repeats::Repeats;

/// The keys of the platform.
pub(crate) struct Keys {
    vault: Arc<dyn Vault>,
    outbox: Outbox,
    records: Records,
    repeats: Repeats,
}

impl Keys {
    pub(crate) fn new(vault: Arc<dyn Vault>, outbox: Outbox, records: Records, repeats: Repeats) -> Self {
        Self { vault, outbox, records, repeats }
    }

    /// Makes a new master key and wraps every tenant key with it. Once begun it goes on to its end, even when the
    /// caller stops waiting; a process that ends in between goes on with it at its next start. A repeat with the same
    /// idempotency key gets the first one's outcome.
    pub(crate) async fn rotate(&self, caller: &Caller) -> Result<Rotation> {
        caller.require(Permission::KeysRotate, &Scope::platform())?;
        let ticket = match self.repeats.begin(caller, "master_key.rotate").await? {
            Begun::Replay(rotation) => return Ok(rotation),
            Begun::Fresh(ticket) => ticket,
        };
        let (vault, outbox, records) = (Arc::clone(&self.vault), self.outbox.clone(), self.records.clone());
        let repeats = self.repeats.clone();
        // The context comes along, so that the records name the caller and the request.
        let work = context::scope(context::current(), async move {
            let note = |note| records.rotation(note);
            let rotation = outbox.change("", async { Ok(vault.rotate_master(&note).await?) }).await?;
            repeats.keep(&ticket, &rotation).await;
            Ok::<_, Error>(rotation)
        });
        let rotation = tokio::spawn(work).await.map_err(Error::internal)??;
        tracing::info!(master_key = rotation.key_id, rewrapped = rotation.rewrapped, "rotated the master key");
        Ok(rotation)
    }

    /// Which master key is in use, and how far a rotation got.
    pub(crate) async fn status(&self, caller: &Caller) -> Result<KeyStatus> {
        caller.require(Permission::KeysRead, &Scope::platform())?;
        Ok(self.vault.status().await?)
    }
}
