//! What a template launches with when nothing is sent: the launch page's defaults, which every account that may launch
//! can read.

use std::collections::BTreeSet;

use runwarden_kit::launch_field::LaunchField;
use serde_json::Value;

use super::read;
use super::template::TemplateView;

/// A template's own objects.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnValues {
    pub(super) credentials: Vec<OwnCredential>,
    labels: Vec<i64>,
    instance_groups: Vec<i64>,
    execution_environment: Option<i64>,
}

/// A credential of a template's own.
#[derive(Clone, Debug)]
pub(super) struct OwnCredential {
    pub(super) id: i64,
    pub(super) name: String,
    /// `None` where the controller does not say.
    pub(super) kind: Option<CredentialKind>,
    /// The passwords it asks for at launch.
    pub(super) asks: Vec<String>,
}

/// What distinguishes kinds of credentials: AWX accepts one of each. Vaults are distinguished by their id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CredentialKind {
    credential_type: i64,
    vault: String,
}

impl CredentialKind {
    pub(super) fn read(row: &Value, vault: Option<&Value>) -> Option<Self> {
        let vault = vault.and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Self { credential_type: read::id(row, "credential_type")?, vault })
    }
}

impl OwnValues {
    /// From the launch page, or as far as the template's row goes where that does not say.
    pub(super) fn read(launch: &Value, row: &Value) -> Self {
        let told = |field: &str| read::at(launch, &["defaults", field]).and_then(Value::as_array);
        let ids = |field: &str| told(field).into_iter().flatten().filter_map(|item| read::id(item, "id")).collect();
        let credentials =
            told("credentials").or_else(|| read::at(row, &["summary_fields", "credentials"]).and_then(Value::as_array));
        Self {
            credentials: credentials.into_iter().flatten().filter_map(OwnCredential::read).collect(),
            labels: ids("labels"),
            instance_groups: ids("instance_groups"),
            execution_environment: read::id(row, "execution_environment"),
        }
    }
}

impl OwnCredential {
    fn read(row: &Value) -> Option<Self> {
        Some(Self {
            id: read::id(row, "id")?,
            name: read::shown(&read::text(row, "name"), 512),
            kind: CredentialKind::read(row, row.get("vault_id")),
            asks: read::texts(row, "passwords_needed"),
        })
    }
}

/// The ids that a launch field's value names.
pub(super) fn ids(value: &Value) -> Vec<i64> {
    match value {
        Value::Array(items) => items.iter().filter_map(Value::as_i64).collect(),
        one => one.as_i64().into_iter().collect(),
    }
}

impl TemplateView {
    /// The ids of a launch field that are not the template's own. What is its own AWX does not count as asked for.
    pub(super) fn foreign(&self, field: LaunchField, value: &Value) -> BTreeSet<i64> {
        let sent = ids(value);
        let own: Vec<i64> = match field {
            LaunchField::Inventory => self.inventory.iter().map(|inventory| inventory.id).collect(),
            LaunchField::ExecutionEnvironment => self.own.execution_environment.into_iter().collect(),
            LaunchField::Credentials => self.own.credentials.iter().map(|own| own.id).collect(),
            LaunchField::Labels => self.own.labels.clone(),
            // Their order counts, so they are the own ones all together or not at all.
            LaunchField::InstanceGroups if sent == self.own.instance_groups => sent.clone(),
            _ => Vec::new(),
        };
        sent.into_iter().filter(|id| !own.contains(id)).collect()
    }
}
