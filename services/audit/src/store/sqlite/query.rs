//! Reading logs.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use runwarden_engines::{Result, StoreError};
use sqlx::{QueryBuilder, Sqlite, SqlitePool};

use super::{from_sql, to_sql};
use crate::merkle::{Tile, TileId, Tiles};
use crate::record::Timestamp;
use crate::store::{ActionFilter, Filter, Found, Page, Tail};

/// Far below SQLite's limit of bound values.
const AT_ONCE: usize = 500;
/// The most blocks of 1024 records that one search by time passes over. Each costs one look into an index.
const MOST_BLOCKS: i64 = 4096;

/// Whose logs there are anything of: from tenant to tenant along the primary keys, not from record to record.
pub(super) const TENANTS: &str = "
    WITH RECURSIVE
    recorded (tenant) AS (
        SELECT min(tenant) FROM records
        UNION ALL
        SELECT (SELECT min(tenant) FROM records WHERE tenant > recorded.tenant) FROM recorded
        WHERE recorded.tenant IS NOT NULL
    ),
    tiled (tenant) AS (
        SELECT min(tenant) FROM tiles
        UNION ALL
        SELECT (SELECT min(tenant) FROM tiles WHERE tenant > tiled.tenant) FROM tiled WHERE tiled.tenant IS NOT NULL
    ),
    signed (tenant) AS (
        SELECT min(tenant) FROM checkpoints
        UNION ALL
        SELECT (SELECT min(tenant) FROM checkpoints WHERE tenant > signed.tenant) FROM signed
        WHERE signed.tenant IS NOT NULL
    )
    SELECT tenant FROM recorded WHERE tenant IS NOT NULL
    UNION SELECT tenant FROM tiled WHERE tenant IS NOT NULL
    UNION SELECT tenant FROM signed WHERE tenant IS NOT NULL";

pub(super) async fn tenants(pool: &SqlitePool) -> Result<BTreeSet<String>> {
    let names: Vec<String> = sqlx::query_scalar(TENANTS).fetch_all(pool).await?;
    Ok(names.into_iter().collect())
}

pub(super) async fn has_tiles(pool: &SqlitePool, tenant: &str) -> Result<bool> {
    Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM tiles WHERE tenant = ?1)").bind(tenant).fetch_one(pool).await?)
}

pub(super) async fn tail(pool: &SqlitePool, tenant: &str) -> Result<Tail> {
    // One statement, so that both are of the same moment.
    let (last, size, note): (Option<i64>, Option<i64>, Option<String>) = sqlx::query_as(
        "SELECT (SELECT max(idx) FROM records WHERE tenant = ?1), newest.size, newest.note \
         FROM (SELECT 1) LEFT JOIN \
         (SELECT size, note FROM checkpoints WHERE tenant = ?1 ORDER BY size DESC LIMIT 1) AS newest",
    )
    .bind(tenant)
    .fetch_one(pool)
    .await?;
    let records = last.map_or(Ok(0), |index| from_sql(index).map(|index| index + 1))?;
    let checkpoint = match (size, note) {
        (Some(size), Some(note)) => Some((from_sql(size)?, note)),
        _ => None,
    };
    Ok(Tail { records, checkpoint })
}

pub(super) async fn tiles(pool: &SqlitePool, tenant: &str, ids: &[TileId]) -> Result<Tiles> {
    let mut tiles = Tiles::default();
    for id in ids {
        let hashes: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT hashes FROM tiles WHERE tenant = ?1 AND level = ?2 AND tile_index = ?3")
                .bind(tenant)
                .bind(i64::from(id.level))
                .bind(to_sql(id.index)?)
                .fetch_optional(pool)
                .await?;
        if let Some(hashes) = hashes {
            let tile = Tile::from_bytes(&hashes)
                .map_err(|_| StoreError::Corrupt(format!("tile {} of level {} of {tenant}", id.index, id.level)))?;
            tiles.insert(*id, tile);
        }
    }
    Ok(tiles)
}

pub(super) async fn lines(pool: &SqlitePool, tenant: &str, range: Range<u64>) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar("SELECT line FROM records WHERE tenant = ?1 AND idx >= ?2 AND idx < ?3 ORDER BY idx")
        .bind(tenant)
        .bind(to_sql(range.start)?)
        .bind(to_sql(range.end)?)
        .fetch_all(pool)
        .await?)
}

pub(super) async fn find(pool: &SqlitePool, tenant: &str, entry_ids: &[&str]) -> Result<HashMap<String, String>> {
    let mut found = HashMap::new();
    for ids in entry_ids.chunks(AT_ONCE) {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT entry_id, line FROM records WHERE tenant = ");
        query.push_bind(tenant).push(" AND entry_id IN (");
        let mut list = query.separated(", ");
        for id in ids {
            list.push_bind(*id);
        }
        query.push(")");
        let rows: Vec<(String, String)> = query.build_query_as().fetch_all(pool).await?;
        found.extend(rows);
    }
    Ok(found)
}

