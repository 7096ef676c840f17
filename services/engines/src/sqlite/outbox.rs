//! Audit entries beside the rows of a service's own tables: waiting to be handed over, one queue a tenant, and how far
//! each tenant's log was seen. The service has the tables `outbox`, `outbox_last`, `outbox_set_aside` and `outbox_seen`
//! among its migrations, and puts entries into the first in the transaction of the change that they tell of.

use std::collections::HashSet;

use async_trait::async_trait;
use prost::Message;
use runwarden_kit::audit::{Entry, LogHead, MAX_PENDING, OutboxStore, SetAside};
use runwarden_kit::{Error, Result};
use rusqlite::{Connection, Row, params};

use super::Database;
use super::readers::Reader;
use super::sql::{self, failed, get, text};

/// How many entries of an earlier version are given their tenant at once.
const ADOPTED_AT_ONCE: i64 = 500;
/// How many rows are looked at together to find those that were handed over. It is more than are handed over at once.
const LOOKED_AT: i64 = 256;
/// The search ends after so many rows, one after the other, that were not handed over.
const PASSED_OVER: usize = 1024;

/// The outbox in a database.
#[derive(Clone, Debug)]
pub struct SqliteOutbox {
    database: Database,
}

/// Puts entries beside the change they tell of. Nothing here refuses an id that is there already: the audit log takes each
/// once.
///
/// # Errors
/// When the store fails.
pub fn put(connection: &Connection, entries: &[Entry]) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let many = i64::try_from(entries.len()).unwrap_or(i64::MAX);
    let draw = "UPDATE outbox_last SET number = number + ? RETURNING number";
    let last: i64 = sql::the(connection, draw, params![many], |row| get(row, 0))?;
    for (entry, number) in entries.iter().zip(last - many + 1..) {
        let with = params![entry.tenant, number, entry.entry_id, entry.encode_to_vec()];
        sql::run(connection, "INSERT INTO outbox (tenant, number, entry_id, entry) VALUES (?, ?, ?, ?)", with)?;
    }
    Ok(())
}

/// Removes an entry of a tenant, wherever it is in its queue. It is looked for from the front, where it nearly always is.
fn remove(connection: &Connection, tenant: &str, entry_id: &str) -> Result<usize> {
    let remove = "DELETE FROM outbox WHERE tenant = ?1 AND number = (
        SELECT number FROM outbox WHERE tenant = ?1 AND entry_id = ?2 ORDER BY number LIMIT 1)";
    sql::run(connection, remove, params![tenant, entry_id])
}

/// Removes entries of a tenant that were handed over. They are the oldest, but for a few that nobody took and those that
/// another process handed over and removed meanwhile: so they are looked for at the beginning of the queue, and not found
/// by their ids, for which an index would have to be kept. One that is left behind is only handed over again.
fn remove_oldest(connection: &Connection, tenant: &str, entry_ids: &HashSet<String>) -> Result<()> {
    let look = "SELECT number, entry_id FROM outbox WHERE tenant = ? AND number > ? ORDER BY number LIMIT ?";
    let (mut left, mut passed, mut after) = (entry_ids.len(), 0, i64::MIN);
    while left > 0 && passed < PASSED_OVER {
        let rows: Vec<(i64, bool)> = sql::all(connection, look, params![tenant, after, LOOKED_AT], |row| {
            Ok((get(row, 0)?, entry_ids.contains(text(row, 1)?)))
        })?;
        let Some((last, _)) = rows.last() else { break };
        after = *last;
        for some in rows.chunk_by(|(_, one), (_, next)| one == next) {
            let ([(first, is_handed_over), ..], Some((last, _))) = (some, some.last()) else { continue };
            if *is_handed_over {
                let remove = "DELETE FROM outbox WHERE tenant = ? AND number BETWEEN ? AND ?";
                sql::run(connection, remove, params![tenant, first, last])?;
                left = left.saturating_sub(some.len());
                passed = 0;
            } else {
                passed += some.len();
            }
        }
    }
    Ok(())
}

fn decode<T: Message + Default>(row: &Row<'_>, column: usize) -> Result<T> {
    let bytes = row.get_ref(column).map_err(failed)?;
    T::decode(bytes.as_blob().map_err(Error::internal)?).map_err(Error::internal)
}

impl SqliteOutbox {
    /// The outbox in this database.
    #[must_use]
    pub const fn on(database: Database) -> Self {
        Self { database }
    }

    async fn reading(&self) -> Result<Reader> {
        Ok(self.database.grouped().readers.get().await?)
    }

    async fn writing<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.database.grouped().writer.change(work).await
    }

    /// Says whose the entries are that an earlier version left.
    async fn adopt(&self) -> Result<()> {
        loop {
            let nameless = "SELECT number, entry FROM outbox WHERE tenant = '?' LIMIT ?";
            let reading = self.reading().await?;
            let found: Vec<(i64, Entry)> =
                sql::all(&reading, nameless, params![ADOPTED_AT_ONCE], |row| Ok((get(row, 0)?, decode(row, 1)?)))?;
            drop(reading);
            if found.is_empty() {
                return Ok(());
            }
            let adopt = move |connection: &mut Connection| {
                for (number, entry) in &found {
                    let with = params![entry.tenant, number];
                    sql::run(connection, "UPDATE outbox SET tenant = ? WHERE tenant = '?' AND number = ?", with)?;
                }
                Ok(())
            };
            self.writing(adopt).await?;
        }
    }

    async fn number(&self, sql: &'static str, tenant: &str, limit: i64) -> Result<usize> {
        let reading = self.reading().await?;
        let number: i64 = sql::the(&reading, sql, params![tenant, limit], |row| get(row, 0))?;
        Ok(usize::try_from(number).unwrap_or(0))
    }
}

