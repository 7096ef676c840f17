//! What may depend on what: the edge can hold no credential, and services know each other by their contracts alone.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Crates of services.
const SERVICES: [&str; 7] = [
    "runwarden-auth",
    "runwarden-policy",
    "runwarden-project",
    "runwarden-secret",
    "runwarden-audit",
    "runwarden-executor",
    "runwarden-hook",
];

/// For each package of ours, everything that it is built from: its normal dependencies, theirs, and so on.
fn trees() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = |value: &Value| value.as_array().unwrap().clone();
    let names: BTreeMap<String, String> =
        list(&metadata["packages"]).iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
    let is_normal = |dependency: &Value| list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
    let direct: BTreeMap<String, Vec<String>> = list(&metadata["resolve"]["nodes"])
        .iter()
        .map(|node| {
            let needs = list(&node["deps"]);
            (text(&node["id"]), needs.iter().filter(|d| is_normal(d)).map(|d| text(&d["pkg"])).collect())
        })
        .collect();
    let ours = list(&metadata["workspace_members"]);
    ours.iter()
        .map(|member| {
            let mut seen = BTreeSet::new();
            let mut next = direct[&text(member)].clone();
            while let Some(id) = next.pop() {
                if seen.insert(names[&id].clone()) {
                    next.extend(direct[&id].iter().cloned());
                }
            }
            (names[&text(member)].clone(), seen)
        })
        .collect()
}

#[test]
fn the_edge_contains_no_database_driver_no_controller_client_and_no_service() {
    let trees = trees();
    let edge = &trees["runwarden-edge"];
    assert!(edge.contains("axum") && edge.contains("runwarden-proto"), "the tree was read: {edge:?}");
    let forbidden = [
        "runwarden-engines",
        "runwarden-awx",
        "runwarden-sandbox",
        "runwarden-harness",
        "rusqlite",
        "tokio-postgres",
        "vaultrs",
    ];
    let kinds = ["sqlx", "libsqlite3", "reqwest", "redis", "etcd", "aws-sdk", "regorus", "diesel"];
    let found: Vec<&String> = edge
        .iter()
        .filter(|name| {
            forbidden.contains(&name.as_str())
                || SERVICES.contains(&name.as_str())
                || kinds.iter().any(|kind| name.starts_with(kind))
        })
        .collect();
    assert!(found.is_empty(), "the edge depends on {found:?}");
}

#[test]
fn no_service_depends_on_another() {
    let trees = trees();
    for service in SERVICES {
        let others: Vec<&String> = trees[service]
            .iter()
            .filter(|name| SERVICES.contains(&name.as_str()) || *name == "runwarden-edge")
            .collect();
        assert!(others.is_empty(), "{service} depends on {others:?}");
        assert!(trees[service].contains("runwarden-kit"), "the tree was read");
    }
}

#[test]
fn only_the_executor_can_reach_a_controller() {
    let trees = trees();
    for service in SERVICES {
        let reaches = ["runwarden-awx", "reqwest"].iter().any(|name| trees[service].contains(*name));
        assert_eq!(reaches, service == "runwarden-executor", "{service}");
    }
}

#[test]
fn what_everybody_shares_depends_on_nobody_who_shares_it() {
    let trees = trees();
    for (shared, may) in [
        ("runwarden-proto", &[][..]),
        ("runwarden-kit", &["runwarden-proto"][..]),
        ("runwarden-engines", &["runwarden-kit", "runwarden-proto"][..]),
        ("runwarden-awx", &["runwarden-kit", "runwarden-proto"][..]),
        ("runwarden-rego", &["runwarden-kit", "runwarden-proto"][..]),
    ] {
        let ours: Vec<&str> =
            trees[shared].iter().map(String::as_str).filter(|name| name.starts_with("runwarden")).collect();
        assert!(ours.iter().all(|name| may.contains(name)), "{shared} depends on {ours:?}");
    }
}
