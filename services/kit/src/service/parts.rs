//! What a service is made of, and serving it.

use std::sync::Arc;

use tokio::net::TcpListener;
use tonic::service::{Routes, RoutesBuilder};

use super::ServiceKit;
use super::health::{Check, Health};
use crate::mesh::{self, Gate};

/// A built service: what it serves. Collect gRPC services with [`Parts::with`].
#[derive(Default)]
pub struct Parts {
    routes: RoutesBuilder,
    names: Vec<&'static str>,
    checks: Vec<Check>,
}

impl Parts {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a generated server.
    #[must_use]
    pub fn with<S>(mut self, server: S) -> Self
    where
        S: tower::Service<http::Request<tonic::body::Body>, Error = std::convert::Infallible>
            + tonic::server::NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.routes.add_service(server);
        self
    }

    /// Adds something that can make the service unfit: as long as `trouble` says what is wrong, health is
    /// `NOT_SERVING`. It is asked at every look at the service's health, so it must answer at once.
    #[must_use]
    pub fn watch_health(
        mut self,
        name: &'static str,
        trouble: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.checks.push(Check { name, trouble: Box::new(trouble) });
        self
    }

    /// The routes with health (grpc.health.v1) and reflection (v1 and v1alpha) beside them.
    fn into_routes(self, kit: &ServiceKit) -> anyhow::Result<Routes> {
        let reflection = || {
            let mut builder = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(runwarden_proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
            // List what this port really serves, not every contract there is.
            for name in &self.names {
                builder = builder.with_service_name(*name);
            }
            builder.with_service_name("grpc.health.v1.Health")
        };
        let (v1, v1alpha) = (reflection().build_v1()?, reflection().build_v1alpha()?);
        let (notes, trust) = (kit.notes.clone(), kit.trust.clone());
        let health = Health::new(kit.service, self.names, self.checks, notes, trust, kit.shutdown().clone());
        let mut routes = self.routes;
        routes.add_service(Arc::new(health).into_server()).add_service(v1).add_service(v1alpha);
        Ok(routes.routes())
    }
}

/// Serves a built service until shutdown, as a task. If it cannot go on serving, the process stops as a failure.
///
/// # Errors
/// When the contracts do not register for reflection.
pub async fn serve(kit: &ServiceKit, listener: TcpListener, parts: Parts) -> anyhow::Result<()> {
    let gate = Gate { service: kit.service, trust: kit.trust.clone(), recorder: kit.recorder.clone() };
    let routes = parts.into_routes(kit)?;
    let (tls, shutdown, service) = (kit.peers.tls().clone(), kit.shutdown().clone(), kit.service);
    kit.tasks.spawn(format!("{service}: gRPC"), async move {
        if let Err(error) = mesh::serve(listener, tls, gate, routes, shutdown.clone()).await {
            tracing::error!(error = format!("{error:#}"), "stopping");
            shutdown.fail(format!("{error:#}"));
        }
    });
    Ok(())
}