#[async_trait]
impl OutboxStore for SqliteOutbox {
    async fn waiting(&self) -> Result<Vec<String>> {
        self.adopt().await?;
        // From tenant to tenant, not from entry to entry.
        let tenants = "WITH RECURSIVE waiting (tenant) AS (
                SELECT min(tenant) FROM outbox
                UNION ALL
                SELECT (SELECT min(tenant) FROM outbox WHERE tenant > waiting.tenant) FROM waiting
                WHERE waiting.tenant IS NOT NULL
             )
             SELECT tenant FROM waiting WHERE tenant IS NOT NULL";
        sql::all(&*self.reading().await?, tenants, (), |row| get(row, 0))
    }

    async fn pending(&self, tenant: &str, limit: usize) -> Result<Vec<Entry>> {
        let pending = "SELECT entry FROM outbox WHERE tenant = ? ORDER BY number LIMIT ?";
        sql::all(&*self.reading().await?, pending, params![tenant, as_number(limit)], |row| decode(row, 0))
    }

    async fn count(&self, tenant: &str) -> Result<usize> {
        // No further than anybody asks about.
        let limit = as_number(MAX_PENDING);
        let waiting = "SELECT count(*) FROM (SELECT 1 FROM outbox WHERE tenant = ? LIMIT ?)";
        let aside = "SELECT count(*) FROM (SELECT 1 FROM outbox_set_aside WHERE tenant = ? LIMIT ?)";
        Ok(self.number(waiting, tenant, limit).await? + self.number(aside, tenant, limit).await?)
    }

    async fn totals(&self) -> Result<(usize, usize)> {
        let waiting = "SELECT count(*) FROM outbox WHERE ?1 = '' AND ?2 = 0";
        let aside = "SELECT count(*) FROM outbox_set_aside WHERE ?1 = '' AND ?2 = 0";
        Ok((self.number(waiting, "", 0).await?, self.number(aside, "", 0).await?))
    }

    async fn settle(&self, tenant: &str, entry_ids: &[String], seen: &[LogHead]) -> Result<()> {
        let (tenant, seen) = (tenant.to_owned(), seen.to_vec());
        let entry_ids: HashSet<String> = entry_ids.iter().cloned().collect();
        let settle = move |connection: &mut Connection| {
            remove_oldest(connection, &tenant, &entry_ids)?;
            for head in &seen {
                // Another executor may have seen more already.
                sql::run(
                    connection,
                    "INSERT INTO outbox_seen (tenant, restores, size, head) VALUES (?, ?, ?, ?)
                     ON CONFLICT (tenant) DO UPDATE
                     SET restores = excluded.restores, size = excluded.size, head = excluded.head
                     WHERE (excluded.restores, excluded.size) > (restores, size)",
                    params![head.tenant, head.restores, head.size, head.encode_to_vec()],
                )?;
            }
            Ok(())
        };
        self.writing(settle).await
    }

    async fn seen(&self) -> Result<Vec<LogHead>> {
        sql::all(&*self.reading().await?, "SELECT head FROM outbox_seen", (), |row| decode(row, 0))
    }

    async fn set_aside(&self, refused: &SetAside) -> Result<()> {
        let Some(entry) = refused.entry.clone() else { return Ok(()) };
        let refused = refused.encode_to_vec();
        let set_aside = move |connection: &mut Connection| {
            remove(connection, &entry.tenant, &entry.entry_id)?;
            sql::run(
                connection,
                "INSERT OR REPLACE INTO outbox_set_aside (tenant, entry_id, refused) VALUES (?, ?, ?)",
                params![entry.tenant, entry.entry_id, refused],
            )?;
            Ok(())
        };
        self.writing(set_aside).await
    }

    async fn aside(&self) -> Result<Vec<SetAside>> {
        let aside = "SELECT refused FROM outbox_set_aside ORDER BY tenant, entry_id";
        sql::all(&*self.reading().await?, aside, (), |row| decode(row, 0))
    }

    async fn send_again(&self, tenant: &str, entry_id: &str) -> Result<bool> {
        let (tenant, entry_id) = (tenant.to_owned(), entry_id.to_owned());
        let send_again = move |connection: &mut Connection| {
            let back = "DELETE FROM outbox_set_aside WHERE tenant = ? AND entry_id = ? RETURNING refused";
            let back: Option<SetAside> = sql::one(connection, back, params![tenant, entry_id], |row| decode(row, 0))?;
            let Some(back) = back else { return Ok(false) };
            put(connection, back.entry.as_slice())?;
            Ok(true)
        };
        self.writing(send_again).await
    }
}

/// A number of rows, as SQL has it.
fn as_number(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
