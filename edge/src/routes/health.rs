//! Health: whether the edge lives, and whether everything a request needs is there.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Extension, State};
use futures::future::join_all;
use runwarden_kit::ErrorReason;
use runwarden_kit::service::NOTES;
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
use crate::surface::Listener;

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
    /// What an operator should look at although all is there. Told on the admin listener only: it may name tenants.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["audit: audit logs: damaged: acme"]))]
    pub notes: Vec<String>,
}

/// What was last heard of the services.
#[derive(Debug, Default)]
pub struct Readiness(Mutex<Option<(Instant, Heard)>>);

/// What services say of themselves.
#[derive(Clone, Debug, Default)]
struct Heard {
    /// Those that cannot be reached or cannot serve.
    missing: Vec<&'static str>,
    /// What the others mention, each with the service's name.
    notes: Vec<String>,
}

impl Readiness {
    /// What they say, at most a second old.
    async fn heard(&self, app: &App) -> Heard {
        // The lock is held while asking, so that many probes ask once; it is an async one for that reason.
        let mut heard = self.0.lock().await;
        if let Some((at, said)) = heard.as_ref()
            && at.elapsed() < BELIEVED
        {
            return said.clone();
        }
        let asked = app.ports.health().map(|(name, mut client)| async move {
            let request = HealthCheckRequest { service: String::new() };
            match tokio::time::timeout(PATIENCE, client.check(request)).await {
                Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => {
                    Ok(answer.metadata().get(NOTES).and_then(|note| note.to_str().ok()).map(|n| format!("{name}: {n}")))
                }
                _ => Err(name),
            }
        });
        let mut said = Heard::default();
        for answer in join_all(asked).await {
            match answer {
                Ok(note) => said.notes.extend(note),
                Err(name) => said.missing.push(name),
            }
        }
        if !app.trust.is_ready() {
            said.missing.push("trust");
        }
        *heard = Some((Instant::now(), said.clone()));
        said
    }
}

/// Whether the edge lives
#[utoipa::path(get, path = "/api/v1/health/live", tag = "health",
    responses((status = 200, description = "It does.", body = Health)))]
async fn live(Params(NoParams): Params<NoParams>) -> Json<Health> {
    Json(Health { status: "live", notes: Vec::new() })
}

/// Whether everything a request needs is there
///
/// When not, the problem's `missing` names what is not.
#[utoipa::path(get, path = "/api/v1/health/ready", tag = "health",
    responses((status = 200, description = "It is.", body = Health)))]
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
    responses((status = 200, description = "It is.", body = Health)))]
async fn health(
    State(app): State<App>,
    Extension(listener): Extension<Listener>,
    Params(NoParams): Params<NoParams>,
) -> Result<Json<Health>> {
    answer(&app, listener).await
}

async fn answer(app: &App, listener: Listener) -> Result<Json<Health>> {
    if app.shutdown.has_begun() {
        return Err(
            Problem::new(ErrorReason::Unavailable, "Runwarden is stopping.").with_extra("missing", json!(["edge"]))
        );
    }
    let Heard { missing, notes } = app.readiness.heard(app).await;
    if missing.is_empty() {
        let notes = if listener == Listener::Admin { notes } else { Vec::new() };
        return Ok(Json(Health { status: "ready", notes }));
    }
    let detail = format!("Not ready: {} cannot be reached or cannot serve.", missing.join(", "));
    Err(Problem::new(ErrorReason::Unavailable, detail).with_extra("missing", json!(missing)))
}
