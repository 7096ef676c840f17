//! The gate in front of every service: which service calls, which principal, and may they at all. What passes it
//! carries a verified [`Caller`](crate::caller::Caller); the handler still decides about the very object.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Request, Response};
use runwarden_proto::Access;
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Instrument as _;

use super::identity::{Peer, Service};
use crate::audit::{EntryBuilder, Outcome, Recorder};
use crate::caller::Caller;
use crate::clock::SystemClock;
use crate::context::{self, RequestContext};
use crate::error::{Error, Result};
use crate::reason::ErrorReason;
use crate::slug;
use crate::telemetry;
use crate::trust::Trust;

/// A unary call may take this long when its caller named no end.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// What the gate needs.
#[derive(Clone)]
pub struct Gate {
    /// The service behind it.
    pub service: Service,
    /// Verifies callers.
    pub trust: Arc<Trust>,
    /// Records refusals.
    pub recorder: Arc<dyn Recorder>,
}

/// The gate as a tower layer.
#[derive(Clone)]
pub struct GateLayer(pub Gate);

impl<S> tower::Layer<S> for GateLayer {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated { gate: self.0.clone(), inner }
    }
}

/// A service behind the gate.
#[derive(Clone)]
pub struct Gated<S> {
    gate: Gate,
    inner: S,
}

impl<S> tower::Service<Request<Body>> for Gated<S>
where
    S: tower::Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<std::result::Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone keeps readiness with the one that was polled.
        let spare = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, spare);
        let gate = self.gate.clone();
        Box::pin(gate.pass(request, inner))
    }
}

impl Gate {
    async fn pass<S>(self, mut request: Request<Body>, mut inner: S) -> std::result::Result<Response<Body>, S::Error>
    where
        S: tower::Service<Request<Body>, Response = Response<Body>>,
    {
        let path = request.uri().path().to_owned();
        let Some(access) = runwarden_proto::access(&path) else {
            // Health, reflection, and what does not exist: any mesh peer may ask.
            return inner.call(request).await;
        };
        let started = Instant::now();
        let mut context = RequestContext::from_headers(request.headers());
        let rpc = path.rsplit_once('.').map_or(path.as_str(), |(_, rpc)| rpc).to_owned();
        let span = tracing::info_span!(
            "rpc",
            otel.name = %format!("{}/{rpc}", self.service),
            otel.kind = "server",
            service = self.service.name(),
            rpc,
            request_id = %context.request_id,
            trace_id = tracing::field::Empty,
            tenant = tracing::field::Empty,
            principal = tracing::field::Empty,
            job = tracing::field::Empty,
        );
        telemetry::continue_trace(&span, request.headers());
        if let Some(trace_id) = telemetry::trace_id(&span) {
            context.trace_id = trace_id;
        } else if context.trace_id.is_empty() {
            context.trace_id = telemetry::new_trace_id();
        }
        span.record("trace_id", context.trace_id.as_str());
        let service = self.service;
        let work = async {
            match self.admit(access, &mut request, &mut context).await {
                Ok(()) => {}
                Err(error) => return Ok(self.refuse(&rpc, &context, error).await),
            }
            let limit = context.remaining().unwrap_or(DEFAULT_TIMEOUT);
            let call = context::scope(context.clone(), inner.call(request));
            let response = match tokio::time::timeout(limit, call).await {
                Ok(response) => response?,
                Err(_) => {
                    Status::from(Error::new(ErrorReason::DeadlineExceeded, "There was not enough time to answer."))
                        .into_http()
                }
            };
            if let Some(why) = denial_of(&response)
                && let Err(error) = self.record_refusal(&rpc, &context, &why).await
            {
                return Ok(Status::from(error).into_http());
            }
            Ok(response)
        };
        let response = work.instrument(span.clone()).await?;
        let code = code_of(&response);
        let labels =
            [("service", service.name().to_owned()), ("rpc", rpc_label(access)), ("code", format!("{code:?}"))];
        metrics::histogram!("runwarden_rpc_seconds", &labels[..2]).record(started.elapsed().as_secs_f64());
        metrics::counter!("runwarden_rpc_total", &labels).increment(1);
        tracing::debug!(parent: &span, ?code, elapsed_ms = started.elapsed().as_millis(), "answered");
        Ok(response)
    }

