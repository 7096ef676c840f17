//! Messages in one SQLite file.

use async_trait::async_trait;
use runwarden_engines::sqlite::{Database, Reader};
use runwarden_engines::{Migration, OnDatabase, StoreError, migrations};
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

use super::{Head, Message, MessageState, Messages, NewMessage, Tried, Which};

pub(crate) const MIGRATIONS: &[Migration] = migrations!["callbacks" => "0001_messages", "0002_messages_of_jobs"];

/// Messages in one SQLite file.
pub(crate) struct SqliteMessages {
    database: Database,
}

impl OnDatabase for SqliteMessages {
    fn on_sqlite(database: Database) -> Self {
        Self { database }
    }
}

const COLUMNS: &str =
    "number, id, tenant, callback, job, event, body, created_at, state, attempts, due_at, tried_at, status, problem";

impl SqliteMessages {
    async fn reading(&self) -> Result<Reader> {
        Ok(self.database.grouped().readers.get().await?)
    }

    /// One transaction, committed together with others that wait.
    async fn writing<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.database.grouped().writer.change(move |connection: &mut Connection| work(connection).map_err(failed)).await
    }
}

#[async_trait]
impl Messages for SqliteMessages {
    async fn cursor(&self) -> Result<Option<i64>> {
        let reading = self.reading().await?;
        reading.query_row("SELECT cursor FROM followed", (), |row| row.get(0)).optional().map_err(failed)
    }

