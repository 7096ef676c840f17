//! Adding to logs: one transaction for everything that belongs together.

use runwarden_engines::{Result, retrying};
use sqlx::{Sqlite, SqlitePool, Transaction};

use super::to_sql;
use crate::store::{Batch, Columns};

pub(super) async fn append(pool: &SqlitePool, batches: &[Batch]) -> Result<()> {
    retrying(|| append_once(pool, batches)).await
}

async fn append_once(pool: &SqlitePool, batches: &[Batch]) -> Result<()> {
    let mut transaction = pool.begin().await?;
    for batch in batches {
        append_records(&mut transaction, batch).await?;
        append_tiles(&mut transaction, batch).await?;
        sqlx::query("INSERT INTO checkpoints (tenant, size, note, at) VALUES (?1, ?2, ?3, ?4)")
            .bind(&batch.tenant)
            .bind(to_sql(batch.size)?)
            .bind(&batch.checkpoint)
            .bind(batch.at.micros())
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn append_records(transaction: &mut Transaction<'_, Sqlite>, batch: &Batch) -> Result<()> {
    for sealed in &batch.records {
        let columns = Columns::of(&sealed.record);
        sqlx::query(
            "INSERT INTO records (tenant, idx, entry_id, line, occurred_at, principal, client_id, action, \
             object_type, object_id, job) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )
        .bind(&batch.tenant)
        .bind(to_sql(sealed.record.index)?)
        .bind(columns.entry_id)
        .bind(&sealed.line)
        .bind(columns.occurred_at)
        .bind(columns.principal)
        .bind(columns.client_id)
        .bind(columns.action)
        .bind(columns.object_type)
        .bind(columns.object_id)
        .bind(columns.job)
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}

async fn append_tiles(transaction: &mut Transaction<'_, Sqlite>, batch: &Batch) -> Result<()> {
    for (id, tile) in &batch.tiles {
        sqlx::query(
            "INSERT INTO tiles (tenant, level, tile_index, hashes) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (tenant, level, tile_index) DO UPDATE SET hashes = excluded.hashes",
        )
        .bind(&batch.tenant)
        .bind(i64::from(id.level))
        .bind(to_sql(id.index)?)
        .bind(tile.to_bytes())
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}
