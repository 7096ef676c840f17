//! Rows in one SQLite file. Only SQL stands here.

mod run_tasks;

use async_trait::async_trait;
use futures::FutureExt as _;
use runwarden_engines::sqlite::outbox;
use runwarden_engines::sqlite::sql::{self, Assembled, at_length, get};
use runwarden_engines::sqlite::{Database, Reader};
use runwarden_engines::{Migration, StoreError, migrations};
use runwarden_kit::audit::Entry;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result};
use rusqlite::{Connection, Row, params};

use super::DeliveryFilter;
use super::engine::{Engine, Of, Old, Rows, Stock, Stocks, Work};
use super::kernel::Kernel;
use crate::inbox::delivery::{Content, Delivery};
pub(super) use run_tasks::SqliteRunTasks;
use runwarden_webhooks::run_task::ACCESS_TOKEN;

pub(super) const MIGRATIONS: &[Migration] = migrations![
    "0001_inbox",
    "0002_run_tasks",
    "0003_run_tasks_by_tenant",
    "0004_shares",
    "0005_room_for_parameters",
    "0006_outbox_in_place"
];

/// Deliveries in one SQLite file.
pub(crate) type SqliteInbox = Kernel<SqliteEngine>;

/// One SQLite file.
pub(crate) struct SqliteEngine {
    database: Database,
}

impl SqliteInbox {
    /// Deliveries in this database.
    pub(super) const fn on(database: Database) -> Self {
        Self::over(SqliteEngine { database })
    }
}

impl Engine for SqliteEngine {
    async fn read(&self) -> Result<Box<dyn Rows>> {
        Ok(Box::new(SqliteRows::Reading(Box::new(self.database.grouped().readers.get().await?))))
    }

    async fn transaction<C, T>(&self, with: C, work: Work<C, T>) -> Result<T>
    where
        C: Send + Sync + 'static,
        T: Send + 'static,
    {
        let make = move |connection: &mut Connection| {
            let mut rows = SqliteRows::Writing(connection);
            // No step here waits for anything, so the work is done when it was looked at once.
            let done = work(&with, &mut rows).now_or_never();
            done.unwrap_or_else(|| Err(Error::internal(anyhow::anyhow!("a transaction waits for something else"))))
        };
        self.database.grouped().writer.change(make).await
    }
}

/// A connection that reads, or the one that writes inside a transaction.
enum SqliteRows<'c> {
    Reading(Box<Reader>),
    Writing(&'c mut Connection),
}

impl SqliteRows<'_> {
    fn connection(&self) -> &Connection {
        match self {
            Self::Reading(connection) => connection,
            Self::Writing(connection) => connection,
        }
    }
}

