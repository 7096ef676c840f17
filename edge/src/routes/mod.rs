//! The routes, one file a noun.

use std::sync::LazyLock;

use axum::Router;
use serde_json::Value;
use utoipa::openapi::OpenApi;

use crate::app::App;
use crate::declared::Routes;
use crate::docs;
use crate::route_table::Table;

mod answer;
pub mod audit;
pub mod auth;
pub mod bindings;
pub mod callback_messages;
pub mod callbacks;
pub mod clients;
pub mod controller_notifications;
pub mod controllers;
mod field;
pub mod health;
pub mod hook_deliveries;
pub mod hooks;
pub mod job_priority;
pub mod job_resolution;
pub mod job_streams;
pub mod job_submission;
pub mod jobs;
pub mod keys;
pub mod members;
mod paging;
pub mod policies;
pub mod projects;
pub mod rate;
pub mod roles;
pub mod secrets;
pub mod templates;
pub mod tenants;
pub mod webhooks;

/// A section of the document: the tag of its operations, what it is about, and its routes.
type Section = (&'static str, &'static str, &'static [fn() -> Routes]);

/// Every section, in the order of the document.
const SECTIONS: &[Section] = &[
    ("auth", "Obtain, introspect and revoke tokens", &[auth::routes]),
    (
        "jobs",
        "Requests to run a template, and what became of them",
        &[job_submission::routes, jobs::routes, job_streams::routes, job_resolution::routes],
    ),
    ("templates", "What may be run: each names exactly one template of a controller", &[templates::routes]),
    ("callbacks", "Where results are sent, and what was sent there", &[callbacks::routes, callback_messages::routes]),
    ("controllers", "AWX or AAP installations", &[controllers::routes, controller_notifications::routes]),
    ("projects", "Teams' spaces inside a tenant, and their members", &[projects::routes, members::routes]),
    ("tenants", "Customers or organisations, isolated from each other", &[tenants::routes]),
    ("clients", "Service accounts and their OAuth clients", &[clients::routes]),
    ("access", "Roles, and the bindings that grant them", &[roles::routes, bindings::routes]),
    ("policies", "Rego modules that decide what may be run with which parameters", &[policies::routes]),
    (
        "hooks",
        "Ways in for foreign senders, and what they delivered",
        &[hooks::routes, hook_deliveries::routes, webhooks::routes],
    ),
    ("audit", "The audit log, and proofs of it", &[audit::routes]),
    ("secrets", "Sealed values, and the keys that seal and sign", &[keys::routes, secrets::routes]),
    ("health", "Liveness and readiness", &[health::routes]),
    ("docs", "This document", &[docs::routes]),
];

/// All routes and the document that describes them: they are one, so neither can forget the other.
pub fn all() -> (Router<App>, Value) {
    let (router, described, _) = declared();
    let mut document = docs::base(SECTIONS.iter().map(|(tag, about, _)| (*tag, *about)));
    document.merge(described);
    (router, docs::finish(document, table()))
}

/// What is reachable.
pub fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| declared().2);
    &TABLE
}

fn declared() -> (Router<App>, OpenApi, Table) {
    let all = SECTIONS.iter().flat_map(|(_, _, routes)| *routes);
    all.fold(Routes::new(), |all, routes| all.merge(routes())).into_parts()
}

#[cfg(test)]
mod tests;
