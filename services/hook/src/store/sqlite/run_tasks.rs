//! Run tasks in the SQLite file of their deliveries.

use async_trait::async_trait;
use runwarden_engines::sqlite::sql::{self, get};
use runwarden_engines::sqlite::{Database, outbox};
use runwarden_kit::Result;
use runwarden_kit::audit::Entry;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use rusqlite::{Connection, Row, params};

use super::{at_most, json, parsed};
use crate::inbox::delivery::Delivery;
use crate::store::run_tasks::{RunTask, RunTaskStore};

/// Run tasks in this database.
pub(crate) struct SqliteRunTasks(pub(crate) Database);

/// Adds a task, due at once.
pub(super) fn insert(connection: &Connection, delivery: &Delivery) -> Result<()> {
    let insert = "INSERT INTO run_tasks (delivery, tenant, due_at, sequence, version) VALUES (?, ?, ?, NULL, 1)";
    let with = params![delivery.id, delivery.tenant.as_str(), delivery.received_at.micros()];
    sql::run(connection, insert, with)?;
    Ok(())
}

/// Removes the task of a delivery that goes, if it has one.
pub(super) fn remove(connection: &Connection, delivery: &str) -> Result<()> {
    sql::run(connection, "DELETE FROM run_tasks WHERE delivery = ?", params![delivery])?;
    Ok(())
}

#[async_trait]
impl RunTaskStore for SqliteRunTasks {
    async fn tenants_due(&self, now: Moment) -> Result<Vec<TenantId>> {
        let reader = self.0.grouped().readers.get().await?;
        // From tenant to tenant, not from task to task.
        let tenants = "WITH RECURSIVE waiting (tenant) AS (
                SELECT min(tenant) FROM run_tasks WHERE due_at IS NOT NULL
                UNION ALL
                SELECT (SELECT min(tenant) FROM run_tasks WHERE due_at IS NOT NULL AND tenant > waiting.tenant)
                FROM waiting WHERE waiting.tenant IS NOT NULL
             )
             SELECT tenant FROM waiting WHERE tenant IS NOT NULL AND EXISTS (
                SELECT 1 FROM run_tasks
                WHERE run_tasks.tenant = waiting.tenant AND due_at IS NOT NULL AND due_at <= ?
             )";
        sql::all(&reader, tenants, params![now.micros()], |row| Ok(TenantId::trusted(sql::text(row, 0)?)))
    }

    async fn due(&self, tenant: &TenantId, now: Moment, limit: usize) -> Result<Vec<RunTask>> {
        let reader = self.0.grouped().readers.get().await?;
        let due = "SELECT delivery, tenant, sequence, version FROM run_tasks
             WHERE tenant = ? AND due_at IS NOT NULL AND due_at <= ? ORDER BY due_at LIMIT ?";
        sql::all(&reader, due, params![tenant.as_str(), now.micros(), at_most(limit)], run_task)
    }

    async fn get(&self, tenant: &TenantId, delivery: &str) -> Result<Option<RunTask>> {
        let reader = self.0.grouped().readers.get().await?;
        let found = "SELECT delivery, tenant, sequence, version FROM run_tasks
             WHERE delivery = ? AND tenant = ? AND due_at IS NOT NULL";
        sql::one(&reader, found, params![delivery, tenant.as_str()], run_task)
    }

    async fn save(&self, task: RunTask, due_at: Option<Moment>, entries: Vec<Entry>) -> Result<bool> {
        let make = move |connection: &mut Connection| {
            let save = "UPDATE run_tasks SET due_at = ?, sequence = ?, version = version + 1
                 WHERE delivery = ? AND tenant = ? AND version = ?";
            let sequence = task.sequence.as_ref().map(json).transpose()?;
            let due_at = due_at.map(Moment::micros);
            let with = params![due_at, sequence, task.delivery, task.tenant.as_str(), task.version];
            if sql::run(connection, save, with)? == 0 {
                return Ok(false);
            }
            outbox::put(connection, &entries)?;
            Ok(true)
        };
        self.0.grouped().writer.change(make).await
    }
}

fn run_task(row: &Row<'_>) -> Result<RunTask> {
    let sequence: Option<String> = get(row, 2)?;
    Ok(RunTask {
        delivery: get(row, 0)?,
        tenant: TenantId::trusted(sql::text(row, 1)?),
        sequence: sequence.as_deref().map(parsed).transpose()?,
        version: get(row, 3)?,
    })
}
