//! Health: whether the edge lives, and whether everything a request needs is there.

use axum::Json;
use axum::extract::{Extension, State};
use runwarden_kit::ErrorReason;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::app::App;
use crate::declared::Routes;
use crate::extract::query::{NoParams, Params};
use crate::problem::{Problem, Result};
use crate::readiness::Reports;
use crate::route_table::{Lasts, Listener};

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .open(Lasts::NoSeat, routes!(live))
        .open(Lasts::NoSeat, routes!(ready))
        .open(Lasts::NoSeat, routes!(health))
}

/// How it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `live` or `ready`.
    #[schema(example = "ready")]
    pub status: &'static str,
    /// What an operator should look at although all is there. Told on the admin listener only: it may name tenants.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["audit: audit logs: damaged: acme"]))]
    pub notes: Vec<String>,
}

/// Whether the edge is alive
#[utoipa::path(get, path = "/api/v1/health/live", tag = "health",
    responses((status = 200, description = "The edge is alive.", body = Health)))]
async fn live(Params(NoParams): Params<NoParams>) -> Json<Health> {
    Json(Health { status: "live", notes: Vec::new() })
}

/// Whether everything a request needs is there
///
/// If not, the problem's `missing` lists what is not ready.
#[utoipa::path(get, path = "/api/v1/health/ready", tag = "health",
    responses((status = 200, description = "Everything is ready.", body = Health)))]
async fn ready(
    State(app): State<App>,
    Extension(listener): Extension<Listener>,
    Params(NoParams): Params<NoParams>,
) -> Result<Json<Health>> {
    answer(&app, listener).await
}

/// Whether everything a request needs is there
///
/// The same as `/api/v1/health/ready`, where probes expect it.
#[utoipa::path(get, path = "/health", tag = "health",
    responses((status = 200, description = "Everything is ready.", body = Health)))]
async fn health(
    State(app): State<App>,
    Extension(listener): Extension<Listener>,
    Params(NoParams): Params<NoParams>,
) -> Result<Json<Health>> {
    answer(&app, listener).await
}

async fn answer(app: &App, listener: Listener) -> Result<Json<Health>> {
    if app.shutdown.has_begun() {
        return Err(Problem::new(ErrorReason::Unavailable, "Runwarden is shutting down.")
            .with_extra("missing", json!(["edge"])));
    }
    let Reports { missing, notes } = app.readiness.reports(&app.ports, &app.trust).await;
    if missing.is_empty() {
        let notes = if listener == Listener::Admin { notes } else { Vec::new() };
        return Ok(Json(Health { status: "ready", notes }));
    }
    let detail = format!("Not ready: {} cannot be reached or cannot serve.", missing.join(", "));
    Err(Problem::new(ErrorReason::Unavailable, detail).with_extra("missing", json!(missing)))
}
