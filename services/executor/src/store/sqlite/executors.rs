//! Executors that share the store.

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use rusqlite::params;

use super::SqliteRows;
use super::sql::{self, get};
use crate::store::Beat;
use crate::store::engine::{ExecutorRows, Serialise};

#[async_trait]
impl ExecutorRows for SqliteRows<'_> {
    async fn beat(&mut self, holder: &str) -> Result<()> {
        self.run(
            "INSERT INTO executors (holder, beat) VALUES (?, 1) ON CONFLICT (holder) DO UPDATE SET beat = beat + 1",
            params![holder],
        )?;
        Ok(())
    }

    async fn beats(&mut self, holder: &str) -> Result<Vec<Beat>> {
        let sql = "SELECT holder, beat FROM executors WHERE holder <> ?";
        let read = |row: &rusqlite::Row<'_>| Ok(Beat { holder: get(row, 0)?, beat: get(row, 1)? });
        sql::all(self.connection(), sql, params![holder], read)
    }

    async fn remove_executor(&mut self, gone: &Beat) -> Result<bool> {
        self.needs(|| Serialise::Holder(gone.holder.clone()));
        let removed =
            self.run("DELETE FROM executors WHERE holder = ? AND beat = ?", params![gone.holder, gone.beat])?;
        Ok(removed == 1)
    }

    async fn take_away(&mut self, holder: &str, due: Moment) -> Result<u64> {
        self.needs(|| Serialise::Holder(holder.to_owned()));
        let taken = self.run(
            "UPDATE jobs SET holder = NULL, fence = fence + 1, due_at = CASE WHEN due_at IS NULL THEN NULL ELSE ? END
             WHERE holder = ?",
            params![due.micros(), holder],
        )?;
        Ok(taken as u64)
    }
}
