//! Small state that is read everywhere, as etcd has it: keys in byte order, one revision for the whole store that only
//! grows, commits that happen wholly or not at all and only if their guards hold.
//!
//! Since the revision belongs to the store, a key that is deleted and made again never has a revision that it had
//! before: a guard, or a cache, from its earlier life does not fit the new one.
//!
//! What an engine promises is what `conformance` checks; every engine runs that one suite.

mod change;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

use std::fmt::Debug;

use async_trait::async_trait;

use crate::{Migration, Result, migrations};
pub(crate) use change::prefix_end;
pub use change::{Change, ChangeLimits, Guard, Write};

/// The tables of a config store, in engines that have tables.
pub(crate) const MIGRATIONS: &[Migration] = migrations!["config" => "0001_config", "0002_no_watch"];

/// A key with its value.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// The revision of the commit that wrote it last.
    pub revision: i64,
}

impl Debug for ConfigEntry {
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

impl Commit {
    /// Whether it happened.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. })
    }
}

/// What was written after a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The entries, oldest first.
    pub entries: Vec<ConfigEntry>,
    /// The store's revision when they were read.
    pub head: i64,
}

/// A config store.
#[async_trait]
pub trait ConfigStore: Debug + Send + Sync + 'static {
    /// Reads one key.
    async fn get(&self, key: &str) -> Result<Option<ConfigEntry>>;

    /// Reads up to `limit` entries whose keys begin with `prefix` and come after `after`, in the keys' byte order.
    /// They are one snapshot.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ConfigEntry>>;

    /// Counts the keys that begin with `prefix`.
    async fn count(&self, prefix: &str) -> Result<u64>;

    /// Does all of the change if all its guards hold, else nothing. Once begun it is carried to its end, even when
    /// the caller goes away.
    async fn commit(&self, change: Change) -> Result<Commit>;

    /// The revision of the last commit; 0 before the first.
    async fn revision(&self) -> Result<i64>;

    /// Reads the entries under `prefix` that were written after revision `after`, oldest first, and the store's revision.
    /// They are one snapshot: whoever asks from that revision on the next time misses nothing, and what it costs is what
    /// was written in between, under whichever prefix. What was deleted is not among them: this is for keys that stay,
    /// or whose values say when they end.
    async fn written_since(&self, prefix: &str, after: i64) -> Result<Written>;
}
