//! What is where in the data folder.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use runwarden_kit::clock::{Clock as _, SystemClock};
use runwarden_kit::id;
use runwarden_kit::mesh::Service;
use runwarden_kit::private_file;
use serde_json::json;

use super::Running;
use super::certificates::Certificates;

/// The file that tells how the running system is reached. It is there only while one runs, or after one that could not
/// clean up: then until the next start begins.
pub(crate) const RUNWARDEN_JSON: &str = "runwarden.json";
/// The file that remembers the addresses of the last start.
const ADDRESSES_JSON: &str = "addresses.json";
/// The file with the first administrator's credentials, unless a setting puts it elsewhere.
pub(crate) const BOOTSTRAP_JSON: &str = "bootstrap.json";

/// The data folder, held by this process alone.
#[derive(Clone)]
pub(crate) struct Layout {
    folder: PathBuf,
}

impl Layout {
    /// Opens the folder, making it if it is not there.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        private_file::make_folder(folder)?;
        let folder = folder.canonicalize().with_context(|| folder.display().to_string())?;
        let path = folder.join("lock");
        let lock = File::create(&path).with_context(|| path.display().to_string())?;
        if lock.try_lock().is_err() {
            bail!("{} is in use by another runwarden", folder.display());
        }
        // Held for as long as the process lives: its services use the folder until the last of them has stopped.
        std::mem::forget(lock);
        Ok(Self { folder })
    }

    /// A file or folder in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where a service keeps its state.
    pub(crate) fn service(&self, service: Service) -> PathBuf {
        self.path(service.name())
    }

    /// Where the first administrator's credentials are written.
    pub(crate) fn bootstrap_file(&self) -> PathBuf {
        self.path(BOOTSTRAP_JSON)
    }

    /// The file that says how to reach the running system.
    pub(crate) fn runwarden_json(&self) -> PathBuf {
        self.path(RUNWARDEN_JSON)
    }

    /// Where the addresses of the last start are remembered.
    pub(super) fn addresses_json(&self) -> PathBuf {
        self.path(ADDRESSES_JSON)
    }

    /// Takes away what an earlier start, or this one, told: nobody is to be sent to an address where nothing listens.
    pub(super) fn withdraw_runwarden_json(&self) -> anyhow::Result<()> {
        let path = self.runwarden_json();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| path.display().to_string())
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Tells how the running system is reached, whole or not at all. Each start has an id of its own.
    pub(crate) fn write_runwarden_json(&self, running: &Running, certificates: &Certificates) -> anyhow::Result<()> {
        let operator = certificates.operator()?;
        let grpc: serde_json::Map<String, serde_json::Value> =
            running.grpc.iter().map(|(service, address)| (service.name().to_owned(), json!(address))).collect();
        let content = json!({
            "base_url": running.base_url,
            "admin_base_url": running.admin_base_url,
            "grpc": grpc,
            "ca": operator.ca,
            "operator_certificate": operator.certificate,
            "operator_key": operator.key,
            "pid": std::process::id(),
            "start_id": id::new("start"),
            "started_at": SystemClock.now().rfc3339(),
        });
        Ok(private_file::write(&self.runwarden_json(), format!("{content:#}\n").as_bytes())?)
    }
}
