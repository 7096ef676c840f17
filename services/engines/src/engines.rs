//! Which engines a service's state lives on. They are named in its settings and looked up here, once: what opens a store
//! asks [`Engines`], and gets a trait or a [`Database`] from which it builds its own.

use std::fmt::{self, Debug};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use runwarden_kit::audit::OutboxStore;
use runwarden_kit::service::ServiceKit;

use crate::config::ConfigStore;
use crate::idempotency::{Idempotency, Pepper};
use crate::outbox::ConfigOutbox;
use crate::sqlite::{OnStage, SqliteConfigStore};
use crate::vault::{OpenError, SealedVault, Vault, VaultOptions};
use crate::{Migration, StoreError, sqlite};

/// Where a service's state lives.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// The folder of the service: the files of embedded engines are in it.
    pub folder: PathBuf,
    /// The engine of small state that is read everywhere.
    pub config: String,
    /// The engine of tables.
    pub database: String,
    /// The engine of secrets.
    pub vault: String,
    /// Whether state is only to be looked at, also beside the process that changes it.
    pub read_only: bool,
}

impl EngineSettings {
    /// Everything on embedded engines, in this folder.
    pub fn embedded(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            config: "sqlite".to_owned(),
            database: "sqlite".to_owned(),
            vault: "sealed".to_owned(),
            read_only: false,
        }
    }

    /// The same, only to be looked at.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }
}

/// The settings name an engine that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no engine \"{name}\" for {what}; use {known}")]
pub struct UnknownEngine {
    /// What it was to keep.
    pub what: &'static str,
    /// What the settings say.
    pub name: String,
    /// What they may say.
    pub known: String,
}

/// A store does not open.
#[derive(Debug, thiserror::Error)]
#[error("opening {place}")]
pub struct NotOpened {
    /// Where it is.
    pub place: String,
    /// Why.
    #[source]
    pub source: StoreError,
}

#[derive(Clone, Copy, Debug)]
enum ConfigEngine {
    Sqlite,
}

#[derive(Clone, Copy, Debug)]
enum DatabaseEngine {
    Sqlite,
}

#[derive(Clone, Copy, Debug)]
enum VaultEngine {
    Sealed,
}

/// The engines of a service.
#[derive(Clone, Debug)]
pub struct Engines {
    folder: PathBuf,
    read_only: bool,
    config: ConfigEngine,
    database: DatabaseEngine,
    vault: VaultEngine,
}

