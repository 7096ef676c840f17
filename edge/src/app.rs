//! What every request is served with, and how layers and routes are put together.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use http::{HeaderName, HeaderValue, Method, header};
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::trust::Trust;
use tower::ServiceExt as _;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::config::Config;
use crate::extract::headers;
use crate::limits::rate::Limit;
use crate::limits::refusals::Refusals;
use crate::limits::room::Room;
use crate::ports::Ports;
use crate::routes::health::Readiness;
use crate::surface::Listener;
use crate::{docs, gate, manners, path, routes};

/// What every request is served with.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// The inside of [`App`].
pub struct Inner {
    /// The settings.
    pub config: Config,
    /// How outside callers reach the public listener, without a slash at the end.
    pub public_url: String,
    /// The services behind.
    pub ports: Ports,
    /// Verifies callers.
    pub trust: Arc<Trust>,
    /// Refusals of callers nobody knows.
    pub refusals: Refusals,
    /// The limit by principal.
    pub by_principal: Option<Limit<String>>,
    /// The limit by address.
    pub by_address: Option<Limit<IpAddr>>,
    /// Room for what goes on at once.
    pub room: Room,
    /// What was last heard of the services' health.
    pub readiness: Readiness,
    /// The wish to stop.
    pub shutdown: Shutdown,
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    /// Puts together what requests are served with.
    #[must_use]
    pub fn new(config: Config, public_url: String, ports: Ports, trust: Arc<Trust>, shutdown: Shutdown) -> Self {
        Self(Arc::new(Inner {
            by_principal: Limit::new("principal", config.principal_rate, config.principal_burst),
            by_address: Limit::new("address", config.address_rate, config.address_burst),
            room: Room::new(&config),
            refusals: Refusals::default(),
            readiness: Readiness::default(),
            config,
            public_url,
            ports,
            trust,
            shutdown,
        }))
    }

    /// Whether outside callers come by TLS, here or at a proxy in front.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.config.edge_tls_cert.is_some() || self.public_url.starts_with("https://")
    }

    /// All that a listener serves, layers included.
    pub fn router(&self, listener: Listener) -> Router {
        let (routes, document) = routes::all();
        let here = gate::Here { app: self.clone(), listener };
        let mut router = routes
            .merge(docs::page_routes())
            .layer(docs::served(&document, listener))
            .layer(axum::extract::Extension(listener))
            .fallback(gate::nothing_here)
            .layer(from_fn_with_state(here.clone(), gate::pass))
            .with_state(self.clone());
        if !self.config.cors_origins.is_empty() {
            router = router.layer(cors(&self.config.cors_origins));
        }
        let router = router.layer(from_fn_with_state(here, manners::mind));
        // Before routes are looked for, so it cannot be a layer of theirs.
        Router::new().fallback_service(router.map_request(path::without_slash_at_end))
    }
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
