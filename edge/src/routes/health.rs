//! Health: whether the edge lives, and whether everything a request needs is there.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use futures::future::join_all;
use runwarden_kit::ErrorReason;
use serde::Serialize;
use serde_json::json;
use tokio::sync::Mutex;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::extract::query::{NoParams, Params};
use crate::problem::{Problem, Result};

/// How long a service may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long what was heard is believed, so that probes from outside cost nothing inside.
const BELIEVED: Duration = Duration::from_secs(1);

/// This noun's routes.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(live)).routes(routes!(ready)).routes(routes!(health))
}

/// How it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `live` or `ready`.
    #[schema(example = "ready")]
    pub status: &'static str,
}

/// What was last heard of the services.
#[derive(Debug, Default)]
pub struct Readiness(Mutex<Option<(Instant, Vec<&'static str>)>>);

impl Readiness {
    /// What is missing, at most a second old.
    async fn missing(&self, app: &App) -> Vec<&'static str> {
        // The lock is held while asking, so that many probes ask once; it is an async one for that reason.
        let mut heard = self.0.lock().await;
        if let Some((at, missing)) = heard.as_ref()
            && at.elapsed() < BELIEVED
        {
            return missing.clone();
        }
        let asked = app.ports.health().map(|(name, mut client)| async move {
            let request = HealthCheckRequest { service: String::new() };
            let answer = tokio::time::timeout(PATIENCE, client.check(request)).await;
            let serving = answer
                .is_ok_and(|answer| answer.is_ok_and(|answer| answer.get_ref().status() == ServingStatus::Serving));
            (!serving).then_some(name)
        });
        let mut missing: Vec<&'static str> = join_all(asked).await.into_iter().flatten().collect();
        if !app.trust.is_ready() {
            missing.push("trust");
        }
        *heard = Some((Instant::now(), missing.clone()));
        missing
    }
}

/// Whether the edge lives
#[utoipa::path(get, path = "/api/v1/health/live", tag = "health",
    responses((status = 200, description = "It does.", body = Health)))]
async fn live(Params(NoParams): Params<NoParams>) -> Json<Health> {
    Json(Health { status: "live" })
}

/// Whether everything a request needs is there
///
/// When not, the problem's `missing` names what is not.
#[utoipa::path(get, path = "/api/v1/health/ready", tag = "health",
    responses((status = 200, description = "It is.", body = Health)))]
async fn ready(State(app): State<App>, Params(NoParams): Params<NoParams>) -> Result<Json<Health>> {
    answer(&app).await
}

/// Whether everything a request needs is there
///
/// The same as `/api/v1/health/ready`, where probes expect it.
#[utoipa::path(get, path = "/health", tag = "health",
    responses((status = 200, description = "It is.", body = Health)))]
async fn health(State(app): State<App>, Params(NoParams): Params<NoParams>) -> Result<Json<Health>> {
    answer(&app).await
}

async fn answer(app: &App) -> Result<Json<Health>> {
    if app.shutdown.has_begun() {
        return Err(
            Problem::new(ErrorReason::Unavailable, "Runwarden is stopping.").with_extra("missing", json!(["edge"]))
        );
    }
    let missing = app.readiness.missing(app).await;
    if missing.is_empty() {
        return Ok(Json(Health { status: "ready" }));
    }
    let detail = format!("Not ready: {} cannot be reached or cannot serve.", missing.join(", "));
    Err(Problem::new(ErrorReason::Unavailable, detail).with_extra("missing", json!(missing)))
}
