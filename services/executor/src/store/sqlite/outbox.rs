//! Audit entries waiting to be handed over, one queue a tenant, and how far each tenant's log was seen.

use async_trait::async_trait;
use prost::Message;
use runwarden_kit::audit::{Entry, LogHead, MAX_PENDING, OutboxStore, SetAside};
use runwarden_kit::{Error, Result};
use sqlx::{Row as _, SqliteConnection};

use super::SqliteJobs;
use super::documents::failed;

/// How many entries of an earlier version are given their tenant at once.
const ADOPTED_AT_ONCE: i64 = 500;

/// Puts entries beside the change they tell of.
pub(super) async fn put(connection: &mut SqliteConnection, entries: &[Entry]) -> Result<()> {
    for entry in entries {
        sqlx::query("INSERT INTO outbox (entry_id, tenant, entry) VALUES (?, ?, ?)")
            .bind(&entry.entry_id)
            .bind(&entry.tenant)
            .bind(entry.encode_to_vec())
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

fn decode<T: Message + Default>(bytes: &[u8]) -> Result<T> {
    T::decode(bytes).map_err(Error::internal)
}

impl SqliteJobs {
    /// Says whose the entries are that an earlier version left.
    async fn adopt(&self) -> Result<()> {
        loop {
            let rows = sqlx::query("SELECT number, entry FROM outbox WHERE tenant IS NULL LIMIT ?")
                .bind(ADOPTED_AT_ONCE)
                .fetch_all(&self.engine.database.read)
                .await
                .map_err(failed)?;
            if rows.is_empty() {
                return Ok(());
            }
            let mut transaction = self.engine.database.begin_write().await.map_err(failed)?;
            for row in &rows {
                let entry: Entry = decode(row.get("entry"))?;
                sqlx::query("UPDATE outbox SET tenant = ? WHERE number = ?")
                    .bind(entry.tenant)
                    .bind(row.get::<i64, _>("number"))
                    .execute(&mut *transaction)
                    .await
                    .map_err(failed)?;
            }
            transaction.commit().await.map_err(failed)?;
        }
    }

    async fn number(&self, sql: &'static str, tenant: &str, limit: i64) -> Result<usize> {
        let query = sqlx::query(sql).bind(tenant).bind(limit);
        let row = query.fetch_one(&self.engine.database.read).await.map_err(failed)?;
        Ok(usize::try_from(row.get::<i64, _>(0)).unwrap_or(0))
    }
}

#[async_trait]
impl OutboxStore for SqliteJobs {
    async fn waiting(&self) -> Result<Vec<String>> {
        self.adopt().await?;
        // From tenant to tenant, not from entry to entry.
        let rows = sqlx::query(
            "WITH RECURSIVE waiting (tenant) AS (
                SELECT min(tenant) FROM outbox
                UNION ALL
                SELECT (SELECT min(tenant) FROM outbox WHERE tenant > waiting.tenant) FROM waiting
                WHERE waiting.tenant IS NOT NULL
             )
             SELECT tenant FROM waiting WHERE tenant IS NOT NULL",
        )
        .fetch_all(&self.engine.database.read)
        .await
        .map_err(failed)?;
        Ok(rows.iter().map(|row| row.get("tenant")).collect())
    }

    async fn pending(&self, tenant: &str, limit: usize) -> Result<Vec<Entry>> {
        let rows = sqlx::query("SELECT entry FROM outbox WHERE tenant = ? ORDER BY number LIMIT ?")
            .bind(tenant)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.engine.database.read)
            .await
            .map_err(failed)?;
        rows.iter().map(|row| decode(row.get("entry"))).collect()
    }

    async fn count(&self, tenant: &str) -> Result<usize> {
        // No further than anybody asks about.
        let limit = i64::try_from(MAX_PENDING).unwrap_or(i64::MAX);
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
        let mut transaction = self.engine.database.begin_write().await.map_err(failed)?;
        for id in entry_ids {
            sqlx::query("DELETE FROM outbox WHERE entry_id = ? AND tenant = ?")
                .bind(id)
                .bind(tenant)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        for head in seen {
            // Another executor may have seen more already.
            sqlx::query(
                "INSERT INTO outbox_seen (tenant, restores, size, head) VALUES (?, ?, ?, ?)
                 ON CONFLICT (tenant) DO UPDATE
                 SET restores = excluded.restores, size = excluded.size, head = excluded.head
                 WHERE (excluded.restores, excluded.size) > (restores, size)",
            )
            .bind(&head.tenant)
            .bind(head.restores)
            .bind(head.size)
            .bind(head.encode_to_vec())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn seen(&self) -> Result<Vec<LogHead>> {
        let rows =
            sqlx::query("SELECT head FROM outbox_seen").fetch_all(&self.engine.database.read).await.map_err(failed)?;
        rows.iter().map(|row| decode(row.get("head"))).collect()
    }

    async fn set_aside(&self, refused: &SetAside) -> Result<()> {
        let Some(entry) = &refused.entry else { return Ok(()) };
        let mut transaction = self.engine.database.begin_write().await.map_err(failed)?;
        sqlx::query("DELETE FROM outbox WHERE entry_id = ? AND tenant = ?")
            .bind(&entry.entry_id)
            .bind(&entry.tenant)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        sqlx::query("INSERT OR REPLACE INTO outbox_set_aside (tenant, entry_id, refused) VALUES (?, ?, ?)")
            .bind(&entry.tenant)
            .bind(&entry.entry_id)
            .bind(refused.encode_to_vec())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    async fn aside(&self) -> Result<Vec<SetAside>> {
        let rows = sqlx::query("SELECT refused FROM outbox_set_aside ORDER BY tenant, entry_id")
            .fetch_all(&self.engine.database.read)
            .await
            .map_err(failed)?;
        rows.iter().map(|row| decode(row.get("refused"))).collect()
    }

    async fn send_again(&self, tenant: &str, entry_id: &str) -> Result<bool> {
        let mut transaction = self.engine.database.begin_write().await.map_err(failed)?;
        let row = sqlx::query("DELETE FROM outbox_set_aside WHERE tenant = ? AND entry_id = ? RETURNING refused")
            .bind(tenant)
            .bind(entry_id)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed)?;
        let Some(row) = row else { return Ok(false) };
        let aside: SetAside = decode(row.get("refused"))?;
        put(&mut transaction, aside.entry.as_slice()).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
