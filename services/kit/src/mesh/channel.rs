//! A channel to one service: it sends the request's context along, keeps its deadline, and repeats only what may be
//! repeated.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use runwarden_proto::Access;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::Service as _;

use super::identity::Service;
use super::timely::Timely;
use crate::context::{self, RequestContext};
use crate::error::PUSHBACK;
use crate::telemetry;

/// A call without a deadline of its own may take this long.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// A harmless call is tried this often in all.
const MAX_TRIES: u32 = 3;
/// The first pause between tries; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// A service that asks for a longer pause is not called again here: our own caller learns when to try again.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Answer = Result<Response<Body>, BoxError>;

/// A channel to one service, for the generated clients: `JobServiceClient::new(channel)`.
#[derive(Clone)]
pub struct MeshChannel {
    to: Service,
    inner: Channel,
}

impl MeshChannel {
    pub(super) fn new(to: Service, inner: Channel) -> Self {
        Self { to, inner }
    }

    /// A call whose answer lasts as long as both sides want; only its beginning has a limit.
    async fn open_stream(self, request: Request<Body>, until: Instant) -> Answer {
        match tokio::time::timeout_at(until.into(), send(self.inner, request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(out_of_time()),
        }
    }

    /// The same, for a call that may not be repeated.
    async fn ask_once(self, mut request: Request<Body>, until: Instant) -> Answer {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(out_of_time());
        }
        set_timeout(request.headers_mut(), left);
        match tokio::time::timeout(left, send(self.inner, request)).await {
            Ok(outcome) => Ok(outcome?.map(|body| Timely::around(body, until))),
            Err(_) => Err(out_of_time()),
        }
    }

    /// A call with one answer, which is there in time or not at all.
    async fn ask(self, request: Request<Body>, until: Instant, tries: u32) -> Answer {
        if tries == 1 {
            return self.ask_once(request, until).await;
        }
        let (parts, body) = request.into_parts();
        // Kept, to be sent again.
        let body = body.collect().await?.to_bytes();
        let mut pause = FIRST_PAUSE;
        for tried in 1.. {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let request = rebuild(&parts, &body, left);
            let Ok(outcome) = tokio::time::timeout(left, send(self.inner.clone(), request)).await else { break };
            let wait = (tried < tries).then(|| pause_before_another(&outcome, pause)).flatten();
            match wait {
                Some(wait) if until.saturating_duration_since(Instant::now()) > wait => {
                    tracing::debug!(to = self.to.name(), path = parts.uri.path(), tried, "trying again");
                    tokio::time::sleep(wait).await;
                    pause *= 2;
                }
                _ => return outcome.map(|response| response.map(|body| Timely::around(body, until))),
            }
        }
        Err(out_of_time())
    }
}

impl tower::Service<Request<Body>> for MeshChannel {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Readiness is awaited for each try: a try that failed says nothing about the next.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let channel = self.clone();
        let context = context::current();
        Box::pin(async move {
            let access = runwarden_proto::access(request.uri().path());
            write_context(request.headers_mut(), &context, access);
            let until = deadline(&context, request.headers());
            match access {
                Some(access) if !access.streaming => {
                    channel.ask(request, until, if access.idempotent { MAX_TRIES } else { 1 }).await
                }
                // What is not in the table is health and reflection: streams, or the same as one.
                _ => channel.open_stream(request, until).await,
            }
        })
    }
}

/// When the answer must be there: what the request being served has left, or less if the call itself says so.
fn deadline(context: &RequestContext, headers: &HeaderMap) -> Instant {
    let now = Instant::now();
    let own = headers
        .get("grpc-timeout")
        .and_then(|v| v.to_str().ok())
        .and_then(context::parse_timeout)
        .and_then(|left| now.checked_add(left));
    match (context.deadline, own) {
        (Some(given), Some(own)) => given.min(own),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => now + DEFAULT_TIMEOUT,
    }
}

fn out_of_time() -> BoxError {
    Box::new(Status::deadline_exceeded("the call took too long"))
}

async fn send(mut channel: Channel, request: Request<Body>) -> Answer {
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await?;
    Ok(channel.call(request).await?)
}

fn rebuild(parts: &http::request::Parts, body: &Bytes, left: Duration) -> Request<Body> {
    let mut request = Request::from_parts(parts.clone(), Body::new(Full::new(body.clone())));
    set_timeout(request.headers_mut(), left);
    request
}

fn set_timeout(headers: &mut HeaderMap, left: Duration) {
    if let Ok(value) = HeaderValue::try_from(context::format_timeout(left)) {
        headers.insert("grpc-timeout", value);
    }
}

