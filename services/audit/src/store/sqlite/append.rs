//! Adding to logs: one transaction for everything that belongs together.

use std::sync::Arc;

use runwarden_engines::sqlite::Writer;
use runwarden_engines::{Result, retrying};
use rusqlite::{Connection, params};

use super::to_sql;
use crate::store::{Batch, Columns};

pub(super) async fn append(writer: &Writer, batches: &[Batch]) -> Result<()> {
    // The thread that writes may keep them for longer than whoever asks.
    let batches: Arc<[Batch]> = batches.into();
    retrying(|| {
        let batches = Arc::clone(&batches);
        writer.change(move |connection| batches.iter().try_for_each(|batch| append_batch(connection, batch)))
    })
    .await
}

fn append_batch(connection: &Connection, batch: &Batch) -> Result<()> {
    append_records(connection, batch)?;
    append_tiles(connection, batch)?;
    connection
        .prepare_cached("INSERT INTO checkpoints (tenant, size, note, at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![batch.tenant, to_sql(batch.size)?, batch.checkpoint, batch.at.micros()])?;
    Ok(())
}

fn append_records(connection: &Connection, batch: &Batch) -> Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO records (tenant, idx, entry_id, line, occurred_at, principal, client_id, action, \
         object_type, object_id, job) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    for sealed in &batch.records {
        let columns = Columns::of(&sealed.record);
        insert.execute(params![
            batch.tenant,
            to_sql(sealed.record.index)?,
            columns.entry_id,
            sealed.line,
            columns.occurred_at,
            columns.principal,
            columns.client_id,
            columns.action,
            columns.object_type,
            columns.object_id,
            columns.job,
        ])?;
    }
    Ok(())
}

fn append_tiles(connection: &Connection, batch: &Batch) -> Result<()> {
    let mut put = connection.prepare_cached(
        "INSERT INTO tiles (tenant, level, tile_index, hashes) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (tenant, level, tile_index) DO UPDATE SET hashes = excluded.hashes",
    )?;
    for (id, tile) in &batch.tiles {
        put.execute(params![batch.tenant, id.level, to_sql(id.index)?, tile.to_bytes()])?;
    }
    Ok(())
}
