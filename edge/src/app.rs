//! What every request is served with. Knows no route and no layer: those know it.

use std::net::IpAddr;
use std::sync::Arc;

use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::trust::Trust;

use crate::config::Config;
use crate::extract::basic::ClientTokens;
use crate::limits::rate::Limit;
use crate::limits::refusals::Refusals;
use crate::limits::room::Room;
use crate::ports::Ports;
use crate::readiness::Readiness;
use crate::route_table::{Listener, Table};

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
    /// Refusals of unknown callers.
    pub refusals: Refusals,
    /// Tokens of clients that send nothing but their id and secret.
    pub client_tokens: ClientTokens,
    /// The limit by principal.
    pub by_principal: Option<Limit<String>>,
    /// The limit by address.
    pub by_address: Option<Limit<IpAddr>>,
    /// Limits on concurrent work.
    pub room: Room,
    /// The services' reports of their health.
    pub readiness: Readiness,
    /// The shutdown signal.
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
            client_tokens: ClientTokens::default(),
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
}

/// The app on one of its listeners.
#[derive(Clone)]
pub struct ListenerApp {
    /// What requests are served with.
    pub app: App,
    /// The listener.
    pub listener: Listener,
    /// What is reachable.
    pub table: &'static Table,
}
