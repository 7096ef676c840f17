//! SQLite.

mod append;
mod logs;
mod query;
pub(crate) mod scan;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;

use runwarden_engines::{Result, StoreError};

pub use logs::SqliteLogStore;

/// SQLite's integers have a sign; a log that long cannot be.
fn to_sql(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| StoreError::Invalid("a number larger than any log can have"))
}

fn from_sql(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| StoreError::Corrupt(format!("{number}, which must not be negative")))
}
