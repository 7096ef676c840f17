//! The gate in front of every service: which service calls, which principal, and may they at all. What passes it
//! carries a verified [`Caller`](crate::caller::Caller); the handler still decides about the very object.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Request, Response};
use runwarden_proto::Access;
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Instrument as _;

use super::connection::Connection;
use super::identity::{Peer, Service};
use super::revocable::Revocable;
use crate::audit::{EntryBuilder, Outcome, Recorder};
use crate::caller::Caller;
use crate::clock::SystemClock;
use crate::context::{self, RequestContext};
use crate::error::{Error, Result};
use crate::reason::ErrorReason;
use crate::telemetry;
use crate::tenant::TenantId;
use crate::trust::Trust;

/// A call may take this long to begin its answer when its caller named no end.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);
/// And no longer than this, whatever its caller says.
const MAX_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a refusal may take to be recorded.
const RECORD_LIMIT: Duration = Duration::from_secs(10);

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
        let Some(access) = runwarden_proto::access(request.uri().path()) else {
            // Health, reflection, and what does not exist: any mesh peer may ask.
            return inner.call(request).await;
        };
        let started = Instant::now();
        let mut context = RequestContext::from_headers(request.headers());
        let rpc = rpc_name(access);
        let span = self.span(rpc, access, request.headers(), &mut context);
        let work = async {
            if let Err(error) = self.admit(access, &mut request, &mut context).await {
                return Ok(self.refuse(rpc, &context, error).await);
            }
            let context = Arc::new(context);
            let limit = context.remaining().map_or(DEFAULT_TIMEOUT, |left| left.min(MAX_TIMEOUT));
            let call = tokio::time::timeout(limit, context::scope(context.clone(), inner.call(request)));
            let mut response = tokio::select! {
                answered = call => match answered {
                    Ok(response) => response?,
                    Err(_) => {
                        let late = Error::new(ErrorReason::DeadlineExceeded, "The request took too long to answer.");
                        return Ok(Status::from(late).into_http());
                    }
                },
                why = self.cut_short(access, &context) => return Ok(Status::from(why).into_http()),
            };
            if context.was_replayed() {
                response.headers_mut().insert(context::REPLAYED, HeaderValue::from_static("true"));
            }
            if let Some(why) = denial_of(&response)
                && let Err(error) = self.record_refusal(rpc, &context, why).await
            {
                return Ok(Status::from(error).into_http());
            }
            Ok(match &context.caller {
                Some(caller) if access.streaming => {
                    response.map(|body| Revocable::around(body, caller.clone(), self.trust.clone()))
                }
                _ => response,
            })
        };
        let response = work.instrument(span.clone()).await?;
        self.report(rpc, &span, code_of(&response), started.elapsed());
        Ok(response)
    }

    /// Waits until a caller has no right to its answer any more. Calls that change something are not cut short: they
    /// were allowed when they began, and half of their answer would say nothing.
    async fn cut_short(&self, access: &Access, context: &RequestContext) -> Error {
        match &context.caller {
            Some(caller) if access.reads => self.trust.ended(caller).await,
            _ => std::future::pending().await,
        }
    }

    /// The span of a call. Constant background calls between services, without a caller and outside any trace, are too
    /// much for a trace of its own.
    fn span(&self, rpc: &str, access: &Access, headers: &HeaderMap, context: &mut RequestContext) -> tracing::Span {
        macro_rules! span {
            ($level:expr) => {
                tracing::span!(
                    $level,
                    "rpc",
                    otel.name = format!("{}/{rpc}", self.service),
                    otel.kind = "server",
                    otel.status_code = tracing::field::Empty,
                    service = self.service.name(),
                    rpc,
                    peer = tracing::field::Empty,
                    code = tracing::field::Empty,
                    request_id = context.request_id,
                    trace_id = tracing::field::Empty,
                    tenant = tracing::field::Empty,
                    principal = tracing::field::Empty,
                    job = tracing::field::Empty,
                )
            };
        }
        let is_housekeeping = access.permission.is_none() && !headers.contains_key(context::TRACEPARENT);
        let span = if is_housekeeping { span!(tracing::Level::DEBUG) } else { span!(tracing::Level::INFO) };
        telemetry::continue_trace(&span, headers);
        if let Some(trace_id) = telemetry::trace_id(&span) {
            context.trace_id = trace_id;
        } else if context.trace_id.is_empty() {
            context.trace_id = telemetry::new_trace_id();
        }
        span.record("trace_id", context.trace_id.as_str());
        span
    }

    /// Counts and logs an answer.
    fn report(&self, rpc: &'static str, span: &tracing::Span, code: Code, elapsed: Duration) {
        let service = self.service.name();
        span.record("code", code_name(code));
        if matches!(code, Code::Unknown | Code::Internal | Code::DataLoss | Code::DeadlineExceeded | Code::Unavailable)
        {
            span.record("otel.status_code", "ERROR");
        }
        metrics::histogram!("runwarden_rpc_seconds", "service" => service, "rpc" => rpc).record(elapsed.as_secs_f64());
        metrics::counter!("runwarden_rpc_total", "service" => service, "rpc" => rpc, "code" => code_name(code))
            .increment(1);
        tracing::debug!(parent: span, ?code, elapsed_ms = elapsed.as_millis(), "answered a call");
    }

    /// Checks service, token, tenant, permission; leaves peer and caller in the request.
    async fn admit(&self, access: &Access, request: &mut Request<Body>, context: &mut RequestContext) -> Result<()> {
        let Connection { peer, address } = request
            .extensions()
            .get::<Connection>()
            .cloned()
            .ok_or_else(|| Error::new(ErrorReason::Unauthenticated, "This connection has no certificate."))?;
        let span = tracing::Span::current();
        span.record("peer", peer.name());
        if !access.services.contains(&peer.name()) {
            return Err(Error::denied(format!("The service {} may not make this call.", peer.name())));
        }
        // Services pass on what the edge saw. What an operator says of the address would be hearsay, and is known.
        if matches!(peer, Peer::Operator(_)) {
            context.source_address = address.to_string();
        }
        request.extensions_mut().insert(peer);
        let Some(permission) = access.permission else {
            // Other callers named here are not checked, so they must not be used either.
            context.tenant = None;
            context.token = None;
            context.idempotency_key = None;
            return Ok(());
        };
        context.idempotency_key = context::idempotency_key(request.headers())?;
        let token = context
            .token_text()
            .ok_or_else(|| Error::new(ErrorReason::Unauthenticated, "This call needs an access token."))?;
        let caller = self.trust.verify(token).await?;
        let caller = act_for(caller, context.tenant.as_deref())?;
        span.record("principal", caller.principal.as_str());
        span.record("tenant", caller.tenant().map_or("_platform", TenantId::as_str));
        context.caller = Some(caller.clone());
        self.trust.admit(&caller, access.for_disabled_tenant).await?;
        if !caller.holds_somewhere(permission) {
            return Err(Error::denied(format!("This needs the permission {permission}.")));
        }
        request.extensions_mut().insert(caller);
        Ok(())
    }

    /// Answers a refusal, and records it if the refused caller is known.
    async fn refuse(&self, rpc: &'static str, context: &RequestContext, error: Error) -> Response<Body> {
        if is_denial(error.reason())
            && let Err(error) = self.record_refusal(rpc, context, error.detail().to_owned()).await
        {
            return Status::from(error).into_http();
        }
        Status::from(error).into_http()
    }

    /// Records a refusal, even if the refused caller has disconnected in the meantime.
    async fn record_refusal(&self, rpc: &'static str, context: &RequestContext, why: String) -> Result<()> {
        if context.caller.is_none() {
            tracing::warn!(rpc, why, "refused a mesh peer");
            return Ok(());
        }
        let (service, recorder) = (self.service, self.recorder.clone());
        let context = RequestContext { deadline: Some(Instant::now() + RECORD_LIMIT), ..context.clone() };
        let recorded = context::scope(context, async move {
            let entry = EntryBuilder::new(&SystemClock, service, "access.refuse", "rpc", rpc)
                .outcome(Outcome::Denied)
                .details(&serde_json::json!({ "why": why }))
                .build();
            recorder.record(entry).await
        });
        tokio::spawn(recorded.in_current_span()).await.map_err(Error::internal)?
    }
}

