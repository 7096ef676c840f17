//! The way in: limits of the proxy, faults on order, the API, and the headers that every answer carries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use time::OffsetDateTime;

use super::call::Call;
use super::reply::{Refusal, nginx};
use super::{body, control, misc, path, routes};
use crate::app::{App, lock};
use crate::faults::{Kind, millis};
use crate::state::now;

/// nginx's limits in front of AWX.
const MAX_BODY: usize = 5 * 1024 * 1024;
const MAX_URI: usize = 8 * 1024;

/// Answers a request, or drops the connection (`None`).
pub(crate) async fn enter(app: Arc<App>, request: Request) -> Option<Response> {
    let arrived = now();
    let (parts, body) = request.into_parts();
    if parts.uri.to_string().len() > MAX_URI {
        return Some(nginx(StatusCode::URI_TOO_LONG));
    }
    let Ok(bytes) = axum::body::to_bytes(body, MAX_BODY).await else {
        return Some(nginx(StatusCode::PAYLOAD_TOO_LARGE));
    };
    if parts.uri.path().starts_with("/sandbox/") {
        return Some(control::answer(&app, &parts, &bytes).await);
    }
    let fault = lock(&app.faults).strike(parts.method.as_str(), parts.uri.path());
    match fault {
        None | Some(Kind::Backwards) => Some(work(app, parts, bytes, arrived).await),
        Some(Kind::Slow { ms }) => {
            tokio::time::sleep(millis(ms)).await;
            Some(work(app, parts, bytes, arrived).await)
        }
        Some(Kind::Status { status }) => Some(nginx(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY))),
        Some(Kind::Unauthorized) => Some(Refusal::unauthenticated().into_response()),
        Some(Kind::LoseBefore { after_ms }) => {
            tokio::time::sleep(millis(after_ms)).await;
            None
        }
        Some(Kind::LoseAfter { after_ms }) => {
            work(app, parts, bytes, arrived).await;
            tokio::time::sleep(millis(after_ms)).await;
            None
        }
        Some(Kind::DelayCommit { commit_after_ms, hang_ms }) => {
            let later = Arc::clone(&app);
            let stop = app.stop.clone();
            app.tasks.spawn(async move {
                tokio::select! {
                    () = tokio::time::sleep(millis(commit_after_ms)) => {
                        work(later, parts, bytes, arrived).await;
                    }
                    () = stop.cancelled() => {}
                }
            });
            tokio::time::sleep(millis(hang_ms)).await;
            None
        }
    }
}

/// Does the work in a task of its own: a client that hangs up does not stop it.
async fn work(app: Arc<App>, parts: Parts, body: Bytes, arrived: OffsetDateTime) -> Response {
    let task = tokio::spawn(async move { api(app, parts, body, arrived).await });
    task.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request broke the sandbox");
        Refusal::html(StatusCode::INTERNAL_SERVER_ERROR, "Server Error (500)").into_response()
    })
}

async fn api(app: Arc<App>, parts: Parts, body: Bytes, arrived: OffsetDateTime) -> Response {
    let started = Instant::now();
    let raw_query = parts.uri.query().unwrap_or_default().to_owned();
    let Some(path) = path::parse(parts.uri.path(), &app.bases) else {
        return Refusal::no_such_page().into_response();
    };
    let headers = parts.headers;
    let request_id = headers
        .get("x-api-request-id")
        .and_then(|v| v.to_str().ok())
        .filter(|v| uuid::Uuid::parse_str(v).is_ok())
        .map_or_else(|| uuid::Uuid::new_v4().simple().to_string(), str::to_owned);
    let call = Call {
        app,
        method: parts.method,
        raw_path: parts.uri.path().to_owned(),
        raw_query: raw_query.clone(),
        path,
        query: body::pairs(&raw_query),
        headers,
        body,
        arrived,
        request_id,
    };
    let mut response = routes::route(&call).await.unwrap_or_else(Refusal::into_response);
    mark(&call, &mut response, started.elapsed());
    response
}

/// The headers of every answer of AWX itself; the proxy's error pages have none of them.
fn mark(call: &Call, response: &mut Response, took: Duration) {
    let product = if call.path.base == "/api" { "AWX" } else { "Red Hat Ansible Automation Platform" };
    let seconds = format!("{:.3}s", took.as_secs_f64());
    let mut headers = vec![
        ("x-api-product-name", product.to_owned()),
        ("x-api-node", "sandbox".to_owned()),
        ("x-api-time", seconds.clone()),
        ("x-api-total-time", seconds),
        ("x-api-request-id", call.request_id.clone()),
        ("vary", "Accept, Accept-Language, Origin, Cookie".to_owned()),
    ];
    if misc::knows_version(call) {
        headers.push(("x-api-product-version", misc::VERSION.to_owned()));
    }
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    if call.method == http::Method::HEAD {
        *response.body_mut() = Body::empty();
    }
}
