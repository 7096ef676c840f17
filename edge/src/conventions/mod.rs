//! The outermost layer: the rules that apply to every request and every answer.
//!
//! It gives a request its id, its trace and its context and drains its body; the answer gets security headers
//! ([`security_headers`]), errors in one form ([`errors`]), a log line and metrics ([`measure`]).

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use http::header::{self, HeaderValue};
use runwarden_kit::context::RequestContext;
use runwarden_kit::{context, id, telemetry};
use tracing::Instrument as _;

use crate::app::ListenerApp;
use crate::extract::body::BodySlot;
use crate::extract::{authority, headers};
use crate::limits::address;
use crate::listener::Peer;

mod errors;
mod measure;
mod security_headers;

pub use errors::Verbatim;
pub use measure::{MatchedRoute, matched_route};

/// The layer.
pub async fn apply(State(here): State<ListenerApp>, mut request: Request, next: Next) -> Response {
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
            Ok(response) => errors::as_problem(response, &request_id),
            Err(panic) => errors::of_panic(&*panic).render(&request_id),
        }
    };
    if expects {
        slot.forget();
    } else {
        slot.drain().await;
    }

    let route = response.extensions_mut().remove::<MatchedRoute>().map_or_else(|| "(none)".to_owned(), |route| route.0);
    let status = response.status();
    telemetry::rename(&span, format!("{method} {route}"));
    span.record("route", route.as_str()).record("status", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(headers::REQUEST_ID, id);
    }
    security_headers::set(response.headers_mut(), here.app.is_https());
    let elapsed = started.elapsed();
    measure::count(here.listener, &method, &route, status, elapsed);
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(parent: &span, status = status.as_u16(), elapsed_ms, "answered");
    response
}

fn source_address(here: &ListenerApp, request: &Request) -> Option<std::net::IpAddr> {
    let peer = request.extensions().get::<Peer>()?;
    Some(address::client(peer.0.ip(), request.headers(), &here.app.config.trusted_proxies))
}