    async fn put(&self, messages: Vec<NewMessage>, cursor: i64, now: Moment) -> Result<()> {
        let put = move |connection: &Connection| {
            for message in &messages {
                let state = if message.dead.is_empty() { MessageState::Waiting } else { MessageState::Dead };
                run(
                    connection,
                    "INSERT INTO messages (id, tenant, callback, job, event, body, created_at, state, attempts, due_at,
                         status, problem)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?7, 0, ?9) ON CONFLICT (id) DO NOTHING",
                    params![
                        message.id,
                        message.tenant.as_str(),
                        message.callback,
                        message.job,
                        message.event,
                        message.body,
                        now.micros(),
                        state.name(),
                        message.dead,
                    ],
                )?;
            }
            run(
                connection,
                "INSERT INTO followed (one, cursor) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET cursor = excluded.cursor",
                [cursor],
            )?;
            Ok(())
        };
        self.writing(put).await
    }

    async fn heads(&self) -> Result<Vec<Head>> {
        // From callback to callback, not from message to message.
        let heads = "WITH RECURSIVE heads (callback) AS (
                SELECT min(callback) FROM messages WHERE state = 'waiting'
                UNION ALL
                SELECT (SELECT min(callback) FROM messages WHERE state = 'waiting' AND callback > heads.callback) FROM heads
                WHERE heads.callback IS NOT NULL
             )
             SELECT callback,
                 (SELECT tenant FROM messages WHERE state = 'waiting' AND callback = heads.callback ORDER BY due_at LIMIT 1),
                 (SELECT min(due_at) FROM messages WHERE state = 'waiting' AND callback = heads.callback)
             FROM heads WHERE callback IS NOT NULL";
        all(&*self.reading().await?, heads, (), |row| {
            Ok(Head { callback: row.get(0)?, tenant: row.get(1)?, due_at: Moment::from_micros(row.get(2)?) })
        })
    }

    async fn due(&self, callback: &str, now: Moment, limit: usize) -> Result<Vec<Message>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM messages WHERE state = 'waiting' AND callback = ? AND due_at <= ?
             ORDER BY due_at, number LIMIT ?"
        );
        all(&*self.reading().await?, &sql, params![callback, now.micros(), at_most(limit)], message)
    }

    async fn tried(&self, id: &str, tried: Tried) -> Result<Option<Moment>> {
        let id = id.to_owned();
        let note = move |connection: &Connection| {
            let state = match (tried.problem.is_empty(), tried.again_at) {
                (true, _) => MessageState::Delivered,
                (false, Some(_)) => MessageState::Waiting,
                (false, None) => MessageState::Dead,
            };
            run(
                connection,
                "UPDATE messages SET state = ?, attempts = attempts + 1, due_at = ?, tried_at = ?, status = ?, problem = ?
                 WHERE id = ? AND state = 'waiting'",
                params![
                    state.name(),
                    tried.again_at.unwrap_or(tried.at).micros(),
                    tried.at.micros(),
                    tried.status,
                    tried.problem,
                    id
                ],
            )?;
            let callback: Option<String> = connection
                .query_row("SELECT callback FROM messages WHERE id = ?", [&id], |row| row.get(0))
                .optional()?;
            let Some(callback) = callback else { return Ok(None) };
            if tried.problem.is_empty() {
                run(connection, "DELETE FROM failing WHERE callback = ?", [&callback])?;
                return Ok(None);
            }
            let note = "INSERT INTO failing (callback, since) VALUES (?, ?) ON CONFLICT (callback) DO NOTHING";
            run(connection, note, params![callback, tried.at.micros()])?;
            failing_since(connection, &callback)
        };
        self.writing(note).await
    }

    async fn put_off(&self, id: &str, due_at: Moment) -> Result<()> {
        let id = id.to_owned();
        let put_off = move |connection: &Connection| {
            let sql = "UPDATE messages SET due_at = ? WHERE id = ? AND state = 'waiting'";
            run(connection, sql, params![due_at.micros(), id]).map(drop)
        };
        self.writing(put_off).await
    }

    async fn bury(&self, callback: &str, why: &str) -> Result<u64> {
        let (callback, why) = (callback.to_owned(), why.to_owned());
        let bury = move |connection: &Connection| {
            let sql = "UPDATE messages SET state = 'dead', problem = ? WHERE callback = ? AND state = 'waiting'";
            run(connection, sql, params![why, callback])
        };
        self.writing(bury).await.map(counted)
    }

    async fn failing_since(&self, callback: &str) -> Result<Option<Moment>> {
        failing_since(&*self.reading().await?, callback).map_err(failed)
    }

    async fn trust_again(&self, callback: &str) -> Result<()> {
        let callback = callback.to_owned();
        self.writing(move |connection| run(connection, "DELETE FROM failing WHERE callback = ?", [&callback]).map(drop))
            .await
    }

    async fn get(&self, tenant: &TenantId, callback: &str, id: &str) -> Result<Option<Message>> {
        let sql = format!("SELECT {COLUMNS} FROM messages WHERE id = ? AND tenant = ? AND callback = ?");
        Ok(all(&*self.reading().await?, &sql, params![id, tenant.as_str(), callback], message)?.pop())
    }

    async fn list(
        &self,
        tenant: &TenantId,
        callback: &str,
        state: Option<MessageState>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Message>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM messages WHERE tenant = ?1 AND callback = ?2 AND number < ?3 AND (?4 IS NULL OR state = ?4)
             ORDER BY number DESC LIMIT ?5"
        );
        let before = before.unwrap_or(i64::MAX);
        let reading = self.reading().await?;
        let with = params![tenant.as_str(), callback, before, state.map(MessageState::name), at_most(limit)];
        all(&reading, &sql, with, message)
    }

    async fn of_job(&self, tenant: &TenantId, job: &str, limit: usize) -> Result<(Vec<Message>, usize)> {
        let reading = self.reading().await?;
        let sql = format!("SELECT {COLUMNS} FROM messages WHERE tenant = ? AND job = ? ORDER BY number DESC LIMIT ?");
        let mut newest = all(&reading, &sql, params![tenant.as_str(), job, at_most(limit)], message)?;
        newest.reverse();
        let count = "SELECT count(*) FROM messages WHERE tenant = ? AND job = ?";
        let count: i64 = reading.query_row(count, params![tenant.as_str(), job], |row| row.get(0)).map_err(failed)?;
        Ok((newest, usize::try_from(count).unwrap_or_default()))
    }

    async fn replay(&self, tenant: &TenantId, callback: &str, which: Which, now: Moment) -> Result<u64> {
        let (tenant, callback) = (tenant.to_string(), callback.to_owned());
        let replay = move |connection: &Connection| {
            let again = "UPDATE messages SET state = 'waiting', attempts = 0, due_at = ?, problem = ''
                 WHERE tenant = ? AND callback = ?";
            let now = now.micros();
            match &which {
                Which::One(id) => {
                    let sql = format!("{again} AND id = ? AND state <> 'waiting'");
                    run(connection, &sql, params![now, tenant, callback, id])
                }
                Which::DeadBetween(from, until) => {
                    let sql = format!("{again} AND state = 'dead' AND created_at >= ? AND created_at < ?");
                    run(connection, &sql, params![now, tenant, callback, from.micros(), until.micros()])
                }
            }
        };
        self.writing(replay).await.map(counted)
    }

    async fn remove(&self, callback: &str) -> Result<()> {
        let callback = callback.to_owned();
        let remove = move |connection: &Connection| {
            run(connection, "DELETE FROM messages WHERE callback = ?", [&callback])?;
            run(connection, "DELETE FROM failing WHERE callback = ?", [&callback]).map(drop)
        };
        self.writing(remove).await
    }

    async fn forget(&self, delivered: Moment, dead: Moment, limit: usize) -> Result<usize> {
        let forget = move |connection: &Connection| {
            let forget = |sql: &str, before: Moment, limit: usize| {
                run(connection, sql, params![before.micros(), at_most(limit)])
            };
            let of_delivered = "DELETE FROM messages WHERE number IN (
                SELECT number FROM messages WHERE state = 'delivered' AND created_at < ? LIMIT ?)";
            let gone = forget(of_delivered, delivered, limit)?;
            let of_dead = "DELETE FROM messages WHERE number IN (
                SELECT number FROM messages WHERE state = 'dead' AND created_at < ? LIMIT ?)";
            Ok(gone + forget(of_dead, dead, limit.saturating_sub(gone))?)
        };
        self.writing(forget).await
    }
}

fn failing_since(connection: &Connection, callback: &str) -> rusqlite::Result<Option<Moment>> {
    let sql = "SELECT since FROM failing WHERE callback = ?";
    connection.query_row(sql, [callback], |row| row.get(0).map(Moment::from_micros)).optional()
}

fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    let state: String = row.get(8)?;
    let state =
        MessageState::ALL.into_iter().find(|known| known.name() == state).ok_or(rusqlite::Error::InvalidQuery)?;
    Ok(Message {
        number: row.get(0)?,
        id: row.get(1)?,
        tenant: row.get(2)?,
        callback: row.get(3)?,
        job: row.get(4)?,
        event: row.get(5)?,
        body: row.get(6)?,
        created_at: Moment::from_micros(row.get(7)?),
        state,
        attempts: row.get(9)?,
        due_at: Moment::from_micros(row.get(10)?),
        tried_at: row.get::<_, Option<i64>>(11)?.map(Moment::from_micros),
        status: row.get(12)?,
        problem: row.get(13)?,
    })
}

fn run(connection: &Connection, sql: &str, with: impl Params) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute(with)
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    with: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    let rows = || -> rusqlite::Result<Vec<T>> { connection.prepare_cached(sql)?.query_map(with, read)?.collect() };
    rows().map_err(failed)
}

fn failed(error: rusqlite::Error) -> Error {
    StoreError::from(error).into()
}

fn counted(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