impl Engines {
    /// The engines of a service that is built.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of(kit: &ServiceKit) -> Result<Self, UnknownEngine> {
        Self::open(EngineSettings::embedded(&kit.data_dir))
    }

    /// The engines that the settings name. Nothing is opened or connected to yet.
    ///
    /// # Errors
    /// When there is no engine of a name.
    pub fn open(settings: EngineSettings) -> Result<Self, UnknownEngine> {
        Ok(Self {
            config: known("the config store", &settings.config, &[("sqlite", ConfigEngine::Sqlite)])?,
            database: known("the database", &settings.database, &[("sqlite", DatabaseEngine::Sqlite)])?,
            vault: known("the vault", &settings.vault, &[("sealed", VaultEngine::Sealed)])?,
            folder: settings.folder,
            read_only: settings.read_only,
        })
    }

    /// Opens a config store. `file` is where an embedded engine keeps it: a name in the service's folder, or a path.
    ///
    /// # Errors
    /// When it does not open.
    pub async fn config(&self, file: impl AsRef<Path>) -> Result<Arc<dyn ConfigStore>, NotOpened> {
        match self.config {
            ConfigEngine::Sqlite => {
                let path = self.file(file)?;
                let opened = if self.read_only {
                    SqliteConfigStore::open_read_only(&path).await
                } else {
                    SqliteConfigStore::open(&path).await
                };
                Ok(Arc::new(opened.map_err(|source| not_opened(&path, source))?))
            }
        }
    }

    /// Opens a database, migrated to where these steps lead. `file` is where an embedded engine keeps it: a name in the
    /// service's folder, or a path.
    ///
    /// # Errors
    /// When it does not open, or is of a newer version.
    pub async fn database(&self, file: impl AsRef<Path>, steps: &[Migration]) -> Result<Database, NotOpened> {
        match self.database {
            DatabaseEngine::Sqlite => {
                let path = self.file(file)?;
                let opened =
                    if self.read_only { sqlite::open_read_only(&path).await } else { sqlite::open(&path, steps).await };
                Ok(Database(Opened::Sqlite(opened.map_err(|source| not_opened(&path, source))?)))
            }
        }
    }

    /// Where a file of an embedded engine is.
    ///
    /// # Errors
    /// When it is not there, but the one that earlier versions made is: to begin an empty one beside it would forget
    /// jobs that were accepted and keys of requests that were answered.
    fn file(&self, name: impl AsRef<Path>) -> Result<PathBuf, NotOpened> {
        let path = self.folder.join(name);
        let earlier = path.with_extension("sqlite");
        if path != earlier && !path.exists() && earlier.exists() {
            let why = format!("{} is of an earlier version; rename it, and its -wal and -shm files", earlier.display());
            return Err(not_opened(&path, StoreError::failed(why)));
        }
        Ok(path)
    }

    /// The outbox in a config store.
    #[must_use]
    pub fn outbox(&self, store: &Arc<dyn ConfigStore>) -> Arc<dyn OutboxStore> {
        Arc::new(ConfigOutbox::new(Arc::clone(store)))
    }

    /// The answers that are kept in a config store for requests that come again.
    #[must_use]
    pub fn idempotency(&self, store: &Arc<dyn ConfigStore>, pepper: Pepper) -> Idempotency {
        Idempotency::new(Arc::clone(store), pepper)
    }

    /// Opens a vault. Call [`Vault::resume_rotation`] next.
    ///
    /// # Errors
    /// When it does not open: above all when its keys are missing or are others.
    pub async fn vault(&self, options: VaultOptions) -> Result<Arc<dyn Vault>, OpenError> {
        match self.vault {
            VaultEngine::Sealed => Ok(Arc::new(SealedVault::open(options).await?)),
        }
    }
}

/// Looks an engine up by its name.
fn known<E: Copy>(what: &'static str, name: &str, engines: &[(&str, E)]) -> Result<E, UnknownEngine> {
    let names = || engines.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" or ");
    let found = engines.iter().find(|(known, _)| *known == name).map(|(_, engine)| *engine);
    found.ok_or_else(|| UnknownEngine { what, name: name.to_owned(), known: names() })
}

fn not_opened(path: &Path, source: StoreError) -> NotOpened {
    NotOpened { place: path.display().to_string(), source }
}

/// An open database, of whichever engine.
#[derive(Clone)]
pub struct Database(Opened);

#[derive(Clone)]
enum Opened {
    Sqlite(sqlite::Database),
}

/// What a service builds on a database: one function for each engine that has tables, so that a service that lacks one
/// does not compile.
pub trait OnDatabase: Sized {
    /// On SQLite.
    fn on_sqlite(database: sqlite::Database) -> Self;
}

impl Database {
    /// The service's own stores on it.
    #[must_use]
    pub fn stores<S: OnDatabase>(&self) -> S {
        match &self.0 {
            Opened::Sqlite(database) => S::on_sqlite(database.clone()),
        }
    }

    /// Has this called at each stage of each group of changes that is committed together.
    pub fn on_stage(&self, call: OnStage) {
        match &self.0 {
            Opened::Sqlite(database) => database.grouped().writer.on_stage(call),
        }
    }

    /// Closes it, when everything that is under way is done.
    pub async fn close(&self) {
        match &self.0 {
            Opened::Sqlite(database) => database.close().await,
        }
    }
}

