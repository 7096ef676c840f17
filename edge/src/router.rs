//! The whole of what a listener serves: routes, and the layers around them. The one place that knows all of them.

use axum::Router;
use axum::middleware::from_fn_with_state;
use http::{HeaderName, HeaderValue, Method, header};
use tower::ServiceExt as _;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::app::{App, ListenerApp};
use crate::extract::headers;
use crate::route_table::Listener;
use crate::{conventions, docs, gate, path, routes};

/// Everything that a listener serves, layers included.
pub fn router(app: &App, listener: Listener) -> Router {
    let (routes, document) = routes::all();
    let here = ListenerApp { app: app.clone(), listener, table: routes::table() };
    let mut router = routes
        .layer(docs::served(&document, here.table, listener))
        .layer(axum::extract::Extension(listener))
        .fallback(gate::nothing_here)
        .layer(from_fn_with_state(here.clone(), gate::pass))
        .with_state(app.clone());
    if !app.config.cors_origins.is_empty() {
        router = router.layer(cors(&app.config.cors_origins));
    }
    let router = router.layer(from_fn_with_state(here, conventions::apply));
    // Before routes are looked for, so it cannot be a layer of theirs.
    Router::new().fallback_service(router.map_request(path::without_slash_at_end))
}

fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            headers::IDEMPOTENCY_KEY,
            headers::TENANT,
            headers::REQUEST_ID,
            headers::LAST_EVENT_ID,
            HeaderName::from_static("traceparent"),
        ])
        .expose_headers([
            header::LOCATION,
            header::ETAG,
            header::RETRY_AFTER,
            headers::REQUEST_ID,
            gate::RATE_LIMIT,
            gate::RATE_LIMIT_POLICY,
            gate::REPLAYED,
        ])
        .max_age(std::time::Duration::from_secs(600))
}
