//! The way in: limits of the proxy, faults on order, the API, and the headers that every answer carries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use hyper::body::Body as _;
use time::OffsetDateTime;
use time::macros::format_description;

use super::call::Call;
use super::reply::{Refusal, nginx};
use super::{body, control, misc, path, routes, strike};
use crate::app::{App, lock};

/// nginx's limits in front of AWX.
const MAX_BODY: usize = 5 * 1024 * 1024;
const MAX_URI: usize = 8 * 1024;

/// A request that got past the proxy.
pub(crate) struct Asked {
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
    /// When it came, by the controller's clock.
    pub(crate) arrived: OffsetDateTime,
    /// Prompts for variables and skip tags are taken as switched off.
    pub(crate) unprompted: bool,
}

/// Answers a request, or drops the connection (`None`).
pub(crate) async fn enter(app: Arc<App>, request: Request) -> Option<Response> {
    let came = Instant::now();
    let (parts, body) = request.into_parts();
    if parts.uri.path().starts_with("/sandbox/") {
        let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
            return Some(nginx(StatusCode::PAYLOAD_TOO_LARGE));
        };
        return Some(control::answer(&app, &parts, &body).await);
    }
    let class = lock(&app.requests).came(parts.method.as_str(), parts.uri.path());
    let mut answer = admit(Arc::clone(&app), parts, body).await?;
    if !app.latency.is_zero() {
        tokio::time::sleep(app.latency.saturating_sub(came.elapsed())).await;
    }
    if let Some(date) = date(app.read().now()) {
        answer.headers_mut().insert(header::DATE, date);
    }
    lock(&app.requests).answered(&class, answer.body().size_hint().exact().unwrap_or(0));
    Some(answer)
}

async fn admit(app: Arc<App>, parts: Parts, body: Body) -> Option<Response> {
    let arrived = app.read().now();
    if parts.uri.to_string().len() > MAX_URI {
        return Some(nginx(StatusCode::URI_TOO_LONG));
    }
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return Some(nginx(StatusCode::PAYLOAD_TOO_LARGE));
    };
    if parts.uri.path() == strike::MIGRATIONS {
        return Some(strike::migrations());
    }
    strike::answer(app, Asked { parts, body, arrived, unprompted: false }).await
}

/// What a `Date` header says.
fn date(now: OffsetDateTime) -> Option<HeaderValue> {
    let format =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    now.format(format).ok().and_then(|text| HeaderValue::from_str(&text).ok())
}

/// Does the work in a task of its own: a client that hangs up does not stop it.
pub(crate) async fn work(app: Arc<App>, asked: Asked) -> Response {
    let task = tokio::spawn(async move { api(app, asked).await });
    task.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request broke the sandbox");
        Refusal::html(StatusCode::INTERNAL_SERVER_ERROR, "Server Error (500)").into_response()
    })
}

async fn api(app: Arc<App>, asked: Asked) -> Response {
    let started = Instant::now();
    let Asked { parts, body, arrived, unprompted } = asked;
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
        unprompted,
    };
    let mut response = routes::route(&call).await.unwrap_or_else(Refusal::into_response);
    mark(&call, &mut response, started.elapsed());
    response
}

/// The headers of every answer of AWX itself; the proxy's error pages have none of them.
fn mark(call: &Call, response: &mut Response, took: Duration) {
    let product = if call.path.base == "/api" { "AWX" } else { "Red Hat Ansible Automation Platform" };
    sign(response, product, &call.request_id, took);
    if misc::knows_version(call) {
        put(response, "x-api-product-version", misc::VERSION);
    }
    if call.method == http::Method::HEAD {
        *response.body_mut() = Body::empty();
    }
}

/// An answer of AWX itself that no view made.
pub(crate) fn own(mut response: Response) -> Response {
    sign(&mut response, "AWX", &uuid::Uuid::new_v4().simple().to_string(), Duration::ZERO);
    response
}

fn sign(response: &mut Response, product: &str, request_id: &str, took: Duration) {
    let seconds = format!("{:.3}s", took.as_secs_f64());
    put(response, "x-api-product-name", product);
    put(response, "x-api-node", "sandbox");
    put(response, "x-api-time", &seconds);
    put(response, "x-api-total-time", &seconds);
    put(response, "x-api-request-id", request_id);
    put(response, "vary", "Accept, Accept-Language, Origin, Cookie");
}

fn put(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
