use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderValue, USER_AGENT};
use http_body_util::Full;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tracing::Instrument as _;

use crate::connect::Connector;
use crate::hosts::Hosts;
use crate::{Address, AddressProblem, Answer, Exceptions, Failure, Request, Resolver, Settings, SettingsProblem};

/// How long a connection is kept without a request.
const IDLE: Duration = Duration::from_secs(20);

/// Sends requests. Cheap to clone; clones share connections and limits.
#[derive(Clone)]
pub struct Client {
    http: legacy::Client<Connector, Full<Bytes>>,
    exceptions: Arc<Exceptions>,
    hosts: Arc<Hosts>,
}

impl Client {
    /// Prepares a client; connects only when used.
    pub fn new(settings: Settings, resolver: Arc<dyn Resolver>) -> Result<Self, SettingsProblem> {
        let exceptions = Arc::new(settings.exceptions);
        let connector = Connector {
            resolver,
            exceptions: exceptions.clone(),
            proxy: settings.proxy,
            tls: crate::tls::config(&settings.ca_pem, settings.insecure)?,
            within: settings.connect,
        };
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(settings.per_host)
            .http1_max_buf_size(64 * 1024)
            .http1_max_headers(64)
            .build(connector);
        Ok(Self { http, exceptions, hosts: Arc::new(Hosts::new(settings.in_all, settings.per_host)) })
    }

    /// Parses and checks an address by this client's rules, without resolving its name.
    pub fn address(&self, text: &str) -> Result<Address, AddressProblem> {
        Address::parse(text, &self.exceptions)
    }

    /// Sends a request, once, and reads the answer.
    pub async fn send(&self, request: Request) -> Result<Answer, Failure> {
        let span = tracing::info_span!(
            "outbound request",
            otel.kind = "client",
            http.request.method = %request.method,
            server.address = request.address.host(),
            server.port = request.address.port(),
            http.response.status_code = tracing::field::Empty,
        );
        let answer = Box::pin(self.exchange(request)).instrument(span.clone()).await;
        match &answer {
            Ok(answer) => {
                span.record("http.response.status_code", answer.status.as_u16());
            }
            Err(failure) => tracing::debug!(parent: &span, %failure, "there is no answer"),
        }
        answer
    }

    async fn exchange(&self, request: Request) -> Result<Answer, Failure> {
        let place = self.hosts.place(request.address.host(), request.address.port()).ok_or(Failure::Busy)?;
        let within = request.within;
        let mut message = http::Request::new(Full::new(request.body));
        *message.method_mut() = request.method;
        *message.uri_mut() =
            request.address.as_str().parse().map_err(|_| AddressProblem("cannot be written in a request"))?;
        *message.headers_mut() = request.headers;
        message
            .headers_mut()
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!("runwarden/", env!("CARGO_PKG_VERSION"))));
        let exchange = async {
            let response = self.http.request(message).await.map_err(|error| failure(&error))?;
            Answer::read(response, request.answer_bytes).await
        };
        let answer = tokio::time::timeout(within, exchange).await.unwrap_or(Err(Failure::TimedOut(within)));
        drop(place);
        answer
    }
}

/// Why it failed: what the connector says, if the connection failed.
fn failure(error: &legacy::Error) -> Failure {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.clone();
        }
        next = cause.source();
    }
    Failure::Broken
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client(..)")
    }
}