/// How long to wait before another try, if one makes sense: the connection failed, or something else answered, or the
/// service that answered wants to be asked again very soon (gRFC A6, `grpc-retry-pushback-ms`).
fn pause_before_another(outcome: &Answer, planned: Duration) -> Option<Duration> {
    let response = match outcome {
        Ok(response) => response,
        Err(_) => return Some(planned),
    };
    // An answer with a body carries its status in trailers: it got as far as answering.
    let code = response.headers().get("grpc-status").map(|v| Code::from_bytes(v.as_bytes()))?;
    if code != Code::Unavailable {
        return None;
    }
    let Some(pushback) = response.headers().get(PUSHBACK) else { return Some(planned) };
    // What is not a number, such as -1, means: do not.
    let wanted = Duration::from_millis(pushback.to_str().ok()?.parse().ok()?);
    (wanted <= LONGEST_PAUSE).then_some(wanted)
}

/// Passes on the context of the request being served. The caller's credentials go only to RPCs that require them.
fn write_context(headers: &mut HeaderMap, context: &RequestContext, access: Option<&Access>) {
    let mut set = |name: &'static str, value: &str| {
        if !value.is_empty()
            && !headers.contains_key(name)
            && let Ok(value) = HeaderValue::try_from(value)
        {
            headers.insert(name, value);
        }
    };
    set(context::REQUEST_ID, &context.request_id);
    set(context::SOURCE_ADDRESS, &context.source_address);
    if access.is_some_and(|access| access.permission.is_some()) {
        set(context::TENANT, context.tenant.as_deref().unwrap_or_default());
        set(context::IDEMPOTENCY_KEY, context.idempotency_key.as_deref().unwrap_or_default());
        if let Some(token) = context.token_text()
            && !headers.contains_key(http::header::AUTHORIZATION)
            && let Ok(mut value) = HeaderValue::try_from(format!("Bearer {token}"))
        {
            value.set_sensitive(true);
            headers.insert(http::header::AUTHORIZATION, value);
        }
    }
    telemetry::inject(headers, &context.trace_id);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn answered(status: Status) -> Answer {
        Ok(status.into_http())
    }

    #[test]
    fn only_what_may_soon_be_better_is_tried_again() {
        let planned = Duration::from_millis(50);
        let pause = |outcome: Answer| pause_before_another(&outcome, planned);
        assert_eq!(pause(Err("connection refused".into())), Some(planned));
        assert_eq!(pause(answered(Status::unavailable("a proxy"))), Some(planned));
        assert_eq!(pause(answered(Status::internal("no"))), None);
        assert_eq!(pause(Ok(Response::new(Body::empty()))), None);
        // Another service already tried what it could before it said this.
        assert_eq!(pause(answered(Error::unavailable("auth is away").into())), None);
        let soon = Error::unavailable("starting").with_retry_after(Duration::from_millis(20));
        assert_eq!(pause(answered(soon.into())), Some(Duration::from_millis(20)));
        let mut never = Status::unavailable("do not");
        never.metadata_mut().insert(PUSHBACK, "-1".parse().expect("metadata"));
        assert_eq!(pause(answered(never)), None);
    }

    #[test]
    fn the_shorter_of_two_deadlines_holds() {
        let soon = Instant::now() + Duration::from_secs(2);
        let context = RequestContext { deadline: Some(soon), ..RequestContext::default() };
        let mut headers = HeaderMap::new();
        assert_eq!(deadline(&context, &headers), soon);
        headers.insert("grpc-timeout", "9S".parse().expect("a header"));
        assert_eq!(deadline(&context, &headers), soon);
        headers.insert("grpc-timeout", "1S".parse().expect("a header"));
        assert!(deadline(&context, &headers) < soon);
        assert!(deadline(&RequestContext::default(), &HeaderMap::new()) > soon);
    }

    #[test]
    fn the_token_goes_only_where_a_permission_is_asked_for() {
        let context = RequestContext {
            request_id: "req_1".into(),
            token: Some("secret".to_owned().into()),
            tenant: Some("acme".into()),
            idempotency_key: Some("key".into()),
            ..RequestContext::default()
        };
        let sent = |path: &str| {
            let mut headers = HeaderMap::new();
            write_context(&mut headers, &context, runwarden_proto::access(path));
            headers
        };
        let with = sent("/runwarden.executor.v1.JobService/SubmitJob");
        assert!(with.contains_key("authorization") && with.contains_key(context::TENANT));
        for path in ["/runwarden.audit.v1.AuditService/AppendEntries", "/grpc.health.v1.Health/Check"] {
            let without = sent(path);
            assert!(!without.contains_key("authorization"), "{path}");
            assert!(!without.contains_key(context::IDEMPOTENCY_KEY), "{path}");
            assert!(without.contains_key(context::REQUEST_ID), "{path}");
        }
    }
}
