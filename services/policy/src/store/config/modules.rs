//! Modules in a config store: `policies/<owner>/<name>` each, and `policies/<owner>/_head` that
//! names them all and is written with every change.

use async_trait::async_trait;
use runwarden_engines::StoreError;
use runwarden_engines::catalog::{self, Catalog, Stored};
use runwarden_engines::config::{Change, Commit};
use runwarden_engines::watch::Concern;
use runwarden_kit::audit::Entry;
use runwarden_kit::clock::Moment;
use runwarden_kit::{Error, Result, json};
use serde::{Deserialize, Serialize};

use crate::module::{Head, MAX_MODULES, Module, Named, Owner, Shelf};
use crate::store::{Edit, ModuleStore, Saved};

/// No module is called so: names are slugs.
const HEAD: &str = "_head";

/// Modules in a config store.
#[derive(Clone)]
pub struct ConfigModules {
    catalog: Catalog,
}

impl ConfigModules {
    /// The modules in this catalogue.
    #[must_use]
    pub fn new(catalog: Catalog) -> Self {
        Self { catalog }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredModule {
    rego: String,
    /// Modules that were stored before each had its own go on from the store's.
    #[serde(default)]
    revision: Option<i64>,
    updated_at: Moment,
    updated_by: String,
}

#[derive(Serialize, Deserialize)]
struct StoredHead {
    modules: Vec<Named>,
    #[serde(default)]
    highest_removed: i64,
}

fn prefix(owner: &Owner) -> String {
    format!("policies/{}/", owner.key())
}

/// Who has to hear that a key was changed: whoever keeps the modules of its owner.
pub(crate) fn concern(key: &str) -> Concern<'_> {
    match key.strip_prefix("policies/").and_then(|rest| rest.split_once('/')) {
        Some((owner, _)) => Concern::Tenant(owner),
        None => Concern::Everyone,
    }
}

fn key(owner: &Owner, name: &str) -> String {
    format!("{}{name}", prefix(owner))
}

fn module(stored: Stored<StoredModule>, name: &str) -> Module {
    let Stored { value: module, revision, .. } = stored;
    Module {
        name: name.to_owned(),
        digest: json::sha256_hex(module.rego.as_bytes()),
        rego: module.rego,
        revision: module.revision.unwrap_or(revision),
        updated_at: module.updated_at,
        updated_by: module.updated_by,
    }
}

#[async_trait]
impl ModuleStore for ConfigModules {
    async fn head(&self, owner: &Owner) -> Result<Head> {
        let head = self.catalog.get::<StoredHead>(&key(owner, HEAD)).await?;
        Ok(match head {
            None => Head { revision: 0, modules: Vec::new() },
            Some(Stored { value, revision, .. }) => Head { revision, modules: value.modules },
        })
    }

    async fn shelf(&self, owner: &Owner) -> Result<Shelf> {
        let prefix = prefix(owner);
        let mut shelf = Shelf { revision: 0, highest_removed: 0, modules: Vec::new() };
        let all = self.catalog.entries(&prefix, MAX_MODULES.saturating_add(1)).await?;
        let mut named = Vec::new();
        for entry in all {
            match entry.key.strip_prefix(&prefix).map(str::to_owned).as_deref() {
                Some(HEAD) => {
                    let head = catalog::read::<StoredHead>(entry)?;
                    shelf.revision = head.revision;
                    (named, shelf.highest_removed) = (head.value.modules, head.value.highest_removed);
                }
                Some(name) => shelf.modules.push(module(catalog::read(entry)?, name)),
                None => {}
            }
        }
        // What decides is what the head names: a store that was tampered with decides nothing.
        if shelf.named() != named {
            return Err(Error::from(StoreError::Corrupt(format!(
                "the modules under {prefix} are not those its head names"
            ))));
        }
        Ok(shelf)
    }

