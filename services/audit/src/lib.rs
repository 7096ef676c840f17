//! `runwarden-audit`: what happened, provably.
//!
//! Services hand over entries; one writer seals them, batch by batch, as [records](record) into a
//! [Merkle tree](merkle) per tenant, and signs a [checkpoint](note) over each batch in the same transaction.
//! [`verify`] and [`cli`] prove offline that nothing was changed, removed, reordered, inserted or cut off.

mod admission;
pub mod cli;
mod config;
pub mod log;
pub mod merkle;
pub mod note;
pub mod record;
mod restore;
mod rpc;
pub mod seen;
pub mod signing_key;
pub mod store;
pub mod verify;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
pub use config::Config;
pub use restore::{Accepted, accept_restore};
use runwarden_engines::Engines;
use runwarden_kit::service::{Parts, ServiceKit};

use log::{Reader, Writer};
use store::Logs;

/// How long the writer still accepts entries after the shutdown signal, so that calls in progress get true answers.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// Where the logs are, in this data folder.
#[must_use]
pub fn database_path(data_dir: &Path) -> PathBuf {
    data_dir.join(store::FILE)
}

/// Builds the service: opens the logs, checks the end of each, starts the writer.
///
/// # Errors
/// When the logs cannot be opened, or the key that signed them is not there.
pub async fn build(config: Config, kit: &ServiceKit) -> anyhow::Result<Parts> {
    let logs = Logs::open(&Engines::of(kit)?).await?;
    let lock = only_one(&kit.data_dir)?;
    let logs_exist = !logs.reads.tenants().await?.is_empty();
    let key = Arc::new(signing_key::read_or_make(&kit.data_dir, logs_exist)?);
    let (journal, writer) =
        Writer::start(logs.writes.clone(), key.clone(), kit.clock.clone(), (&config).into()).await?;
    let reader = Reader::new(logs.reads.clone(), key);
    let doubts = writer.doubts();
    // One log that cannot be trusted affects its own tenant only: the service continues for all others.
    kit.notes.add("audit logs", move || doubts.note());
    let shutdown = kit.shutdown().clone();
    kit.tasks.spawn("audit: writer", async move {
        writer
            .run_until(async move {
                shutdown.begun().await;
                tokio::time::sleep(LAST_CALLS).await;
            })
            .await;
        logs.close().await;
        drop(lock);
    });
    let rpc = rpc::AuditRpc::new(journal, reader);
    Ok(Parts::new().with(rpc.into_server()))
}

/// Makes sure that exactly one process writes the logs of this folder, for as long as the file is held.
///
/// # Errors
/// When another process does.
pub(crate) fn only_one(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join("audit.lock");
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path).with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("{} is in use: the audit service is running on it", data_dir.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
    }
}
