//! The stores of the services in a data folder, as far as the audit log is concerned.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use runwarden_audit::cli::{Known, read_seen};
use runwarden_audit::seen::SeenHead;
use runwarden_engines::config::ConfigStore;
use runwarden_engines::{EngineSettings, Engines};
use runwarden_executor::Stores;
use runwarden_kit::audit::{OutboxStore, PLATFORM, log_name};
use runwarden_kit::mesh::Service;

use crate::cli::Folder;

/// The services that have a store, and the file it is in.
const FILES: [(Service, &str); 7] = [
    (Service::Auth, "auth.db"),
    (Service::Policy, "config.db"),
    (Service::Project, "project.db"),
    (Service::Secret, "config.db"),
    (Service::Executor, "jobs.db"),
    (Service::Hook, "hooks.db"),
    (Service::Hook, INBOX),
];
/// The tables of the hook service, beside its config store.
const INBOX: &str = "inbox.db";
/// How many tenants are read at once.
const PAGE: usize = 500;

/// A service's store.
pub(super) struct Store {
    pub(super) service: Service,
    pub(super) outbox: Arc<dyn OutboxStore>,
    config: Option<Arc<dyn ConfigStore>>,
}

/// Whether the stores are to be changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// The stores in a folder, and which there are not.
pub(super) async fn open(folder: &Folder, access: Access) -> (Vec<Store>, Vec<String>) {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for (service, file) in FILES {
        let path = match &folder.jobs_file {
            Some(path) if service == Service::Executor => Some(path.clone()),
            _ => place(&folder.data_dir, service, file),
        };
        let Some(path) = path else {
            missing.push(format!("{service}, whose store is not in this folder"));
            continue;
        };
        match open_one(service, &path, access).await {
            Ok(store) => found.push(store),
            Err(error) => missing.push(format!("{service}, whose store cannot be read: {error:#}")),
        }
    }
    (found, missing)
}

/// Where a service's file is: in the folder of `up`, or in its own.
fn place(folder: &Path, service: Service, file: &str) -> Option<PathBuf> {
    [folder.join(service.name()).join(file), folder.join(file)].into_iter().find(|path| path.is_file())
}

async fn open_one(service: Service, path: &Path, access: Access) -> anyhow::Result<Store> {
    let settings = EngineSettings::embedded("");
    let engines = Engines::open(match access {
        Access::Read => settings.read_only(),
        Access::Write => settings,
    })?;
    if service == Service::Executor {
        let Stores { outbox, .. } = Stores::open(&engines, Some(path)).await?;
        return Ok(Store { service, outbox, config: None });
    }
    if path.ends_with(INBOX) {
        let runwarden_hook::store::Stores { outbox, .. } =
            runwarden_hook::store::Stores::open_at(&engines, path).await?;
        return Ok(Store { service, outbox, config: None });
    }
    let store = engines.config(path).await?;
    Ok(Store { service, outbox: engines.outbox(&store), config: Some(store) })
}

/// What the services in a folder, and files of what they saw elsewhere, know of the logs.
pub(super) async fn known(folder: &Folder, files: &[PathBuf]) -> anyhow::Result<Known> {
    let (stores, missing) = open(folder, Access::Read).await;
    let mut known = Known { unasked: missing, ..Known::default() };
    for file in files {
        known.seen.extend(read_seen(file)?);
        known.asked.push(file.display().to_string());
    }
    for store in &stores {
        match ask(store, &mut known).await {
            Ok(()) => known.asked.push(store.service.name().to_owned()),
            Err(error) => known.unasked.push(format!("{}, whose store cannot be read: {error:#}", store.service)),
        }
    }
    Ok(known)
}

async fn ask(store: &Store, known: &mut Known) -> anyhow::Result<()> {
    let service = store.service;
    let heads = store.outbox.seen().await?;
    let heads: Result<Vec<_>, _> = heads.iter().map(|head| SeenHead::from_wire(service.name(), head)).collect();
    known.seen.extend(heads?);
    if let Some(config) = store.config.as_ref().filter(|_| service == Service::Project) {
        known.tenants = Some(tenants(config).await?.into_iter().chain([PLATFORM.to_owned()]).collect());
    }
    // After the tenants: the entry of a new one waits, or is in the log already.
    let waiting = store.outbox.waiting().await?;
    known.waiting.extend(waiting.iter().map(|tenant| log_name(tenant).to_owned()));
    Ok(())
}

async fn tenants(store: &Arc<dyn ConfigStore>) -> anyhow::Result<Vec<String>> {
    let prefix = runwarden_project::TENANTS;
    let (mut tenants, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = store.list(prefix, after.as_deref(), PAGE).await?;
        tenants.extend(page.iter().filter_map(|entry| entry.key.strip_prefix(prefix)).map(str::to_owned));
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
            _ => return Ok(tenants),
        }
    }
}
