//! The routes, one file a noun.

use axum::Router;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use crate::docs;

mod answer;
pub mod audit;
pub mod auth;
pub mod bindings;
pub mod clients;
pub mod controllers;
mod field;
pub mod health;
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

/// All routes and the document that describes them: they are one, so neither can forget the other.
pub fn all() -> (Router<App>, Value) {
    let (router, document) = OpenApiRouter::with_openapi(docs::base())
        .merge(auth::routes())
        .merge(job_submission::routes())
        .merge(jobs::routes())
        .merge(job_streams::routes())
        .merge(job_resolution::routes())
        .merge(templates::routes())
        .merge(controllers::routes())
        .merge(projects::routes())
        .merge(members::routes())
        .merge(tenants::routes())
        .merge(clients::routes())
        .merge(roles::routes())
        .merge(bindings::routes())
        .merge(policies::routes())
        .merge(audit::routes())
        .merge(keys::routes())
        .merge(secrets::routes())
        .merge(health::routes())
        .merge(docs::document_route())
        .split_for_parts();
    (router, docs::finish(document))
}