/// Lets a platform principal act for the tenant it named; every other principal only for its own.
fn act_for(mut caller: Arc<Caller>, named: Option<&str>) -> Result<Arc<Caller>> {
    let Some(named) = named else { return Ok(caller) };
    let named: TenantId = named.parse().map_err(|_| Error::not_found("tenant"))?;
    match &caller.home_tenant {
        Some(home) if *home == named => Ok(caller),
        Some(_) => Err(Error::not_found("tenant")),
        None => {
            Arc::make_mut(&mut caller).acting_tenant = Some(named);
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
    let denied = status.code() == Code::PermissionDenied && is_denial(Error::from_status(&status).reason());
    denied.then(|| status.message().to_owned())
}

/// Whether a refusal says that this caller may not do this, which belongs on record.
fn is_denial(reason: ErrorReason) -> bool {
    matches!(reason, ErrorReason::PermissionDenied | ErrorReason::TenantDisabled)
}

/// `JobService/SubmitJob`: short, and one of a fixed number.
fn rpc_name(access: &Access) -> &'static str {
    access.path.rsplit_once('.').map_or(access.path, |(_, rpc)| rpc)
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "Ok",
        Code::Cancelled => "Cancelled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Scope;
    use crate::permission::Permission;

    #[test]
    fn only_a_platform_principal_may_act_for_another_tenant() {
        let acting = |caller: &Arc<Caller>, named| act_for(caller.clone(), Some(named)).ok()?.acting_tenant.clone();
        let tenant = Arc::new(Caller::example(&[Permission::JobsRead], Scope::tenant(&TenantId::trusted("acme"))));
        assert_eq!(acting(&tenant, "acme").as_deref(), Some("acme"));
        let refused = act_for(tenant, Some("other")).expect_err("another tenant");
        assert_eq!(refused.reason(), ErrorReason::NotFound);
        let platform = Arc::new(Caller::example(&[Permission::JobsRead], Scope::platform()));
        assert_eq!(acting(&platform, "acme").as_deref(), Some("acme"));
        assert_eq!(platform.acting_tenant, None, "others with the same token act for nobody");
        assert!(act_for(platform, Some("../etc")).is_err());
    }
}
