//! Health (grpc.health.v1), computed when it is asked for: a service serves as long as it is not
//! stopping, can verify its callers, and none of its parts is in trouble.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use tokio_stream::wrappers::IntervalStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::notes::{NOTES, Notes};
use crate::error::Error;
use crate::lifecycle::Shutdown;
use crate::mesh::Service;
use crate::trust::Trust;

/// How often watchers are updated.
const LOOK: Duration = Duration::from_millis(500);

/// A part that can be in trouble.
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) trouble: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

pub(super) struct Health {
    service: Service,
    names: Vec<&'static str>,
    checks: Vec<Check>,
    notes: Notes,
    trust: Arc<Trust>,
    shutdown: Shutdown,
    /// What was last logged, so that only changes are.
    told: Mutex<Vec<String>>,
}

impl Health {
    pub(super) fn new(
        service: Service,
        names: Vec<&'static str>,
        checks: Vec<Check>,
        notes: Notes,
        trust: Arc<Trust>,
        shutdown: Shutdown,
    ) -> Self {
        Self { service, names, checks, notes, trust, shutdown, told: Mutex::default() }
    }

    pub(super) fn into_server(self: Arc<Self>) -> HealthServer<Answers> {
        HealthServer::new(Answers(self))
    }

    /// What is wrong; nothing if all is well.
    fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        if self.shutdown.has_begun() {
            troubles.push("stopping".to_owned());
        }
        if !self.trust.is_ready() {
            troubles.push("callers cannot be verified: auth has not answered yet".to_owned());
        } else if !self.trust.knows_tenants() {
            troubles.push("the tenants are not known: auth has not heard from project".to_owned());
        }
        troubles.extend(self.checks.iter().filter_map(|c| (c.trouble)().map(|why| format!("{}: {why}", c.name))));
        troubles
    }

    fn status(&self) -> ServingStatus {
        let troubles = self.troubles();
        let status = if troubles.is_empty() { ServingStatus::Serving } else { ServingStatus::NotServing };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != troubles {
            if troubles.is_empty() {
                tracing::info!(service = self.service.name(), "serving again");
            } else {
                tracing::warn!(service = self.service.name(), why = troubles.join("; "), "not fit to serve");
            }
            *told = troubles;
        }
        status
    }

    /// All services of this port share one health; the empty name stands for the port as a whole.
    fn knows(&self, name: &str) -> bool {
        name.is_empty() || name == "grpc.health.v1.Health" || self.names.contains(&name)
    }
}

/// Answers the RPCs.
pub(super) struct Answers(Arc<Health>);

#[tonic::async_trait]
impl HealthService for Answers {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.0.knows(&request.get_ref().service) {
            return Err(Error::not_found("service").into());
        }
        let mut response = Response::new(answer(self.0.status()));
        if let Some(line) = self.0.notes.line().and_then(|line| line.parse().ok()) {
            response.metadata_mut().insert(NOTES, line);
        }
        Ok(response)
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let health = self.0.clone();
        let known = health.knows(&request.get_ref().service);
        let until = health.shutdown.clone();
        let mut last = None;
        let news = IntervalStream::new(tokio::time::interval(LOOK))
            .map(move |_| if known { health.status() } else { ServingStatus::ServiceUnknown })
            .filter_map(move |status| {
                let news = (last != Some(status)).then(|| Ok(answer(status)));
                last = Some(status);
                std::future::ready(news)
            })
            // A watcher must not keep a stopping service from ending.
            .take_until(async move { until.begun().await });
        let last_word = futures::stream::once(async { Ok(answer(ServingStatus::NotServing)) });
        Ok(Response::new(Box::pin(news.chain(last_word))))
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
