//! A running log in a temporary folder, for tests.

use std::path::PathBuf;
use std::sync::Arc;

use runwarden_kit::clock::{HeldClock, Moment};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{Doubts, Journal, JournalLimits, Reader, Writer};
use crate::note::SigningKey;
use crate::record::{Entry, examples};
use crate::signing_key;
use crate::store::{LogStore, SqliteLogStore};

pub(crate) struct Running {
    pub(crate) dir: TempDir,
    pub(crate) store: SqliteLogStore,
    pub(crate) key: Arc<SigningKey>,
    pub(crate) journal: Journal,
    pub(crate) doubts: Doubts,
    writer: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn within(dir: TempDir) -> Self {
        let store = SqliteLogStore::open(&crate::database_path(dir.path())).await.unwrap();
        let logs_exist = !store.tenants().await.unwrap().is_empty();
        let key = Arc::new(signing_key::read_or_make(dir.path(), logs_exist).unwrap());
        let clock = Arc::new(HeldClock::at(Moment::from_micros(1_795_327_200_000_000)));
        let (journal, writer) =
            Writer::start(Arc::new(store.for_writer()), key.clone(), clock, JournalLimits::default()).await.unwrap();
        let doubts = writer.doubts();
        let writer = tokio::spawn(writer.run());
        Self { dir, store, key, journal, doubts, writer }
    }

    pub(crate) fn path(&self) -> PathBuf {
        crate::database_path(self.dir.path())
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::new(Arc::new(self.store.clone()), self.key.clone())
    }

    /// Appends so many entries in one batch after those that are there, and returns when they are durable.
    pub(crate) async fn append(&self, tenant: &str, ids: std::ops::Range<u64>) {
        self.journal.append(entries(tenant, ids)).await.unwrap();
    }

    /// Stops in order; the folder stays.
    pub(crate) async fn stop(self) -> TempDir {
        drop(self.journal);
        self.writer.await.unwrap();
        self.store.close().await;
        self.dir
    }

    /// Stops the writer wherever it is, as a crash would.
    pub(crate) async fn crash(self) -> TempDir {
        self.writer.abort();
        let _ = self.writer.await;
        self.store.close().await;
        self.dir
    }
}

pub(crate) fn entries(tenant: &str, ids: std::ops::Range<u64>) -> Vec<(String, Entry)> {
    ids.map(|id| (tenant.to_owned(), examples::entry(&format!("rec_{id}")))).collect()
}
