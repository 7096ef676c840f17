//! The secret service: values that are sealed at rest, revealed to the executor alone, and every time on the record.
//!
//! - `secrets`: named values that this service keeps, such as a controller's credential.
//! - `sealing`: values that are sealed for somebody else to keep, such as a job's password parameters.
//! - `keys`: the master key, its state and its rotation.
//! - `record`: what is written to the audit log. Never a value.
//! - `repeats`: rotations that are asked for again with the idempotency key of the first.
//! - `rpc`: the only place that knows gRPC.
//!
//! The cryptography and the storage are behind [`Vault`](runwarden_engines::vault::Vault).

mod config;
mod keys;
mod outbox;
mod record;
mod repeats;
mod rpc;
mod sealing;
mod secrets;

use std::sync::Arc;

use runwarden_engines::Engines;
use runwarden_engines::idempotency::Pepper;
use runwarden_engines::vault::VaultOptions;
use runwarden_kit::service::{Parts, ServiceKit};
use runwarden_proto::secret::v1::hook_key_service_server::HookKeyServiceServer;

pub use config::Config;

use keys::Keys;
use outbox::Outbox;
use record::Records;
use repeats::Repeats;
use sealing::Sealing;
use secrets::Secrets;

/// Opens the vault, finishes a rotation that was interrupted, and builds the service.
///
/// # Errors
/// When the settings do not make sense, or the vault does not open: above all when a master key is missing or is
/// another one. That is for an operator to fix, so the process does not start.
pub async fn build(config: Config, kit: &ServiceKit) -> anyhow::Result<Parts> {
    config.check()?;
    let engines = Engines::of(kit)?;
    let store = engines.config("config.db").await?;
    let options = VaultOptions {
        store: Arc::clone(&store),
        master_keys: config.secret_master_keys_dir.unwrap_or_else(|| kit.data_dir.join("master-keys")),
        tenant_key_max_age: config.secret_tenant_key_max_age,
        clock: Arc::clone(&kit.clock),
    };
    let vault = engines.vault(options).await?;
    let records = Records::new(Arc::clone(&kit.clock));
    if let Some(rotation) = vault.resume_rotation(&|note| records.rotation(note)).await? {
        tracing::info!(
            master_key = rotation.key_id,
            rewrapped = rotation.rewrapped,
            "finished a rotation that was interrupted"
        );
    }
    let idempotency = engines.idempotency(&store, Pepper::load_or_create(&kit.data_dir.join("secret.pepper"))?);
    kit.tasks.spawn(
        "secret: idempotency keys",
        idempotency.clone().keep_pruned(Arc::clone(&kit.clock), kit.shutdown().clone()),
    );
    let repeats = Repeats::new(idempotency, Arc::clone(&store), Arc::clone(&kit.clock));
    let outbox = Outbox(kit.outbox(engines.outbox(&store)));
    let secrets = Secrets::new(Arc::clone(&vault), outbox.clone(), Arc::clone(&kit.recorder), records.clone());
    let secrets = Arc::new(secrets);
    let sealing = Arc::new(Sealing::new(Arc::clone(&vault), Arc::clone(&kit.recorder), records.clone()));
    let service = rpc::SecretRpc {
        secrets: Arc::clone(&secrets),
        sealing: Arc::clone(&sealing),
        keys: Keys::new(vault, outbox, records, repeats),
        trust: Arc::clone(&kit.trust),
    };
    let callback_keys = rpc::CallbackKeyRpc { sealing: Arc::clone(&sealing), trust: Arc::clone(&kit.trust) };
    let hooks = rpc::HookKeyRpc { secrets, sealing, trust: Arc::clone(&kit.trust) };
    Ok(Parts::new()
        .with(service.into_server())
        .with(HookKeyServiceServer::new(hooks))
        .with(callback_keys.into_server()))
}
