//! Calling another service: one lazily connected, self-healing channel each, which sends the request's context along,
//! keeps its deadline, and repeats only what may be repeated.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::Service as _;

use super::identity::Service;
use super::tls::MeshTls;
use crate::context;
use crate::telemetry;

/// A call without a deadline of its own may take this long.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// A harmless call is tried this often in all.
const MAX_TRIES: u32 = 3;
/// The first pause between tries; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The channels to all services.
#[derive(Clone)]
pub struct Peers {
    tls: Arc<MeshTls>,
    addresses: Arc<BTreeMap<Service, String>>,
}

impl Peers {
    /// Where each service is (`host:port`), and the certificate to call them with.
    #[must_use]
    pub fn new(tls: Arc<MeshTls>, addresses: BTreeMap<Service, String>) -> Self {
        Self { tls, addresses: Arc::new(addresses) }
    }

    /// The certificate in use.
    #[must_use]
    pub fn tls(&self) -> &Arc<MeshTls> {
        &self.tls
    }

    /// A channel to a service. It connects at the first call and again whenever that is needed.
    ///
    /// # Errors
    /// When the service's address is not configured or is none.
    pub fn channel(&self, to: Service) -> anyhow::Result<MeshChannel> {
        let address = self.addresses.get(&to).with_context(|| format!("the address of {to} is not configured"))?;
        let endpoint = Endpoint::try_from(format!("http://{address}"))
            .with_context(|| format!("{address:?} is no host:port"))?
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true)
            .user_agent(concat!("runwarden/", env!("CARGO_PKG_VERSION")))?;
        let (tls, address) = (self.tls.clone(), address.clone());
        let connector = tower::service_fn(move |_: Uri| {
            let (tls, address) = (tls.clone(), address.clone());
            async move { connect(&tls, to, &address).await.map(TokioIo::new).map_err(std::io::Error::other) }
        });
        Ok(MeshChannel { to, inner: endpoint.connect_with_connector_lazy(connector) })
    }
}

async fn connect(
    tls: &MeshTls,
    to: Service,
    address: &str,
) -> anyhow::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await.with_context(|| format!("{to} at {address}"))?;
    tcp.set_nodelay(true)?;
    let connector = TlsConnector::from(tls.client(to)?);
    // The name is not what the server is judged by: see `ExpectService`.
    let name = ServerName::try_from("localhost")?;
    connector.connect(name, tcp).await.with_context(|| format!("TLS with {to} at {address}"))
}

/// A channel to one service, for the generated clients: `JobServiceClient::new(channel)`.
#[derive(Clone)]
pub struct MeshChannel {
    to: Service,
    inner: Channel,
}

impl tower::Service<Request<Body>> for MeshChannel {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Readiness is awaited for each try: a try that failed says nothing about the next.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (to, channel) = (self.to, self.inner.clone());
        let context = context::current();
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let access = runwarden_proto::access(&path);
            let streaming = access.is_none_or(|a| a.streaming);
            let idempotent = access.is_some_and(|a| a.idempotent) && !streaming;
            let (mut parts, body) = request.into_parts();
            write_context(&mut parts.headers, &context);
            // Health and reflection streams, and streaming RPCs, live as long as the caller wants.
            if streaming {
                return send(channel, Request::from_parts(parts, body)).await;
            }
            let deadline = context.deadline.unwrap_or_else(|| Instant::now() + DEFAULT_TIMEOUT);
            let body = body.collect().await?.to_bytes();
            let tries = if idempotent { MAX_TRIES } else { 1 };
            let mut pause = FIRST_PAUSE;
            let mut tried = 0;
            loop {
                tried += 1;
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(Box::new(Status::deadline_exceeded("no time left")) as BoxError);
                }
                let request = rebuild(&parts, &body, left);
                let answer = tokio::time::timeout(left, send(channel.clone(), request)).await;
                let again = match &answer {
                    Ok(Ok(response)) => is_unavailable(response),
                    Ok(Err(_)) => true,
                    Err(_) => false,
                };
                if again && tried < tries && deadline.saturating_duration_since(Instant::now()) > pause {
                    tracing::debug!(to = to.name(), path, tried, "trying again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                    continue;
                }
                return match answer {
                    Ok(answer) => answer,
                    Err(_) => Err(Box::new(Status::deadline_exceeded("the call took too long")) as BoxError),
                };
            }
        })
    }
}

async fn send(mut channel: Channel, request: Request<Body>) -> Result<Response<Body>, BoxError> {
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await?;
    Ok(channel.call(request).await?)
}

fn rebuild(parts: &http::request::Parts, body: &Bytes, left: Duration) -> Request<Body> {
    let mut request = Request::new(Body::new(Full::new(body.clone())));
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = parts.uri.clone();
    *request.version_mut() = parts.version;
    *request.headers_mut() = parts.headers.clone();
    *request.extensions_mut() = parts.extensions.clone();
    if let Ok(value) = HeaderValue::try_from(context::format_timeout(left)) {
        request.headers_mut().insert("grpc-timeout", value);
    }
    request
}

fn is_unavailable(response: &Response<Body>) -> bool {
    // Code 14, UNAVAILABLE, in an answer without a body. `grpc-retry-pushback-ms` would say not to.
    response.headers().get("grpc-status").is_some_and(|v| v == "14")
}

/// Sends the context of the request being served along.
fn write_context(headers: &mut http::HeaderMap, context: &context::RequestContext) {
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
    set(context::TENANT, context.tenant.as_deref().unwrap_or_default());
    set(context::IDEMPOTENCY_KEY, context.idempotency_key.as_deref().unwrap_or_default());
    if let Some(token) = context.token_text()
        && !headers.contains_key(http::header::AUTHORIZATION)
        && let Ok(mut value) = HeaderValue::try_from(format!("Bearer {token}"))
    {
        value.set_sensitive(true);
        headers.insert(http::header::AUTHORIZATION, value);
    }
    telemetry::inject(headers, &context.trace_id);
}
