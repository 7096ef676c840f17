//! `runwarden-edge`: HTTP in, gRPC out. The only part of Runwarden that outside callers reach.
//!
//! It reads requests within limits and strictly, finds out who is calling, and passes typed fields on to the services,
//! which decide. It holds no database driver, no Vault client and no credential, and never forwards a caller's path or
//! headers to anything.

pub mod app;
pub mod audit;
pub mod config;
pub mod conventions;
pub mod declared;
pub mod docs;
pub mod extract;
pub mod gate;
pub mod limits;
pub mod listener;
pub mod path;
pub mod ports;
pub mod problem;
pub mod readers;
pub mod readiness;
pub mod route_table;
pub mod router;
pub mod routes;
pub mod sse;
pub mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use runwarden_kit::service::ServiceKit;

pub use config::Config;
pub use limits::address::{Network, NotANetwork};

use app::App;
use listener::{Bound, ListenerLimits};
use ports::Ports;
use route_table::Listener;
use tls::Certificates;

/// A built edge: both listeners are bound, so their addresses are known; nothing is served yet.
pub struct Edge {
    app: App,
    public: Bound,
    admin: Bound,
    tls: Option<Arc<Certificates>>,
}

/// Binds both listeners and puts everything together. Serve with [`Edge::start`].
///
/// # Errors
///
/// Settings that are wrong or dangerous, addresses that are taken, certificates that cannot be used, services without
/// an address.
pub async fn build(config: Config, kit: &ServiceKit) -> anyhow::Result<Edge> {
    config.check()?;
    let tls = match (&config.edge_tls_cert, &config.edge_tls_key) {
        (Some(certificate), Some(key)) => Some(Certificates::load(certificate, key)?),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => anyhow::bail!("--edge-tls-cert and --edge-tls-key go together"),
    };
    let public = listener::bind(Listener::Public, config.listen).await?;
    let admin = listener::bind(Listener::Admin, config.admin_listen).await?;
    let public_url = match config.public_url.trim_end_matches('/') {
        "" => format!("{}://{}", config.scheme(), public.address),
        given => given.to_owned(),
    };
    let ports = Ports::over(&kit.peers).context("the edge needs every service")?;
    let app = App::new(config, public_url, ports, kit.trust.clone(), kit.shutdown().clone());
    Ok(Edge { app, public, admin, tls })
}

impl Edge {
    /// The address of the public listener.
    #[must_use]
    pub fn public_address(&self) -> SocketAddr {
        self.public.address
    }

    /// The address of the admin listener.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address
    }

    /// How outside callers reach the public listener, without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.app.public_url
    }

    /// How the admin listener is reached, without a slash at the end.
    #[must_use]
    pub fn admin_base_url(&self) -> String {
        format!("{}://{}", self.app.config.scheme(), self.admin.address)
    }

    /// Starts serving, as tasks of the kit that end with its shutdown.
    pub fn start(self, kit: &ServiceKit) {
        let Self { app, public, admin, tls } = self;
        let config = &app.config;
        let limits = ListenerLimits {
            connections: config.max_connections,
            address_connections: config.address_connections,
            proxies: config.trusted_proxies.clone().into(),
            headers: config.header_limit,
            header_time: config.header_timeout,
            answer_time: config.answer_timeout,
            drain: config.drain_timeout,
        };
        if let Some(certificates) = &tls {
            kit.tasks.spawn("edge: certificate", certificates.clone().keep_reloaded(kit.shutdown().clone()));
        }
        for bound in [public, admin] {
            let name = format!("edge: {} listener", bound.listener.name());
            tracing::info!(listener = bound.listener.name(), address = %bound.address, tls = tls.is_some(), "listening");
            let router = router::router(&app, bound.listener);
            kit.tasks.spawn(name, bound.serve(router, tls.clone(), limits.clone(), kit.shutdown().clone()));
        }
        kit.tasks.spawn("edge: housekeeping", audit::keep(app, kit.recorder.clone(), kit.clock.clone()));
    }
}
