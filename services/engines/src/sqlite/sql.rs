//! Statements and what they answer, with failures as callers are to see them.

use runwarden_kit::{Error, Result};
use rusqlite::types::{FromSql, ToSql, Value};
use rusqlite::{Connection, Params, Row, params_from_iter};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::StoreError;

/// So many rows are read, or looks taken into an index, before a thread of the runtime is given to others meanwhile.
pub const FEW: usize = 64;

/// What a failing store is to a caller.
#[must_use]
pub fn failed(error: rusqlite::Error) -> Error {
    StoreError::from(error).into()
}

/// Runs a statement. Answers how many rows it wrote or removed.
///
/// # Errors
/// When the store fails, as for all of these.
pub fn run(connection: &Connection, sql: &str, with: impl Params) -> Result<usize> {
    connection.prepare_cached(sql).and_then(|mut statement| statement.execute(with)).map_err(failed)
}

/// Reads the first row that there is.
pub fn one<T>(
    connection: &Connection,
    sql: &str,
    with: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(with).map_err(failed)?;
    rows.next().map_err(failed)?.map(read).transpose()
}

/// Reads the one row that there always is.
pub fn the<T>(
    connection: &Connection,
    sql: &str,
    with: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T>,
) -> Result<T> {
    one(connection, sql, with, read)?.ok_or_else(|| failed(rusqlite::Error::QueryReturnedNoRows))
}

/// Reads every row; those after [`FEW`] as [`at_length`].
pub fn all<T>(
    connection: &Connection,
    sql: &str,
    with: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(with).map_err(failed)?;
    let mut all = Vec::new();
    let mut read_up_to = |most: usize| -> Result<bool> {
        while all.len() < most {
            let Some(row) = rows.next().map_err(failed)? else { return Ok(false) };
            all.push(read(row)?);
        }
        Ok(true)
    };
    if read_up_to(FEW)? {
        at_length(|| read_up_to(usize::MAX))?;
    }
    Ok(all)
}

/// A column of a row.
pub fn get<T: FromSql>(row: &Row<'_>, column: usize) -> Result<T> {
    row.get(column).map_err(failed)
}

/// A column of text, where it lies.
pub fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str> {
    let value = row.get_ref(column).map_err(failed)?;
    value.as_str().map_err(|error| StoreError::Corrupt(format!("column {column}: {error}")).into())
}

/// Reads where more than a few rows may be looked at before one is found. Others that wait for this thread of the runtime
/// go on elsewhere; that takes two switches between threads, more than a look into an index.
pub fn at_length<T>(read: impl FnOnce() -> T) -> T {
    let is_of_many = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if is_of_many { tokio::task::block_in_place(read) } else { read() }
}

/// A statement that is put together from parts, with its values.
pub struct Assembled {
    sql: String,
    values: Vec<Value>,
}

impl Assembled {
    /// One that begins so.
    #[must_use]
    pub fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), values: Vec::new() }
    }

    /// Adds a part of the statement. It never comes from outside.
    pub fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// Adds a value.
    pub fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.sql.push('?');
        self.values.push(value.into());
        self
    }

    /// Adds a list of values in parentheses.
    pub fn list<V: Into<Value>>(&mut self, values: impl IntoIterator<Item = V>) -> &mut Self {
        self.sql.push('(');
        for (number, value) in values.into_iter().enumerate() {
            if number > 0 {
                self.sql.push_str(", ");
            }
            self.bind(value);
        }
        self.sql.push(')');
        self
    }

    /// The statement.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Its values.
    pub fn values(&self) -> impl Params + '_ {
        params_from_iter(self.values.iter().map(|value| value as &dyn ToSql))
    }
}
