//! Reading a whole file of logs without being able to change it, as of one moment, also while the service runs.

use std::path::Path;

use runwarden_engines::Result;
use runwarden_engines::sqlite::read_only;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::{from_sql, query, to_sql};
use crate::merkle::TileId;
use crate::store::Columns;

/// A file opened for reading only.
#[derive(Debug)]
pub(crate) struct Scan {
    connection: SqliteConnection,
}

/// A record as it is stored.
#[derive(Debug)]
pub(crate) struct StoredRecord {
    pub(crate) index: u64,
    pub(crate) line: String,
    pub(crate) columns: Columns,
}

type RecordRow = (i64, String, String, i64, String, String, String, String, String, Option<String>);

impl Scan {
    pub(crate) async fn open(path: &Path) -> Result<Self> {
        let mut connection = read_only(path).await?.connect().await?;
        // One transaction for everything, so that the service may write meanwhile.
        sqlx::query("BEGIN").execute(&mut connection).await?;
        Ok(Self { connection })
    }

    /// What the engine itself finds wrong with the file, index pages included.
    pub(crate) async fn integrity(&mut self) -> Result<Vec<String>> {
        let mut found: Vec<String> =
            sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut self.connection).await?;
        found.retain(|line| line != "ok");
        Ok(found)
    }

    pub(crate) async fn tenants(&mut self) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(query::TENANTS).fetch_all(&mut self.connection).await?)
    }

    /// Checkpoints that cover more than so many records, smallest first.
    pub(crate) async fn checkpoints(
        &mut self,
        tenant: &str,
        above: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, String)>> {
        let above = above.map_or(Ok(-1), to_sql)?;
        let rows: Vec<(i64, String)> =
            sqlx::query_as("SELECT size, note FROM checkpoints WHERE tenant = ?1 AND size > ?2 ORDER BY size LIMIT ?3")
                .bind(tenant)
                .bind(above)
                .bind(limit)
                .fetch_all(&mut self.connection)
                .await?;
        rows.into_iter().map(|(size, note)| Ok((from_sql(size)?, note))).collect()
    }

    /// Records behind an index, in order.
    pub(crate) async fn records(&mut self, tenant: &str, behind: Option<u64>, limit: u32) -> Result<Vec<StoredRecord>> {
        let behind = behind.map_or(Ok(-1), to_sql)?;
        let rows: Vec<RecordRow> = sqlx::query_as(
            "SELECT idx, line, entry_id, occurred_at, principal, client_id, action, object_type, object_id, job \
             FROM records WHERE tenant = ?1 AND idx > ?2 ORDER BY idx LIMIT ?3",
        )
        .bind(tenant)
        .bind(behind)
        .bind(limit)
        .fetch_all(&mut self.connection)
        .await?;
        rows.into_iter()
            .map(|(index, line, entry_id, occurred_at, principal, client_id, action, object_type, object_id, job)| {
                let columns =
                    Columns { entry_id, occurred_at, principal, client_id, action, object_type, object_id, job };
                Ok(StoredRecord { index: from_sql(index)?, line, columns })
            })
            .collect()
    }

    /// The bytes of a tile.
    pub(crate) async fn tile(&mut self, tenant: &str, id: TileId) -> Result<Option<Vec<u8>>> {
        Ok(sqlx::query_scalar("SELECT hashes FROM tiles WHERE tenant = ?1 AND level = ?2 AND tile_index = ?3")
            .bind(tenant)
            .bind(i64::from(id.level))
            .bind(to_sql(id.index)?)
            .fetch_optional(&mut self.connection)
            .await?)
    }

    /// How many tiles there are.
    pub(crate) async fn count_tiles(&mut self, tenant: &str) -> Result<u64> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM tiles WHERE tenant = ?1")
            .bind(tenant)
            .fetch_one(&mut self.connection)
            .await?;
        from_sql(count)
    }

    pub(crate) async fn close(self) -> Result<()> {
        Ok(self.connection.close().await?)
    }
}