    /// Checks service, token, permission; leaves peer and caller in the request.
    async fn admit(&self, access: &Access, request: &mut Request<Body>, context: &mut RequestContext) -> Result<()> {
        let peer = request
            .extensions()
            .get::<Peer>()
            .cloned()
            .ok_or_else(|| Error::new(ErrorReason::Unauthenticated, "This connection has no certificate."))?;
        if !access.services.contains(&peer.name()) {
            return Err(Error::denied(format!("The service {} may not make this call.", peer.name())));
        }
        // Only the edge knows the outside address; from anybody else it would be hearsay.
        if matches!(peer, Peer::Operator(_)) {
            context.source_address.clear();
        }
        request.extensions_mut().insert(peer);
        if access.permission.is_empty() {
            // The caller's tenant and token are not looked at, so they must not be acted on either.
            context.tenant = None;
            return Ok(());
        }
        let token = context
            .token_text()
            .ok_or_else(|| Error::new(ErrorReason::Unauthenticated, "This call needs an access token."))?;
        let caller = self.trust.verify(token).await?;
        let caller = Arc::new(act_for(caller, context.tenant.as_deref())?);
        let span = tracing::Span::current();
        span.record("principal", caller.principal.as_str());
        span.record("tenant", caller.tenant().unwrap_or("_platform"));
        context.caller = Some(caller.clone());
        if !caller.holds_somewhere(access.permission) {
            return Err(Error::denied(format!("This needs the permission {}.", access.permission)));
        }
        request.extensions_mut().insert(caller);
        Ok(())
    }

    /// Answers a refusal, on the record when it is known who was refused.
    async fn refuse(&self, rpc: &str, context: &RequestContext, error: Error) -> Response<Body> {
        if error.reason().eq(&ErrorReason::PermissionDenied)
            && let Err(error) = self.record_refusal(rpc, context, error.detail()).await
        {
            return Status::from(error).into_http();
        }
        Status::from(error).into_http()
    }

    async fn record_refusal(&self, rpc: &str, context: &RequestContext, why: &str) -> Result<()> {
        if context.caller.is_none() {
            tracing::warn!(rpc, why, "refused a mesh peer");
            return Ok(());
        }
        let entry = context::scope(context.clone(), async {
            EntryBuilder::new(&SystemClock, self.service, "access.refuse", "rpc", rpc)
                .outcome(Outcome::Denied)
                .details(&serde_json::json!({ "why": why }))
                .build()
        })
        .await;
        self.recorder.record(entry).await
    }
}

/// Lets a platform principal act for the tenant it named; anybody else only for their own.
fn act_for(mut caller: Caller, named: Option<&str>) -> Result<Caller> {
    let Some(named) = named else { return Ok(caller) };
    slug::check("", named).map_err(|_| Error::not_found("tenant"))?;
    match &caller.home_tenant {
        Some(home) if home == named => Ok(caller),
        Some(_) => Err(Error::not_found("tenant")),
        None => {
            caller.acting_tenant = Some(named.to_owned());
            Ok(caller)
        }
    }
}

fn code_of(response: &Response<Body>) -> Code {
    // An answer with a body carries its status in trailers: it got as far as answering.
    response.headers().get("grpc-status").map_or(Code::Ok, |v| Code::from_bytes(v.as_bytes()))
}

/// Why a handler denied permission, if it did. A policy's no has the same code and is recorded by who asked for the
/// decision.
fn denial_of(response: &Response<Body>) -> Option<String> {
    let status = Status::from_header_map(response.headers())?;
    let denied = status.code() == Code::PermissionDenied
        && Error::from_status(&status).reason() == ErrorReason::PermissionDenied;
    denied.then(|| status.message().to_owned())
}

fn rpc_label(access: &Access) -> String {
    access.path.rsplit_once('.').map_or_else(|| access.path.to_owned(), |(_, rpc)| rpc.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Scope;

    #[test]
    fn only_a_platform_principal_may_act_for_another_tenant() {
        let tenant = Caller::example(&["jobs.read"], Scope::tenant("acme"));
        assert_eq!(act_for(tenant.clone(), Some("acme")).ok().and_then(|c| c.acting_tenant).as_deref(), Some("acme"));
        let refused = act_for(tenant, Some("other")).expect_err("another tenant");
        assert_eq!(refused.reason(), ErrorReason::NotFound);
        let platform = Caller::example(&["jobs.read"], Scope::platform());
        assert_eq!(act_for(platform.clone(), Some("acme")).ok().and_then(|c| c.acting_tenant).as_deref(), Some("acme"));
        assert!(act_for(platform, Some("../etc")).is_err());
    }
}