#[async_trait]
impl Rows for SqliteRows<'_> {
    async fn serialise(&mut self, _: &TenantId) -> Result<()> {
        // One transaction writes at a time.
        Ok(())
    }

    async fn stocks(&mut self, tenant: &TenantId, hook: &str) -> Result<Stocks> {
        let read = |row: &Row<'_>| Ok(Stock { waiting: get(row, 0)?, kept: get(row, 1)?, bytes: get(row, 2)? });
        let of_tenant = "SELECT waiting, kept, bytes FROM stocks WHERE tenant = ?";
        let of_hook = "SELECT waiting, kept, bytes FROM hook_stocks WHERE tenant = ? AND hook = ?";
        Ok(Stocks {
            tenant: sql::one(self.connection(), of_tenant, params![tenant.as_str()], read)?.unwrap_or_default(),
            hook: sql::one(self.connection(), of_hook, params![tenant.as_str(), hook], read)?.unwrap_or_default(),
        })
    }

    async fn put_stocks(&mut self, tenant: &TenantId, hook: &str, stocks: Stocks) -> Result<()> {
        let put = "INSERT INTO stocks (tenant, waiting, kept, bytes) VALUES (?, ?, ?, ?)
             ON CONFLICT (tenant) DO UPDATE
             SET waiting = excluded.waiting, kept = excluded.kept, bytes = excluded.bytes";
        let Stock { waiting, kept, bytes } = stocks.tenant;
        sql::run(self.connection(), put, params![tenant.as_str(), waiting, kept, bytes])?;
        let Stock { waiting, kept, bytes } = stocks.hook;
        if kept == 0 {
            // Hooks come and go.
            let remove = "DELETE FROM hook_stocks WHERE tenant = ? AND hook = ?";
            sql::run(self.connection(), remove, params![tenant.as_str(), hook])?;
            return Ok(());
        }
        let put = "INSERT INTO hook_stocks (tenant, hook, waiting, kept, bytes) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (tenant, hook) DO UPDATE
             SET waiting = excluded.waiting, kept = excluded.kept, bytes = excluded.bytes";
        sql::run(self.connection(), put, params![tenant.as_str(), hook, waiting, kept, bytes])?;
        Ok(())
    }

    async fn by_mark(&mut self, tenant: &TenantId, hook: &str, mark: &str) -> Result<Option<Delivery>> {
        let found = "SELECT document FROM deliveries WHERE tenant = ? AND hook = ? AND mark = ?";
        sql::one(self.connection(), found, params![tenant.as_str(), hook, mark], delivery)
    }

    async fn insert(&mut self, delivery: &Delivery, content: &Content, size: i64) -> Result<()> {
        let insert = "INSERT INTO deliveries
             (id, tenant, hook, mark, state, due_at, received_at, size, document, event, sealed)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let with = params![
            delivery.id,
            delivery.tenant.as_str(),
            delivery.hook_id,
            delivery.mark,
            delivery.state.name(),
            delivery.due_at.map(Moment::micros),
            delivery.received_at.micros(),
            size,
            json(delivery)?,
            content.event,
            json(&content.sealed)?,
        ];
        sql::run(self.connection(), insert, with)?;
        // Whoever sent a token for its results is owed them from here on.
        if content.sealed.contains_key(ACCESS_TOKEN) {
            run_tasks::insert(self.connection(), delivery)?;
        }
        Ok(())
    }

    async fn save(&mut self, delivery: &Delivery, grew: i64) -> Result<()> {
        let save =
            "UPDATE deliveries SET state = ?, due_at = ?, document = ?, size = size + ? WHERE id = ? AND tenant = ?";
        let (state, due_at) = (delivery.state.name(), delivery.due_at.map(Moment::micros));
        let with = params![state, due_at, json(delivery)?, grew, delivery.id, delivery.tenant.as_str()];
        sql::run(self.connection(), save, with)?;
        Ok(())
    }

    async fn delivery(&mut self, tenant: &TenantId, id: &str) -> Result<Option<Delivery>> {
        let found = "SELECT document FROM deliveries WHERE id = ? AND tenant = ?";
        sql::one(self.connection(), found, params![id, tenant.as_str()], delivery)
    }

    async fn content(&mut self, tenant: &TenantId, id: &str) -> Result<Option<Content>> {
        let found = "SELECT event, sealed FROM deliveries WHERE id = ? AND tenant = ?";
        let read = |row: &Row<'_>| Ok(Content { event: get(row, 0)?, sealed: parsed(sql::text(row, 1)?)? });
        sql::one(self.connection(), found, params![id, tenant.as_str()], read)
    }

    async fn list(&mut self, tenant: &TenantId, hook: &str, filter: &DeliveryFilter) -> Result<Vec<Delivery>> {
        readable(filter.limit, |limit| {
            let mut list = Assembled::new("SELECT document FROM deliveries WHERE tenant = ");
            list.bind(tenant.to_string()).push(" AND hook = ").bind(hook.to_owned());
            if let Some(before) = &filter.before {
                list.push(" AND id < ").bind(before.clone());
            }
            if !filter.states.is_empty() {
                list.push(" AND state IN ").list(filter.states.iter().map(|state| state.name().to_owned()));
            }
            list.push(" ORDER BY id DESC LIMIT ").bind(at_most(limit));
            at_length(|| sql::all(self.connection(), list.sql(), list.values(), delivery_if_readable))
        })
    }

    async fn tenants_waiting(&mut self) -> Result<Vec<TenantId>> {
        // From tenant to tenant, not from delivery to delivery.
        let tenants = "WITH RECURSIVE waiting (tenant) AS (
                SELECT min(tenant) FROM deliveries WHERE due_at IS NOT NULL
                UNION ALL
                SELECT (SELECT min(tenant) FROM deliveries WHERE due_at IS NOT NULL AND tenant > waiting.tenant)
                FROM waiting WHERE waiting.tenant IS NOT NULL
             )
             SELECT tenant FROM waiting WHERE tenant IS NOT NULL";
        sql::all(self.connection(), tenants, (), |row| Ok(TenantId::trusted(sql::text(row, 0)?)))
    }

    async fn due(&mut self, tenant: &TenantId, now: Moment, limit: usize) -> Result<Vec<Delivery>> {
        let due = "SELECT document FROM deliveries WHERE tenant = ? AND due_at IS NOT NULL AND due_at <= ?
             ORDER BY due_at LIMIT ?";
        readable(limit, |limit| {
            let with = params![tenant.as_str(), now.micros(), at_most(limit)];
            sql::all(self.connection(), due, with, delivery_if_readable)
        })
    }

    async fn old(&mut self, of: Of<'_>, before: Moment, limit: usize) -> Result<Vec<Old>> {
        let mut old =
            Assembled::new("SELECT id, tenant, hook, size FROM deliveries WHERE due_at IS NULL AND received_at < ");
        old.bind(before.micros());
        if let Of::Tenant(tenant) | Of::Hook(tenant, _) = of {
            old.push(" AND tenant = ").bind(tenant.to_string());
        }
        if let Of::Hook(_, hook) = of {
            old.push(" AND hook = ").bind(hook.to_owned());
        }
        old.push(" ORDER BY received_at LIMIT ").bind(at_most(limit));
        let read = |row: &Row<'_>| {
            let tenant = TenantId::trusted(sql::text(row, 1)?);
            Ok(Old { id: get(row, 0)?, tenant, hook: get(row, 2)?, size: get(row, 3)? })
        };
        sql::all(self.connection(), old.sql(), old.values(), read)
    }

    async fn over(&mut self, kept: i64, bytes: i64) -> Result<Vec<TenantId>> {
        let over = "SELECT tenant FROM stocks WHERE kept > ? OR bytes > ? ORDER BY tenant";
        sql::all(self.connection(), over, params![kept, bytes], |row| Ok(TenantId::trusted(sql::text(row, 0)?)))
    }

    async fn hooks(&mut self, tenant: &TenantId) -> Result<Vec<(String, Stock)>> {
        let hooks = "SELECT hook, waiting, kept, bytes FROM hook_stocks WHERE tenant = ?";
        let read = |row: &Row<'_>| {
            Ok((get(row, 0)?, Stock { waiting: get(row, 1)?, kept: get(row, 2)?, bytes: get(row, 3)? }))
        };
        sql::all(self.connection(), hooks, params![tenant.as_str()], read)
    }

    async fn parameters_left(&mut self, limit: usize) -> Result<Vec<(TenantId, String)>> {
        let left = "SELECT tenant, delivery FROM parameters_left ORDER BY delivery LIMIT ?";
        let read = |row: &Row<'_>| Ok((TenantId::trusted(sql::text(row, 0)?), get(row, 1)?));
        sql::all(self.connection(), left, params![at_most(limit)], read)
    }

    async fn none_left(&mut self, id: &str) -> Result<()> {
        sql::run(self.connection(), "DELETE FROM parameters_left WHERE delivery = ?", params![id])?;
        Ok(())
    }

    async fn remove(&mut self, id: &str) -> Result<()> {
        sql::run(self.connection(), "DELETE FROM deliveries WHERE id = ?", params![id])?;
        run_tasks::remove(self.connection(), id)?;
        Ok(())
    }

    async fn put_entries(&mut self, entries: &[Entry]) -> Result<()> {
        outbox::put(self.connection(), entries)
    }
}

fn delivery(row: &Row<'_>) -> Result<Delivery> {
    parsed(sql::text(row, 0)?)
}

/// A delivery; `None` for one that cannot be read.
fn delivery_if_readable(row: &Row<'_>) -> Result<Option<Delivery>> {
    Ok(match delivery(row) {
        Ok(delivery) => Some(delivery),
        Err(error) => {
            error.log();
            None
        }
    })
}

/// The first so many deliveries that can be read: one that cannot stops no other. `read` reads at most so many rows.
fn readable(limit: usize, read: impl Fn(usize) -> Result<Vec<Option<Delivery>>>) -> Result<Vec<Delivery>> {
    let mut rows = limit;
    loop {
        let found = read(rows)?;
        let unreadable = found.iter().filter(|delivery| delivery.is_none()).count();
        let all = found.len() < rows;
        if all || found.len() - unreadable >= limit {
            return Ok(found.into_iter().flatten().take(limit).collect());
        }
        rows = limit.saturating_add(unreadable);
    }
}

fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(format!("a delivery: {error}")).into())
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(Error::internal)
}

/// A number of rows, as SQL has it.
fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod migrating;
