//! SQLite the way Runwarden needs it: every commit on disk before it answers, one writer, many readers, migrated
//! forward only, and readable by the owning user alone.

mod config;
#[cfg(test)]
mod conformance;
mod connect;
mod error;
#[cfg(any(test, feature = "conformance"))]
mod faults;
mod group;
mod grouped;
pub mod outbox;
mod readers;
pub mod sql;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::migrate::{MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqlSafeStr};

pub use config::SqliteConfigStore;
#[cfg(any(test, feature = "conformance"))]
pub use faults::SqliteFaults;
pub use grouped::Grouped;
pub use readers::{Reader, Readers};
pub use writer::{OnStage, Stage, Writer};

use crate::{Migration, Result, StoreError};
use connect::{Access, Opener};

/// How long a writer waits for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a caller waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How many reads run at once.
const READERS: u32 = 4;

/// An open database. It has two pairs of doors: pools of a driver that gives each connection a thread, and
/// [`Database::grouped`], for stores with more to do than that can. Each pair costs nothing until it is used.
#[derive(Clone, Debug)]
pub struct Database {
    /// Exactly one connection: writes queue here instead of failing on each other.
    pub write: SqlitePool,
    /// Connections that can only read; they see the last commit and never wait for the writer.
    pub read: SqlitePool,
    begun: Arc<AtomicU64>,
    opener: Opener,
    grouped: Arc<OnceLock<Grouped>>,
}

impl Database {
    /// Begins a transaction that holds the file's one write lock from its beginning: what it reads stays true until it
    /// commits.
    pub async fn begin_write(&self) -> std::result::Result<sqlx::Transaction<'static, sqlx::Sqlite>, sqlx::Error> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.write.begin_with("BEGIN IMMEDIATE").await
    }

    /// How often [`Database::begin_write`] was called here: for tests of what should not need to.
    #[must_use]
    pub fn writes_begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// The way to the same file whose changes are committed in groups. Clones of this database share it.
    #[must_use]
    pub fn grouped(&self) -> &Grouped {
        self.grouped.get_or_init(|| Grouped::on(&self.opener))
    }

    /// Closes all connections, so that the file is whole without its write-ahead log.
    pub async fn close(&self) {
        self.read.close().await;
        // Also if it was not used: nobody is to begin with it now.
        self.grouped().close().await;
        self.write.close().await;
    }
}

/// Opens the database at `path`, making it (0600) and its folder (0700) if they are not there, and migrates it.
pub async fn open(path: &Path, migrations: &[Migration]) -> Result<Database> {
    make_private(path)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        // What was deleted shall not stay readable in free pages.
        .pragma("secure_delete", "ON")
        // A schema must not be able to run functions with side effects.
        .pragma("trusted_schema", "OFF");
    // Processes that share the file may start at the same time; each step is made by one of them.
    let turn = migrators_turn(path).await?;
    let migrating = pool(1).connect_with(options.clone()).await?;
    migrate(&migrating, migrations).await?;
    migrating.close().await;
    drop(turn);
    let write = pool(1).connect_lazy_with(options.clone());
    let read = pool(READERS).connect_lazy_with(options.pragma("query_only", "ON"));
    Ok(Database::of(write, read, path, Access::Write))
}

impl Database {
    fn of(write: SqlitePool, read: SqlitePool, path: &Path, access: Access) -> Self {
        let opener = Opener { path: path.to_owned(), access };
        Self { write, read, begun: Arc::default(), opener, grouped: Arc::default() }
    }
}

/// How to open the database at `path` for reading only, as it is: it is not migrated, and nobody can write through it.
/// Works beside the process that writes it, and on a copy on a medium that cannot be written.
pub async fn read_only(path: &Path) -> Result<SqliteConnectOptions> {
    Ok(looking_at(path).await?.0)
}

async fn looking_at(path: &Path) -> Result<(SqliteConnectOptions, Access)> {
    if !path.is_file() {
        return Err(StoreError::Unavailable(format!("{} is not a file", path.display()).into()));
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("trusted_schema", "OFF");
    let Err(error) = look(&options).await else { return Ok((options, Access::Read)) };
    // A medium that cannot be written has no place for SQLite's shared memory. Without a write-ahead log beside it, the
    // file is whole as it is.
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if Path::new(&log).exists() {
        return Err(error);
    }
    let options = options.immutable(true);
    look(&options).await.map(|()| (options, Access::ReadUnchanging))
}

async fn look(options: &SqliteConnectOptions) -> Result<()> {
    let mut connection = options.connect().await?;
    sqlx::query("SELECT count(*) FROM sqlite_schema").fetch_one(&mut connection).await?;
    Ok(connection.close().await?)
}

/// Opens the database at `path` as [`read_only`] says, behind the same two doors as others.
pub async fn open_read_only(path: &Path) -> Result<Database> {
    let (options, access) = looking_at(path).await?;
    let read = pool(1).connect_lazy_with(options);
    Ok(Database::of(read.clone(), read, path, access))
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_release(|connection, _| {
            Box::pin(async move {
                // A transaction that was given up is rolled back before this is answered.
                connection.ping().await?;
                // One that SQLite itself had ended already (the disk was full) cannot be: whoever used the connection
                // next would be inside a transaction that is never committed, and be told that all is well.
                Ok(!connection.is_in_transaction())
            })
        })
}

/// Waits until no other process migrates this database. The lock is on a file of its own: closing the database's own
/// would take SQLite's locks with it.
async fn migrators_turn(path: &Path) -> Result<std::fs::File> {
    let mut beside = path.as_os_str().to_owned();
    beside.push("-migrating");
    let locked = tokio::task::spawn_blocking(move || {
        let mut options = std::fs::OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&beside)?;
        file.lock()?;
        Ok::<_, std::io::Error>(file)
    });
    Ok(locked.await.map_err(StoreError::failed)??)
}

