//! SQLite made to fail, for the conformance suites.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqlitePool};

use super::Database;
use crate::conformance::Faults;

/// The faults of some databases. A call is a step of SQLite's virtual machine: the statement that is cut off fails, and
/// takes the transaction it is in with it, as when a server closes the connection; and the connection is not used again.
#[derive(Debug, Default)]
pub struct SqliteFaults {
    databases: Vec<Database>,
    asked: Arc<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    no_commits: AtomicBool,
    /// 0 for never.
    lost_at: AtomicUsize,
    calls: AtomicUsize,
}

impl SqliteFaults {
    /// The faults of these databases.
    #[must_use]
    pub fn of(databases: impl IntoIterator<Item = Database>) -> Self {
        Self { databases: databases.into_iter().collect(), asked: Arc::default() }
    }

    async fn ask(&self, no_commits: bool, lost_at: usize) {
        self.asked.lost_at.store(0, Ordering::SeqCst);
        for database in &self.databases {
            self.hook(&database.write).await;
            self.hook(&database.read).await;
            self.hook_grouped(database).await;
        }
        self.asked.calls.store(0, Ordering::SeqCst);
        self.asked.no_commits.store(no_commits, Ordering::SeqCst);
        self.asked.lost_at.store(lost_at, Ordering::SeqCst);
    }

    /// Puts hooks into all connections, anew each time: a pool may have replaced some.
    #[expect(clippy::expect_used, reason = "a test that cannot make faults is to fail")]
    async fn hook(&self, pool: &SqlitePool) {
        for mut connection in all_of(pool).await {
            let mut handle = connection.lock_handle().await.expect("the connection is open");
            let asked = Arc::clone(&self.asked);
            handle.set_progress_handler(1, move || {
                asked.calls.fetch_add(1, Ordering::SeqCst) + 1 != asked.lost_at.load(Ordering::SeqCst)
            });
            let asked = Arc::clone(&self.asked);
            handle.set_commit_hook(move || !asked.no_commits.load(Ordering::SeqCst));
        }
    }

    #[expect(clippy::expect_used, reason = "a test that cannot make faults is to fail")]
    async fn hook_grouped(&self, database: &Database) {
        let grouped = database.grouped();
        for reader in grouped.readers.all().await.expect("all readers") {
            self.asked.hook(&reader);
        }
        let asked = Arc::clone(&self.asked);
        grouped.writer.outside(move |connection| connection.iter().for_each(|writer| asked.hook(writer))).await;
    }
}

impl Asked {
    #[expect(clippy::expect_used, reason = "a test that cannot make faults is to fail")]
    fn hook(self: &Arc<Self>, connection: &rusqlite::Connection) {
        let asked = Arc::clone(self);
        let is_lost = move || asked.calls.fetch_add(1, Ordering::SeqCst) + 1 == asked.lost_at.load(Ordering::SeqCst);
        connection.progress_handler(1, Some(is_lost)).expect("a hook");
        let asked = Arc::clone(self);
        connection.commit_hook(Some(move || asked.no_commits.load(Ordering::SeqCst))).expect("a hook");
    }
}

#[expect(clippy::expect_used, reason = "a test that cannot make faults is to fail")]
async fn all_of(pool: &SqlitePool) -> Vec<PoolConnection<Sqlite>> {
    let mut all = Vec::new();
    for _ in 0..pool.options().get_max_connections() {
        all.push(pool.acquire().await.expect("a connection"));
    }
    all
}

#[async_trait]
impl Faults for SqliteFaults {
    async fn fail_commits(&self) {
        self.ask(true, 0).await;
    }

    async fn lose_connection_at(&self, call: usize) {
        self.ask(false, call).await;
    }

    #[expect(clippy::expect_used, reason = "a test that cannot make faults is to fail")]
    async fn heal(&self) -> usize {
        self.asked.no_commits.store(false, Ordering::SeqCst);
        let lost_at = self.asked.lost_at.swap(0, Ordering::SeqCst);
        let calls = self.asked.calls.load(Ordering::SeqCst);
        if (1..=calls).contains(&lost_at) {
            for database in &self.databases {
                for connection in all_of(&database.write).await.into_iter().chain(all_of(&database.read).await) {
                    connection.close().await.expect("it can be closed");
                }
                for reader in database.grouped().readers.all().await.expect("all readers") {
                    reader.close();
                }
                database.grouped().writer.outside(|connection| *connection = None).await;
            }
        }
        calls
    }
}
