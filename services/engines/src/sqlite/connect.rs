//! How connections are opened that have no driver's thread between them and their users.

use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::BUSY_TIMEOUT;

/// How many prepared statements a connection keeps. A store has fewer.
const STATEMENTS: usize = 128;

/// A file, and what may be done to it.
#[derive(Clone, Debug)]
pub(super) struct Opener {
    pub(super) path: PathBuf,
    pub(super) access: Access,
}

/// What may be done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// It may be changed.
    Write,
    /// It may only be read, beside others that may change it.
    Read,
    /// It may only be read, and nothing changes it: it lies where nothing can be written.
    ReadUnchanging,
}

impl Opener {
    /// A connection that changes the file, if that is allowed.
    pub(super) fn writer(&self) -> rusqlite::Result<Connection> {
        let connection = self.open()?;
        // What savepoints remember stays in memory. The log is copied back into the file four times as rarely as by
        // default: it is the writer that waits for that.
        connection
            .execute_batch("PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192; PRAGMA wal_autocheckpoint = 4000")?;
        connection.busy_handler(Some(wait_for_the_other))?;
        Ok(connection)
    }

    /// A connection that can only read.
    pub(super) fn reader(&self) -> rusqlite::Result<Connection> {
        let connection = self.open()?;
        connection.execute_batch("PRAGMA query_only = ON")?;
        Ok(connection)
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = match self.access {
            Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
            Access::Read | Access::ReadUnchanging => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        // Each connection is used by one thread at a time, which its type sees to.
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = if self.access == Access::ReadUnchanging {
            Connection::open_with_flags(unchanging(&self.path), flags | OpenFlags::SQLITE_OPEN_URI)?
        } else {
            Connection::open_with_flags(&self.path, flags)?
        };
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // A plan does not depend on the values that are bound. Otherwise SQLite prepares a statement anew with each value
        // that it compares with the condition of a partial index.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        // As `open` beside this has them on the connections of the pools, for the reasons that it gives.
        connection.execute_batch("PRAGMA trusted_schema = OFF")?;
        if self.access == Access::Write {
            connection.execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
                 PRAGMA secure_delete = ON",
            )?;
        }
        Ok(connection)
    }
}

/// Waits for another process that writes the file, as long as [`BUSY_TIMEOUT`], and answers whether to try again. A process
/// that is busy lets go of the file for less than a millisecond between two commits: SQLite's own pauses, which grow to
/// a tenth of a second, would hardly ever meet that.
fn wait_for_the_other(tries: i32) -> bool {
    std::thread::sleep(std::time::Duration::from_millis(1));
    u128::try_from(tries).is_ok_and(|tries| tries < BUSY_TIMEOUT.as_millis())
}

/// The address of a file that nothing changes.
fn unchanging(path: &Path) -> String {
    let path = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{path}?immutable=1")
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn connections_share_no_memory_that_each_page_would_be_locked_for() {
        let connection = Connection::open_in_memory().unwrap();
        let mut options = connection.prepare("PRAGMA compile_options").unwrap();
        let options: Vec<String> = options.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        // As `.cargo/config.toml` has it compiled.
        assert!(!options.contains(&"ENABLE_MEMORY_MANAGEMENT".to_owned()), "{options:?}");
        assert!(options.contains(&"DEFAULT_MEMSTATUS=0".to_owned()), "{options:?}");
    }

    #[test]
    fn a_statement_is_prepared_once_whatever_values_are_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        Connection::open(&path)
            .unwrap()
            .execute_batch("CREATE TABLE t (rank INTEGER, id TEXT); CREATE INDEX some ON t (rank) WHERE rank >= 10")
            .unwrap();
        let opener = Opener { path, access: Access::Write };
        for connection in [opener.writer().unwrap(), opener.reader().unwrap()] {
            let mut statement = connection.prepare("SELECT count(*) FROM t WHERE rank >= ?").unwrap();
            for value in [1, 2, 11] {
                assert_eq!(statement.query_row([value], |row| row.get::<_, i64>(0)).unwrap(), 0);
            }
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
        }
    }
}