impl Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An address may hold a password.
        let engine = match &self.0 {
            Opened::Sqlite(_) => "SQLite",
        };
        write!(f, "Database({engine})")
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::config::Change;

    const TABLE: &[Migration] =
        &[Migration::of_file("0001_table", crate::Sql { sqlite: "CREATE TABLE a (x INTEGER NOT NULL) STRICT;" })];

    struct Rows(sqlite::Database);

    impl OnDatabase for Rows {
        fn on_sqlite(database: sqlite::Database) -> Self {
            Self(database)
        }
    }

    impl Rows {
        async fn add(&self) -> crate::Result<i64> {
            sqlx::query("INSERT INTO a (x) VALUES (1)").execute(&self.0.write).await?;
            Ok(sqlx::query_scalar("SELECT count(*) FROM a").fetch_one(&self.0.read).await?)
        }
    }

    #[test]
    fn an_engine_that_there_is_not_is_named_with_those_there_are() {
        let embedded = || EngineSettings::embedded("nowhere");
        let wrong = [
            EngineSettings { config: "etcd3".to_owned(), ..embedded() },
            EngineSettings { database: "oracle".to_owned(), ..embedded() },
            EngineSettings { vault: String::new(), ..embedded() },
        ];
        let said = wrong.map(|settings| Engines::open(settings).map(drop).unwrap_err().to_string());
        assert_eq!(
            said,
            [
                "there is no engine \"etcd3\" for the config store; use sqlite",
                "there is no engine \"oracle\" for the database; use sqlite",
                "there is no engine \"\" for the vault; use sealed",
            ]
        );
        Engines::open(embedded()).unwrap();
    }

    #[tokio::test]
    async fn no_empty_store_is_begun_beside_one_of_an_earlier_version() {
        let folder = tempfile::tempdir().unwrap();
        let engines = Engines::open(EngineSettings::embedded(folder.path())).unwrap();
        for name in ["jobs", "config"] {
            std::fs::write(folder.path().join(name).with_extension("sqlite"), "").unwrap();
        }
        let refused = engines.database("jobs.db", TABLE).await.map(drop).unwrap_err();
        assert!(refused.source.source().unwrap().to_string().contains("jobs.sqlite is of an earlier version"));
        engines.config("config.db").await.map(drop).unwrap_err();
        assert!(!folder.path().join("jobs.db").exists() && !folder.path().join("config.db").exists());
        std::fs::rename(folder.path().join("jobs.sqlite"), folder.path().join("jobs.db")).unwrap();
        engines.database("jobs.db", TABLE).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_opened_is_there_the_next_time_and_can_be_looked_at_beside() {
        let folder = tempfile::tempdir().unwrap();
        let engines = Engines::open(EngineSettings::embedded(folder.path())).unwrap();
        let beside = Engines::open(EngineSettings::embedded(folder.path()).read_only()).unwrap();
        let missing = beside.config("config.db").await.map(drop).unwrap_err();
        assert!(missing.to_string().ends_with("config.db"), "{missing}");
        assert!(!folder.path().join("config.db").exists(), "looking makes nothing");

        let config = engines.config("config.db").await.unwrap();
        let mut change = Change::new();
        change.put("a", b"1");
        config.commit(change.clone()).await.unwrap();
        let looked = beside.config("config.db").await.unwrap();
        assert_eq!(looked.get("a").await.unwrap().unwrap().value, b"1");
        assert!(looked.commit(change).await.is_err());

        let database = engines.database(folder.path().join("rows.db"), TABLE).await.unwrap();
        assert_eq!(database.stores::<Rows>().add().await.unwrap(), 1);
        let looked = beside.database("rows.db", TABLE).await.unwrap();
        looked.stores::<Rows>().add().await.unwrap_err();
        database.close().await;
        assert!(matches!(database.stores::<Rows>().add().await, Err(StoreError::Unavailable(_))));
    }
}
