//! The columns that repeat what a record's line says.

use crate::record::Record;

/// Their names, in the order of [`Columns::differences`].
const COLUMNS: [&str; 8] =
    ["entry_id", "occurred_at", "principal", "client_id", "action", "object_type", "object_id", "job"];

/// What the columns must say of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) entry_id: String,
    pub(crate) occurred_at: i64,
    pub(crate) principal: String,
    pub(crate) client_id: String,
    pub(crate) action: String,
    pub(crate) object_type: String,
    pub(crate) object_id: String,
    pub(crate) job: Option<String>,
}

impl Columns {
    pub(crate) fn of(record: &Record) -> Self {
        let entry = &record.entry;
        Self {
            entry_id: entry.entry_id.clone(),
            occurred_at: entry.occurred_at.micros(),
            principal: entry.actor.principal.clone(),
            client_id: entry.actor.client_id.clone(),
            action: entry.action.clone(),
            object_type: entry.object_type.clone(),
            object_id: entry.object_id.clone(),
            job: entry.job().map(str::to_owned),
        }
    }

    /// The names of the columns in which two differ.
    pub(crate) fn differences(&self, other: &Self) -> Vec<&'static str> {
        let same = [
            self.entry_id == other.entry_id,
            self.occurred_at == other.occurred_at,
            self.principal == other.principal,
            self.client_id == other.client_id,
            self.action == other.action,
            self.object_type == other.object_type,
            self.object_id == other.object_id,
            self.job == other.job,
        ];
        COLUMNS.into_iter().zip(same).filter(|(_, same)| !same).map(|(name, _)| name).collect()
    }
}
