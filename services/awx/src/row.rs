use runwarden_kit::launch_field::LaunchField;
use serde_json::{Map, Value};

use super::read;
use super::summary::{RunSummary, Told};
use super::tree::Wanted;

/// A run with its launch inputs, as the controller reports it. Prints no variables.
#[derive(Clone, PartialEq)]
pub struct RunRow {
    /// How it is.
    pub summary: RunSummary,
    /// Its name: that of the template.
    pub name: String,
    /// Its variables, survey passwords as `$encrypted$`; `None` when they cannot be read.
    pub extra_vars: Option<Map<String, Value>>,
    /// The hosts it was limited to.
    pub limit: String,
    /// The tags it skips.
    pub skip_tags: String,
    /// Its inventory.
    pub inventory: Option<i64>,
    /// How it came about: `manual` for a launch by API.
    pub launch_type: String,
    /// The user who launched it.
    pub launched_by: Option<i64>,
    /// The launch fields the row shows, for comparison.
    told: Map<String, Value>,
}

impl std::ops::Deref for RunRow {
    type Target = RunSummary;

    fn deref(&self) -> &RunSummary {
        &self.summary
    }
}

impl RunRow {
    /// Reads a row; `None` if it is not a job or workflow job with an id, or has too many variables to read. What is
    /// taken of it is named in [`Wanted::wants`], too.
    pub(super) fn read(row: &Value) -> Option<Self> {
        let mut summary = Told::default();
        summary.read(row).ok()?;
        let told = LaunchField::ALL
            .iter()
            .filter(|field| **field != LaunchField::ExtraVars)
            .filter_map(|field| Some((field.name().to_owned(), row.get(field.name())?.clone())))
            .collect();
        Some(Self {
            summary: summary.summary()?,
            name: read::shown(&read::text(row, "name"), 512),
            extra_vars: read::variables(row, "extra_vars").ok()?,
            limit: read::text(row, "limit"),
            skip_tags: read::text(row, "skip_tags"),
            inventory: read::id(row, "inventory"),
            launch_type: read::text(row, "launch_type"),
            launched_by: read::at(row, &["launched_by"])
                .filter(|by| by.get("type").is_none_or(|kind| kind == "user"))
                .and_then(|by| read::id(by, "id"))
                .or_else(|| read::at(row, &["summary_fields", "created_by"]).and_then(|by| read::id(by, "id")))
                .or_else(|| read::id(row, "created_by")),
            told,
        })
    }

    /// The row's value of a launch field, if it has the field: `null` where it is empty.
    pub(super) fn field(&self, field: LaunchField) -> Option<&Value> {
        self.told.get(field.name())
    }
}

/// A row of a run.
pub(super) enum OfRun {}

impl Wanted for OfRun {
    fn wants(key: &str) -> bool {
        let also = ["name", "extra_vars", "launch_type", "launched_by", "created_by", "summary_fields"];
        Told::wants(key) || LaunchField::by_name(key).is_some() || also.contains(&key)
    }
}

impl std::fmt::Debug for RunRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunRow").field("summary", &self.summary).finish_non_exhaustive()
    }
}
