//! What SQLite's result codes, and the errors of the two drivers, mean.

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;

use crate::StoreError;

/// Primary result codes, which are the low byte of what SQLite answers; the rest refines them.
mod primary {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const NOMEM: i32 = 7;
    pub(super) const READONLY: i32 = 8;
    pub(super) const INTERRUPT: i32 = 9;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const PROTOCOL: i32 = 15;
    pub(super) const TOOBIG: i32 = 18;
    pub(super) const NOTADB: i32 = 26;
}

/// Extended result codes: the constraints that somebody who was faster makes one break. A trigger that refuses stands
/// for a rule of the rows, such as that a record comes right after the last one.
mod constraint {
    pub(super) const PRIMARY_KEY: i32 = 1555;
    pub(super) const TRIGGER: i32 = 1811;
    pub(super) const UNIQUE: i32 = 2067;
    pub(super) const ROWID: i32 = 2579;
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => of_database(error),
            sqlx::Error::Io(error) => error.into(),
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Unavailable(error.into())
            }
            // Tables are strict, so a column that does not read was not written by us.
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Corrupt(error.to_string()),
            sqlx::Error::Migrate(error) => (*error).into(),
            _ => Self::Failed(error.into()),
        }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            _ => Self::Failed(error.into()),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error;
        match error {
            Error::SqliteFailure(ref failure, _) | Error::SqlInputError { error: ref failure, .. } => {
                of_code(failure.extended_code, error.to_string(), error)
            }
            // Tables are strict, so a column that does not read was not written by us.
            Error::InvalidColumnType(..)
            | Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::Utf8Error(..) => Self::Corrupt(error.to_string()),
            _ => Self::Failed(error.into()),
        }
    }
}

/// The same failure, for another who met it.
pub(super) fn copy(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(failure, said) => rusqlite::Error::SqliteFailure(*failure, said.clone()),
        other => rusqlite::Error::ToSqlConversionFailure(other.to_string().into()),
    }
}

fn of_database(error: Box<dyn DatabaseError>) -> StoreError {
    let code = error.code().and_then(|code| code.parse().ok()).unwrap_or(0);
    of_code(code, error.to_string(), error.into_error())
}

/// What an extended result code means, of a failure that says this.
fn of_code(code: i32, said: String, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    let error = error.into();
    match code {
        constraint::PRIMARY_KEY | constraint::TRIGGER | constraint::UNIQUE | constraint::ROWID => {
            return StoreError::Conflict(error);
        }
        _ => {}
    }
    match code & 0xff {
        primary::BUSY | primary::LOCKED => StoreError::Retry(error),
        primary::FULL => StoreError::Full(error),
        primary::CORRUPT | primary::NOTADB => StoreError::Corrupt(said),
        primary::TOOBIG => StoreError::Invalid("a value that is too long for SQLite"),
        // A file system that had errors is often made read-only until somebody looks at it.
        primary::READONLY
        | primary::NOMEM
        | primary::INTERRUPT
        | primary::IOERR
        | primary::CANTOPEN
        | primary::PROTOCOL => StoreError::Unavailable(error),
        _ => StoreError::Failed(error),
    }
}

#[cfg(test)]
mod tests;