async fn migrate(migrating: &SqlitePool, migrations: &[Migration]) -> Result<()> {
    Migration::check(migrations)?;
    let migrations = migrations
        .iter()
        .map(|step| {
            sqlx::migrate::Migration::new(
                step.version,
                step.name.into(),
                MigrationType::Simple,
                step.sql.sqlite.into_sql_str(),
                false,
            )
        })
        .collect();
    Ok(Migrator::with_migrations(migrations).run(migrating).await?)
}

#[cfg(unix)]
fn make_private(path: &Path) -> Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    // SQLite gives its write-ahead log and shared memory the mode of the database file.
    let file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}

#[cfg(not(unix))]
fn make_private(path: &Path) -> Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sql;

    const FIRST: Migration =
        Migration::of_file("0001_first", Sql { sqlite: "CREATE TABLE a (x INTEGER NOT NULL) STRICT;" });
    const SECOND: Migration = Migration::of_file(
        "0002_second",
        Sql { sqlite: "CREATE TABLE b (x INTEGER NOT NULL REFERENCES a (rowid)) STRICT;" },
    );

    #[tokio::test]
    async fn a_database_is_made_private_durable_and_migrated_in_steps() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/service.db");
        let database = open(&path, &[FIRST]).await.unwrap();
        sqlx::query("INSERT INTO a (x) VALUES (1)").execute(&database.write).await.unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(mode(&dir.path().join("new/service.db-wal")), 0o600);
        for (pragma, want) in [("PRAGMA synchronous", 2_i64), ("PRAGMA foreign_keys", 1), ("PRAGMA secure_delete", 1)] {
            let got: i64 = sqlx::query_scalar(pragma).fetch_one(&database.write).await.unwrap();
            assert_eq!(got, want, "{pragma}");
        }
        let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&database.write).await.unwrap();
        assert_eq!(journal, "wal");
        database.close().await;

        let database = open(&path, &[FIRST, SECOND]).await.unwrap();
        let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM a").fetch_one(&database.read).await.unwrap();
        assert_eq!(kept, 1);
        sqlx::query("SELECT x FROM b").fetch_all(&database.read).await.unwrap();
    }

    #[tokio::test]
    async fn a_transaction_that_sqlite_ended_by_itself_spoils_no_later_one() {
        let dir = tempfile::tempdir().unwrap();
        let database = open(&dir.path().join("a.db"), &[FIRST]).await.unwrap();
        let mut tx = database.write.begin_with("BEGIN IMMEDIATE").await.unwrap();
        sqlx::query("INSERT INTO a (x) VALUES (1)").execute(&mut *tx).await.unwrap();
        // As on a full disk: the statement fails and takes the whole transaction with it.
        sqlx::query("INSERT OR ROLLBACK INTO a (x) VALUES (NULL)").execute(&mut *tx).await.unwrap_err();
        drop(tx);
        let mut tx = database.write.begin_with("BEGIN IMMEDIATE").await.unwrap();
        sqlx::query("INSERT INTO a (x) VALUES (7)").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = database.write.begin().await.unwrap();
        sqlx::query("INSERT INTO a (x) VALUES (8)").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        let kept: Vec<i64> = sqlx::query_scalar("SELECT x FROM a ORDER BY x").fetch_all(&database.read).await.unwrap();
        assert_eq!(kept, [7, 8], "what was said to be committed is");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn those_who_open_a_new_database_at_once_migrate_it_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let slow = Sql {
            sqlite: "CREATE TABLE b (x INTEGER) STRICT;
                     INSERT INTO b WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 20000)
                     SELECT x FROM n;
                     ALTER TABLE a ADD COLUMN y INTEGER;",
        };
        let slow = Migration::of_file("0002_slow", slow);
        let opened = (0..8).map(|_| {
            let path = path.clone();
            tokio::spawn(async move { open(&path, &[FIRST, slow]).await.map(drop) })
        });
        for opened in opened.collect::<Vec<_>>() {
            opened.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn readers_cannot_write() {
        let dir = tempfile::tempdir().unwrap();
        let database = open(&dir.path().join("a.db"), &[FIRST]).await.unwrap();
        sqlx::query("INSERT INTO a (x) VALUES (1)").execute(&database.read).await.unwrap_err();
    }

    #[tokio::test]
    async fn what_is_opened_for_reading_is_not_made_nor_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        assert!(open_read_only(&path).await.is_err());
        assert!(!path.exists());
        let running = open(&path, &[FIRST]).await.unwrap();
        sqlx::query("INSERT INTO a (x) VALUES (1)").execute(&running.write).await.unwrap();
        let reading = open_read_only(&path).await.unwrap();
        let seen: i64 = sqlx::query_scalar("SELECT x FROM a").fetch_one(&reading.read).await.unwrap();
        assert_eq!(seen, 1);
        sqlx::query("INSERT INTO a (x) VALUES (2)").execute(&reading.write).await.unwrap_err();
        reading.close().await;
        running.close().await;
        open_read_only(&path).await.unwrap();
    }

    #[tokio::test]
    async fn an_edited_migration_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        open(&path, &[FIRST]).await.unwrap().close().await;
        let edited = Migration { sql: Sql { sqlite: "CREATE TABLE a (y INTEGER) STRICT;" }, ..FIRST };
        assert!(matches!(open(&path, &[edited]).await, Err(StoreError::Failed(_))));
    }

    #[tokio::test]
    async fn a_database_of_a_newer_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        open(&path, &[FIRST, SECOND]).await.unwrap().close().await;
        assert!(matches!(open(&path, &[FIRST]).await, Err(StoreError::Failed(_))));
    }
}
