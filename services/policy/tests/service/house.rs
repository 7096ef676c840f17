//! A policy service without its gRPC: real store, real workers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use runwarden_engines::catalog::Catalog;
use runwarden_engines::config::ConfigStore;
use runwarden_engines::outbox::ConfigOutbox;
use runwarden_engines::sqlite::SqliteConfigStore;
use runwarden_kit::audit::{Entry, Outbox};
use runwarden_kit::caller::{Caller, Grant, Scope};
use runwarden_kit::clock::{HeldClock, Moment};
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_policy::decision::Decider;
use runwarden_policy::library::Library;
use runwarden_policy::module::{Module, Owner};
use runwarden_policy::store::{ConfigModules, Edit, ModuleStore as _};
use runwarden_policy::worker::{Pool, Settings};
use runwarden_rego::decision::Decision;
use runwarden_rego::question::Question;
use serde_json::{Value, json};

pub(crate) struct House {
    pub(crate) library: Library,
    pub(crate) decider: Decider,
    pub(crate) outbox: ConfigOutbox,
    pub(crate) clock: Arc<HeldClock>,
    modules: Arc<ConfigModules>,
    _folder: tempfile::TempDir,
}

impl House {
    pub(crate) async fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.db");
        let store: Arc<dyn ConfigStore> = Arc::new(SqliteConfigStore::open(&path).await.unwrap());
        let pool = Arc::new(Pool::new(Settings {
            command: PathBuf::from(env!("CARGO_BIN_EXE_runwarden-policy")),
            workers: 2,
            memory_bytes: 512 * 1024 * 1024,
            decision: Duration::from_secs(20),
            compilation: Duration::from_secs(20),
            queue: Duration::from_secs(20),
        }));
        let clock = Arc::new(HeldClock::at(Moment::from_micros(1_763_000_000_000_000)));
        let outbox = ConfigOutbox::new(Arc::clone(&store));
        let entries = Outbox::undrained(Arc::new(outbox.clone()));
        let modules = Arc::new(ConfigModules::new(Catalog::new(store, entries.clone())));
        Self {
            library: Library::new(modules.clone(), pool.clone(), entries, clock.clone()),
            decider: Decider::new(modules.clone(), pool, clock.clone()),
            outbox,
            clock,
            modules,
            _folder: folder,
        }
    }

    pub(crate) async fn put(&self, caller: &Caller, name: &str, rules: &str) -> Module {
        let rego = format!("package runwarden.authz\n{rules}\n");
        self.library.put(caller, name, &rego, 0).await.unwrap().module
    }

    /// Stores a module that nobody has looked at.
    pub(crate) async fn store_unseen(&self, name: &str, rules: &str) {
        let owner = Owner::of(Some(&TenantId::trusted("acme")));
        let rego = format!("package runwarden.authz\n{rules}\n");
        let module = Module {
            name: name.to_owned(),
            digest: runwarden_kit::json::sha256_hex(rego.as_bytes()),
            rego,
            revision: 1,
            updated_at: Moment::from_micros(0),
            updated_by: "sa_1".to_owned(),
        };
        let shelf = self.modules.shelf(&owner).await.unwrap();
        let entry = Entry { entry_id: format!("rec_{name}"), ..Entry::default() };
        self.modules.save(&owner, &shelf, Edit::Put(module), entry).await.unwrap();
    }

    pub(crate) async fn ask(&self, caller: &Caller, parameters: Value) -> Decision {
        self.decider.decide(caller, &question(parameters)).await.unwrap()
    }

    pub(crate) async fn entries(&self) -> Vec<Entry> {
        self.outbox.pending_of_all().await.unwrap()
    }
}

pub(crate) fn question(parameters: Value) -> Question {
    let Value::Object(parameters) = parameters else {
        panic!("parameters are an object");
    };
    Question {
        tenant: TenantId::trusted("acme"),
        project: "web".to_owned(),
        action: Permission::JobsSubmit,
        template: "deploy".to_owned(),
        controller: "awx".to_owned(),
        parameters,
    }
}

/// Somebody with one role at one scope.
pub(crate) fn somebody(role: &str, permissions: &[&str], at: Scope) -> Caller {
    let mut caller = Caller::example(&[], at.clone());
    caller.grants = vec![Grant {
        role: role.to_owned(),
        scope: at.into(),
        permissions: permissions.iter().map(|name| (*name).to_owned()).collect(),
    }];
    caller
}

pub(crate) fn launcher() -> Caller {
    somebody("launcher", &["jobs.submit"], Scope::project(&TenantId::trusted("acme"), "web"))
}

pub(crate) fn admin() -> Caller {
    somebody(
        "tenant-admin",
        &["jobs.submit", "policies.read", "policies.write"],
        Scope::tenant(&TenantId::trusted("acme")),
    )
}

pub(crate) fn platform_admin() -> Caller {
    somebody("platform-admin", &["jobs.submit", "policies.read", "policies.write"], Scope::platform())
}

pub(crate) fn environment(name: &str) -> Value {
    json!({"environment": name})
}
