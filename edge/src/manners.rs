//! What every answer has, whatever happened inside: an id, a trace, security headers, errors in one form, a log line.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use runwarden_kit::context::RequestContext;
use runwarden_kit::{Error, context, id, telemetry};
use tracing::Instrument as _;

use crate::extract::body::BodySlot;
use crate::extract::{authority, headers};
use crate::gate::Here;
use crate::limits::address;
use crate::listener::Peer;
use crate::problem::{self, Problem};

/// The route and the principal of a request, for its log line; the gate and the router leave them in the answer.
#[derive(Clone, Debug)]
pub struct Served {
    /// The path with its parameters in braces.
    pub route: String,
}

/// The outermost layer.
pub async fn mind(State(here): State<Here>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = headers::request_id(request.headers()).map_or_else(|| id::new("req"), str::to_owned);
    let method = request.method().clone();
    let source = source_address(&here, &request);
    let span = tracing::info_span!(
        "http",
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        listener = here.listener.name(),
        method = method.as_str(),
        route = tracing::field::Empty,
        request_id,
        trace_id = tracing::field::Empty,
        principal = tracing::field::Empty,
        tenant = tracing::field::Empty,
        status = tracing::field::Empty,
    );
    telemetry::continue_trace(&span, request.headers());
    let trace_id = telemetry::trace_id(&span)
        .or_else(|| {
            let given = request.headers().get(context::TRACEPARENT)?.to_str().ok()?;
            context::trace_id_of(given)
        })
        .unwrap_or_else(telemetry::new_trace_id);
    span.record("trace_id", trace_id.as_str());

    let expects = request.headers().contains_key(header::EXPECT);
    let slot = BodySlot::park(&mut request);
    let context = RequestContext {
        request_id: request_id.clone(),
        trace_id,
        source_address: source.map(|address| address.to_string()).unwrap_or_default(),
        ..RequestContext::default()
    };
    let addressed = authority::check(&request);
    let answer = async move {
        match addressed {
            Ok(()) => next.run(request).await,
            Err(problem) => problem.into_response(),
        }
    };
    let inside = AssertUnwindSafe(context::scope(context, answer)).catch_unwind();
    let answered = inside.instrument(span.clone()).await;
    let mut response = {
        let _entered = span.enter();
        match answered {
            Ok(response) => rendered(response, &request_id),
            Err(panic) => {
                Problem::from(Error::internal(anyhow::anyhow!("panic: {}", words(&*panic)))).render(&request_id)
            }
        }
    };
    if expects {
        slot.forget();
    } else {
        slot.drain().await;
    }

    let route = response.extensions_mut().remove::<Served>().map_or_else(|| "(none)".to_owned(), |served| served.route);
    let status = response.status();
    telemetry::rename(&span, format!("{method} {route}"));
    span.record("route", route.as_str()).record("status", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    dress(response.headers_mut(), &request_id, here.app.is_https());
    let elapsed = started.elapsed();
    count(&here, &method, &route, status, elapsed);
    tracing::info!(parent: &span, status = status.as_u16(), elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX), "answered");
    response
}

fn source_address(here: &Here, request: &Request) -> Option<std::net::IpAddr> {
    let peer = request.extensions().get::<Peer>()?;
    Some(address::client(peer.0.ip(), request.headers(), &here.app.config.trusted_proxies))
}

/// Turns what handlers left, or what a library answered by itself, into a problem.
fn rendered(mut response: Response, request_id: &str) -> Response {
    let served = response.extensions_mut().remove::<Served>();
    let problem = response.extensions_mut().remove::<Problem>().or_else(|| {
        let status = response.status();
        let is_error = status.is_client_error() || status.is_server_error();
        (is_error && !has_own_body(response.headers())).then(|| problem::of_status(status))
    });
    let mut response = match problem {
        Some(problem) => {
            let mut fresh = problem.render(request_id);
            // What the layers between added, such as rate limits, stays.
            for (name, value) in response.headers() {
                if *name != header::CONTENT_LENGTH && !fresh.headers().contains_key(name) {
                    fresh.headers_mut().append(name.clone(), value.clone());
                }
            }
            fresh
        }
        None => response,
    };
    if let Some(served) = served {
        response.extensions_mut().insert(served);
    }
    response
}

/// An error in OAuth's form is left as it is.
fn has_own_body(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json" || kind == problem::MEDIA_TYPE)
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without words")
}

/// The headers every answer has.
fn dress(headers: &mut HeaderMap, request_id: &str, https: bool) {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(headers::REQUEST_ID, id);
    }
    let mut unless_set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    unless_set(header::CACHE_CONTROL, "no-store");
    unless_set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    unless_set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    unless_set(header::X_FRAME_OPTIONS, "DENY");
    unless_set(header::REFERRER_POLICY, "no-referrer");
    unless_set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    unless_set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    unless_set(HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()");
    if https {
        unless_set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000; includeSubDomains");
    }
}

fn count(here: &Here, method: &Method, route: &str, status: StatusCode, elapsed: std::time::Duration) {
    // A method nobody serves is the caller's invention; it must not become a time series of its own.
    let method = match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known.to_owned(),
        _ => "other".to_owned(),
    };
    let labels = [
        ("listener", here.listener.name().to_owned()),
        ("method", method),
        ("route", route.to_owned()),
        ("status", status.as_u16().to_string()),
    ];
    metrics::counter!("runwarden_http_requests_total", &labels).increment(1);
    let [listener, method, route, _] = labels;
    metrics::histogram!("runwarden_http_seconds", &[listener, method, route]).record(elapsed.as_secs_f64());
}

/// The route a request was matched to.
#[must_use]
pub fn route_of(request: &Request) -> Option<&str> {
    request.extensions().get::<MatchedPath>().map(MatchedPath::as_str)
}