/// Looks at records along the narrowest index that the filter has, reads those and no others, and says where it stopped
/// unless it was the end of the log.
pub(super) async fn list(pool: &SqlitePool, tenant: &str, filter: &Filter, page: Page) -> Result<Found> {
    let whole = |count: usize| i64::try_from(count).map_err(|_| StoreError::Invalid("a page that is far too large"));
    let (below, look) = (page.below.map_or(Ok(i64::MAX), to_sql)?, whole(page.look)?);
    let Some(top) = newest_in_time(pool, tenant, filter, below).await? else { return Ok(Found::default()) };
    let ways: &[(&str, &str)] = match filter {
        Filter { job: Some(job), .. } => &[(" AND job = ", job)],
        Filter { principal: Some(principal), .. } => {
            &[(" AND principal = ", principal), (" AND client_id = ", principal)]
        }
        Filter { action: Some(ActionFilter::Is(action)), .. } => &[(" AND action = ", action)],
        _ => &[("", "")],
    };
    let mut query = QueryBuilder::<Sqlite>::new("WITH looked (idx) AS MATERIALIZED (");
    for (at, (column, value)) in ways.iter().enumerate() {
        query.push(if at == 0 { "" } else { " UNION " });
        query.push("SELECT idx FROM (SELECT idx FROM records WHERE tenant = ").push_bind(tenant);
        query.push(" AND idx < ").push_bind(top);
        if !column.is_empty() {
            query.push(*column).push_bind(*value);
        }
        query.push(" ORDER BY idx DESC LIMIT ").push_bind(look).push(")");
    }
    query.push(" ORDER BY idx DESC LIMIT ").push_bind(look).push(")");
    // CROSS JOIN: SQLite keeps to this order.
    query
        .push(" SELECT idx, line FROM (SELECT looked.idx, line FROM looked CROSS JOIN records WHERE records.tenant = ");
    query.push_bind(tenant).push(" AND records.idx = looked.idx");
    push_conditions(&mut query, filter);
    query.push(" ORDER BY looked.idx DESC LIMIT ").push_bind(whole(page.limit)?);
    query.push(") UNION ALL SELECT min(idx), NULL FROM looked HAVING count(*) = ").push_bind(look);
    let mut rows: Vec<(i64, Option<String>)> = query.build_query_as().fetch_all(pool).await?;
    rows.sort_by_key(|(index, _)| Reverse(*index));
    let mut found = Found::default();
    for (index, line) in rows {
        match line {
            Some(line) => found.lines.push(line),
            None => found.stopped_at = Some(from_sql(index)?),
        }
    }
    Ok(found)
}

/// Below which index the newest block of records begins that has one of the filter's time; `None` when no record has.
/// Past [`MOST_BLOCKS`] it is the block that was reached.
async fn newest_in_time(pool: &SqlitePool, tenant: &str, filter: &Filter, below: i64) -> Result<Option<i64>> {
    if filter.after.is_none() && filter.before.is_none() {
        return Ok(Some(below));
    }
    // The block -1 stands for the end of the log.
    let block: Option<i64> = sqlx::query_scalar(
        "WITH RECURSIVE passed (block) AS (
             SELECT max(idx) >> 10 FROM records WHERE tenant = ?1 AND idx < ?2
             UNION ALL
             SELECT block - 1 FROM passed WHERE block >= 0 AND NOT EXISTS (
                 SELECT 1 FROM records
                 WHERE tenant = ?1 AND idx >> 10 = block AND occurred_at >= ?3 AND occurred_at < ?4
             )
             LIMIT ?5
         )
         SELECT min(block) FROM passed",
    )
    .bind(tenant)
    .bind(below)
    .bind(filter.after.map_or(i64::MIN, Timestamp::micros))
    .bind(filter.before.map_or(i64::MAX, Timestamp::micros))
    .bind(MOST_BLOCKS)
    .fetch_one(pool)
    .await?;
    Ok(block.filter(|block| *block >= 0).map(|block| below.min((block + 1) << 10)))
}

fn push_conditions(query: &mut QueryBuilder<Sqlite>, filter: &Filter) {
    if let Some(job) = &filter.job {
        query.push(" AND job = ").push_bind(job);
    }
    if let Some(principal) = &filter.principal {
        query.push(" AND (principal = ").push_bind(principal);
        query.push(" OR client_id = ").push_bind(principal).push(")");
    }
    match &filter.action {
        Some(ActionFilter::Is(action)) => {
            query.push(" AND action = ").push_bind(action);
        }
        Some(ActionFilter::Noun(noun)) => {
            // All that begins with the noun and a dot: a slash follows the dot in the alphabet.
            query.push(" AND action >= ").push_bind(format!("{noun}."));
            query.push(" AND action < ").push_bind(format!("{noun}/"));
        }
        None => {}
    }
    if let Some(after) = filter.after {
        query.push(" AND occurred_at >= ").push_bind(after.micros());
    }
    if let Some(before) = filter.before {
        query.push(" AND occurred_at < ").push_bind(before.micros());
    }
}