    async fn save(&self, owner: &Owner, read: &Shelf, edit: Edit, entry: Entry) -> Result<Saved> {
        let mut change = Change::new();
        let head = key(owner, HEAD);
        if read.revision == 0 {
            change.absent(head.as_str());
        } else {
            change.at(head.as_str(), read.revision);
        }
        let mut named = read.named();
        let mut highest_removed = read.highest_removed;
        match edit {
            Edit::Put(module) => {
                named.retain(|other| other.name != module.name);
                named.push(Named { name: module.name.clone(), digest: module.digest });
                named.sort_by(|one, other| one.name.cmp(&other.name));
                let stored = StoredModule {
                    rego: module.rego,
                    revision: Some(module.revision),
                    updated_at: module.updated_at,
                    updated_by: module.updated_by,
                };
                catalog::put(&mut change, key(owner, &module.name), &stored)?;
            }
            Edit::Remove(name) => {
                named.retain(|other| other.name != name);
                let removed = read.find(&name).map_or(0, |module| module.revision);
                highest_removed = highest_removed.max(removed);
                change.delete(key(owner, &name));
            }
        }
        catalog::put(&mut change, head, &StoredHead { modules: named, highest_removed })?;
        match self.catalog.commit(change, &entry).await? {
            Commit::Done { .. } => Ok(Saved::Done),
            Commit::Refused { .. } => Ok(Saved::Overtaken),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use runwarden_engines::config::ConfigStore;
    use runwarden_engines::outbox::ConfigOutbox;
    use runwarden_engines::sqlite::SqliteConfigStore;
    use runwarden_kit::audit::Outbox;
    use runwarden_kit::tenant::TenantId;

    use super::*;

    async fn open(folder: &tempfile::TempDir) -> (Arc<dyn ConfigStore>, ConfigModules) {
        let path = folder.path().join("config.db");
        let store: Arc<dyn ConfigStore> = Arc::new(SqliteConfigStore::open(&path).await.unwrap());
        let outbox = Outbox::undrained(Arc::new(ConfigOutbox::new(Arc::clone(&store))));
        (Arc::clone(&store), ConfigModules::new(Catalog::new(store, outbox)))
    }

    fn module(name: &str, rego: &str) -> Module {
        Module {
            name: name.to_owned(),
            rego: rego.to_owned(),
            digest: json::sha256_hex(rego.as_bytes()),
            revision: 1,
            updated_at: Moment::from_micros(1_000_000),
            updated_by: "sa_1".to_owned(),
        }
    }

    fn entry(id: &str) -> Entry {
        Entry { entry_id: id.to_owned(), ..Entry::default() }
    }

    #[tokio::test]
    async fn modules_are_kept_by_owner_with_their_head_and_record() {
        let folder = tempfile::tempdir().unwrap();
        let (store, modules) = open(&folder).await;
        let acme = Owner::of(Some(&TenantId::trusted("acme")));
        for (index, name) in ["b", "0a", "z"].iter().enumerate() {
            let shelf = modules.shelf(&acme).await.unwrap();
            let put = Edit::Put(module(name, &format!("package {name}")));
            let saved = modules.save(&acme, &shelf, put, entry(&format!("rec_{index}"))).await.unwrap();
            let shelf = modules.shelf(&acme).await.unwrap();
            assert_eq!(saved, Saved::Done);
            let head = modules.head(&acme).await.unwrap();
            assert_eq!(head.modules, shelf.named());
            assert_eq!(head.digest(), shelf.digest());
        }
        let names = |shelf: &Shelf| -> Vec<String> { shelf.modules.iter().map(|module| module.name.clone()).collect() };
        let shelf = modules.shelf(&acme).await.unwrap();
        assert_eq!(names(&shelf), ["0a", "b", "z"]);
        for other in
            [Owner::Platform, Owner::of(Some(&TenantId::trusted("acm"))), Owner::of(Some(&TenantId::trusted("acme2")))]
        {
            assert!(modules.shelf(&other).await.unwrap().modules.is_empty());
            assert_eq!(modules.head(&other).await.unwrap().revision, 0);
        }
        modules.save(&acme, &shelf, Edit::Remove("b".to_owned()), entry("rec_9")).await.unwrap();
        assert_eq!(names(&modules.shelf(&acme).await.unwrap()), ["0a", "z"]);
        assert_eq!(ConfigOutbox::new(store).pending_of_all().await.unwrap().len(), 4);
    }

    #[tokio::test]
    async fn a_shelf_that_changed_meanwhile_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let (_, modules) = open(&folder).await;
        let acme = Owner::of(Some(&TenantId::trusted("acme")));
        let read = modules.shelf(&acme).await.unwrap();
        let put = |name| Edit::Put(module(name, "package x"));
        assert_eq!(modules.save(&acme, &read, put("a"), entry("rec_1")).await.unwrap(), Saved::Done);
        assert_eq!(modules.save(&acme, &read, put("b"), entry("rec_2")).await.unwrap(), Saved::Overtaken);
        let read = modules.shelf(&acme).await.unwrap();
        assert!(read.find("b").is_none());
    }

    #[tokio::test]
    async fn a_shelf_that_does_not_fit_its_head_decides_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (store, modules) = open(&folder).await;
        let mut change = Change::new();
        change.put("policies/acme/sneaked", b"{}".to_vec());
        store.commit(change).await.unwrap();
        modules.shelf(&Owner::of(Some(&TenantId::trusted("acme")))).await.unwrap_err();
    }
}
