//! Where Runwarden's state lives, behind one trait per need.
//!
//! [`Engines`] opens what a service needs on the engines that its settings name.
//!
//! - [`catalog`]: a service's records in a config store, typed, changed together with their audit entries.
//! - [`config`]: small state that is read everywhere: compare-and-swap on revisions, as etcd has it.
//! - [`sqlite`]: a SQLite database opened the way Runwarden needs it: durable, private, migrated.
//! - [`outbox`]: audit entries that become durable in the same commit as the change they tell of.
//! - [`idempotency`]: the first answer again for the same key and body.
//! - [`vault`]: secrets, sealed with a key of their tenant.
//! - [`watch`]: tells services that keep answers in memory which of them no longer hold.

pub mod catalog;
pub mod config;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod engines;
mod error;
pub mod idempotency;
mod migration;
pub mod outbox;
mod retry;
pub mod sqlite;
pub mod vault;
pub mod watch;

pub use engines::{Database, EngineSettings, Engines, NotOpened, OnDatabase, UnknownEngine};
pub use error::{Result, StoreError};
pub use migration::{Migration, Sql};
pub use retry::retrying;
