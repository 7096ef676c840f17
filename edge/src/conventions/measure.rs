//! Metrics of requests, by the route they were matched to.

use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use http::{Method, StatusCode};

use crate::route_table::Listener;

/// The route of a request, its path with the parameters in braces. The gate leaves it in the answer, for the log line
/// and the metrics.
#[derive(Clone, Debug)]
pub struct MatchedRoute(pub String);

/// The route a request was matched to.
#[must_use]
pub fn matched_route(request: &Request) -> Option<&str> {
    request.extensions().get::<MatchedPath>().map(MatchedPath::as_str)
}

/// Counts an answer and the time it took.
pub(super) fn count(listener: Listener, method: &Method, route: &str, status: StatusCode, elapsed: Duration) {
    // An unknown method is made up by the caller; it must not become a time series of its own.
    let method = match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known.to_owned(),
        _ => "other".to_owned(),
    };
    let labels = [
        ("listener", listener.name().to_owned()),
        ("method", method),
        ("route", route.to_owned()),
        ("status", status.as_u16().to_string()),
    ];
    metrics::counter!("runwarden_http_requests_total", &labels).increment(1);
    let [listener, method, route, _] = labels;
    metrics::histogram!("runwarden_http_seconds", &[listener, method, route]).record(elapsed.as_secs_f64());
}
