//! Small state that is read everywhere and watched, as etcd has it: keys in byte order, one revision for the whole
//! store that only grows, commits that happen wholly or not at all and only if their guards hold.
//!
//! What an engine promises is what `conformance` checks; every engine runs that one suite.

mod change;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod sqlite;

use std::fmt::Debug;

use async_trait::async_trait;

pub use change::{Change, Guard, Limits, Write};
pub use sqlite::SqliteConfigStore;

use crate::Result;

/// A key with its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// The revision of the commit that wrote it last.
    pub revision: i64,
}

impl Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be sealed secrets and hashes: they have no place in a log.
        write!(f, "Entry({} @{}, {} bytes)", self.key, self.revision, self.value.len())
    }
}

/// How a commit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// All of it happened.
    Done {
        /// The store's revision, which everything it wrote now has.
        revision: i64,
    },
    /// Nothing happened: this guard did not hold.
    Refused {
        /// The key or prefix the guard was about; the first one, if several did not hold.
        key: String,
    },
}

/// What happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It has this value now.
    Put(Entry),
    /// It is gone.
    Deleted {
        /// The key.
        key: String,
        /// The revision of the commit that deleted it.
        revision: i64,
    },
}

impl Event {
    /// The key it is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Deleted { key, .. } => key,
        }
    }

    /// When it happened.
    pub fn revision(&self) -> i64 {
        match self {
            Self::Put(entry) => entry.revision,
            Self::Deleted { revision, .. } => *revision,
        }
    }
}

/// Follows the keys under a prefix.
#[async_trait]
pub trait Watch: Send {
    /// Waits for changes and answers them by revision, at least one. Every key that changed is named with its latest
    /// state; states in between may be left out. Dropping the future loses nothing.
    ///
    /// [`StoreError::Compacted`](crate::StoreError::Compacted) means that too much was missed: list, and watch from
    /// there.
    async fn next(&mut self) -> Result<Vec<Event>>;

    /// Up to which revision everything was told; a new watch from here goes on without a gap.
    fn revision(&self) -> i64;
}

/// A config store.
#[async_trait]
pub trait ConfigStore: Debug + Send + Sync + 'static {
    /// Reads one key.
    async fn get(&self, key: &str) -> Result<Option<Entry>>;

    /// Reads up to `limit` entries whose keys begin with `prefix` and come after `after`, in the keys' byte order.
    /// They are one snapshot.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>>;

    /// Counts the keys that begin with `prefix`.
    async fn count(&self, prefix: &str) -> Result<u64>;

    /// Does all of the change if all its guards hold, else nothing. Once begun it is carried to its end, even when
    /// the caller goes away.
    async fn commit(&self, change: Change) -> Result<Commit>;

    /// The revision of the last commit; 0 before the first.
    async fn revision(&self) -> Result<i64>;

    /// Follows the keys under `prefix`, from the first change after revision `after` on.
    fn watch(&self, prefix: &str, after: i64) -> Box<dyn Watch>;
}
