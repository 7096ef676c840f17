//! The simple resources a template refers to: organisations, projects, inventories, credentials and such.
//!
//! They are plain rows: nothing in the sandbox changes them except that labels can be created.

use serde_json::{Map, Value, json};

use super::State;

/// A collection: its path, the `type` of its rows, the model's name in error texts.
pub(crate) struct Collection {
    pub(crate) path: &'static str,
    pub(crate) type_name: &'static str,
    pub(crate) model: &'static str,
}

pub(crate) const COLLECTIONS: &[Collection] = &[
    Collection { path: "organizations", type_name: "organization", model: "Organization" },
    Collection { path: "projects", type_name: "project", model: "Project" },
    Collection { path: "inventories", type_name: "inventory", model: "Inventory" },
    Collection { path: "hosts", type_name: "host", model: "Host" },
    Collection { path: "credentials", type_name: "credential", model: "Credential" },
    Collection { path: "labels", type_name: "label", model: "Label" },
    Collection { path: "execution_environments", type_name: "execution_environment", model: "ExecutionEnvironment" },
    Collection { path: "instance_groups", type_name: "instance_group", model: "InstanceGroup" },
];

pub(crate) fn collection(path: &str) -> Option<&'static Collection> {
    COLLECTIONS.iter().find(|c| c.path == path)
}

/// The rows of a fresh controller.
pub(crate) fn seed() -> std::collections::BTreeMap<String, Vec<Value>> {
    let host = |id: u64, name: &str, inventory: u64| json!({"id": id, "name": name, "description": "", "inventory": inventory, "enabled": true, "variables": "ansible_connection: local"});
    [
        ("organizations", vec![
                json!({"id": 1, "name": "Default", "description": "", "max_hosts": 0}),
                json!({"id": 2, "name": "Elsewhere", "description": "No account of the sandbox is a member of it.", "max_hosts": 0}),
            ]),
        (
            "projects",
            vec![
                json!({"id": 8, "name": "Sandbox playbooks", "description": "The playbooks that the sandbox ships.", "organization": 1, "scm_type": "", "local_path": "sandbox",
                "scm_branch": "", "scm_revision": "", "status": "ok", "allow_override": true, "scm_update_on_launch": false}),
                json!({"id": 9, "name": "One branch only", "description": "Templates cannot choose its branch.", "organization": 1, "scm_type": "git", "local_path": "_9__one_branch_only",
                "scm_branch": "main", "scm_revision": "", "status": "ok", "allow_override": false, "scm_update_on_launch": false}),
            ],
        ),
        (
            "inventories",
            vec![
                json!({"id": 1, "name": "localhost", "description": "", "organization": 1, "kind": "", "total_hosts": 1, "variables": ""}),
                json!({"id": 2, "name": "fleet", "description": "Three hosts, enough to slice.", "organization": 1, "kind": "", "total_hosts": 3, "variables": ""}),
                json!({"id": 3, "name": "not yours", "description": "Only superusers may use it.", "organization": 1, "kind": "", "total_hosts": 1, "variables": "", "restricted": true}),
                json!({"id": 4, "name": "to look at", "description": "Operators may see it and not use it.", "organization": 1, "kind": "", "total_hosts": 1, "variables": "", "unusable": true}),
            ],
        ),
        ("hosts", vec![host(1, "localhost", 1), host(2, "web1", 2), host(3, "web2", 2), host(4, "web3", 2), host(5, "secret1", 3)]),
        (
            "credentials",
            vec![
                json!({"id": 1, "name": "machine", "description": "", "organization": 1, "credential_type": 1, "kind": "ssh", "inputs": {"username": "deploy"}}),
                json!({"id": 2, "name": "machine that asks", "description": "", "organization": 1, "credential_type": 1, "kind": "ssh", "inputs": {"username": "deploy", "password": "ASK"}}),
                json!({"id": 3, "name": "not yours", "description": "", "organization": 1, "credential_type": 1, "kind": "ssh", "inputs": {}, "restricted": true}),
                json!({"id": 4, "name": "other machine", "description": "", "organization": 1, "credential_type": 1, "kind": "ssh", "inputs": {"username": "other"}}),
                json!({"id": 5, "name": "vault of dev", "description": "", "organization": 1, "credential_type": 3, "kind": "vault", "inputs": {"vault_id": "dev"}}),
                json!({"id": 6, "name": "vault of prod", "description": "", "organization": 1, "credential_type": 3, "kind": "vault", "inputs": {"vault_id": "prod"}}),
                json!({"id": 7, "name": "to look at", "description": "Operators may see it and not use it.", "organization": 1, "credential_type": 1, "kind": "ssh", "inputs": {}, "unusable": true}),
            ],
        ),
        ("labels", vec![json!({"id": 1, "name": "runwarden", "organization": 1}), json!({"id": 2, "name": "nightly", "organization": 1}), json!({"id": 3, "name": "not yours", "organization": 2, "restricted": true})]),
        ("execution_environments", vec![
                json!({"id": 1, "name": "Sandbox EE", "description": "", "image": "sandbox/ee:latest", "organization": null}),
                json!({"id": 2, "name": "not yours", "description": "", "image": "sandbox/ee:theirs", "organization": 2, "restricted": true}),
            ]),
        (
            "instance_groups",
            vec![
                json!({"id": 1, "name": "controlplane", "capacity": 100, "is_container_group": false}),
                json!({"id": 2, "name": "default", "capacity": 100, "is_container_group": false}),
                json!({"id": 3, "name": "not yours", "capacity": 100, "is_container_group": false, "restricted": true}),
            ],
        ),
    ]
    .into_iter()
    .map(|(name, rows)| (name.to_owned(), rows))
    .collect()
}

impl State {
    pub(crate) fn rows(&self, path: &str) -> &[Value] {
        self.catalogue.get(path).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn row(&self, path: &str, id: u64) -> Option<&Map<String, Value>> {
        self.rows(path)
            .iter()
            .filter_map(Value::as_object)
            .find(|row| row.get("id").and_then(Value::as_u64) == Some(id))
    }

    pub(crate) fn row_mut(&mut self, path: &str, id: u64) -> Option<&mut Map<String, Value>> {
        self.catalogue
            .get_mut(path)?
            .iter_mut()
            .filter_map(Value::as_object_mut)
            .find(|row| row.get("id").and_then(Value::as_u64) == Some(id))
    }

    pub(crate) fn row_name(&self, path: &str, id: u64) -> String {
        self.row(path, id).and_then(|row| row.get("name")).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Names of an inventory's hosts, in order.
    pub(crate) fn hosts(&self, inventory: u64) -> Vec<String> {
        self.rows("hosts")
            .iter()
            .filter(|row| row.get("inventory").and_then(Value::as_u64) == Some(inventory))
            .filter_map(|row| row.get("name").and_then(Value::as_str).map(str::to_owned))
            .collect()
    }
}

/// What tells one kind of credential from another: its type, and of vaults their id.
pub(crate) fn kind_of(row: &Map<String, Value>) -> (u64, &str) {
    let vault = row.get("inputs").and_then(|inputs| inputs.get("vault_id")).and_then(Value::as_str);
    (row.get("credential_type").and_then(Value::as_u64).unwrap_or(0), vault.unwrap_or_default())
}

/// Rows that operators may see and not use carry this mark, which no answer shows.
pub(crate) fn is_unusable(row: &Map<String, Value>) -> bool {
    row.get("unusable").and_then(Value::as_bool).unwrap_or(false)
}

/// Rows that only superusers may use carry this mark, which no answer shows.
pub(crate) fn is_restricted(row: &Map<String, Value>) -> bool {
    row.get("restricted").and_then(Value::as_bool).unwrap_or(false)
}
