//! One request at a time, bounded in time and size, never redirected, never repeated.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Response};
use serde_json::Value;
use tracing::Instrument as _;
use uuid::Uuid;

use super::address::{Address, Path};
use super::read::shown;
use super::{AwxError, Credential, Limits, Refusal, Target, TargetProblem};

pub(super) type Query = Vec<(&'static str, String)>;

pub(super) struct Http {
    /// Keeps connections open between look-ups.
    reads: reqwest::Client,
    /// Opens a connection for each request: on a kept one, a server that just hung up would leave open whether it
    /// had already read the launch.
    writes: reqwest::Client,
    address: Address,
    authorization: HeaderValue,
    limits: Limits,
}

/// What came back, whatever its status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Result<Bytes, AwxError>,
}

/// Why there is no answer to a writing request.
pub(super) enum Unanswered {
    /// No connection came about: nothing can have been received.
    NotSent(AwxError),
    /// It may have been received.
    Unknown(String),
}

impl Http {
    pub(super) fn new(target: &Target, credential: &Credential, limits: Limits) -> Result<Self, TargetProblem> {
        let address = Address::parse(target, &limits)?;
        let authorization = credential.header()?;
        let trusted = trusted(target)?;
        let build = |idle_connections: usize| {
            let mut builder = reqwest::Client::builder()
                .user_agent(concat!("runwarden/", env!("CARGO_PKG_VERSION")))
                .redirect(Policy::none())
                .referer(false)
                .no_proxy()
                .retry(reqwest::retry::never())
                .http1_only()
                .dns_resolver(std::sync::Arc::new(super::resolve::Resolver))
                .connect_timeout(limits.connect)
                .pool_idle_timeout(Duration::from_secs(20))
                .pool_max_idle_per_host(idle_connections);
            // Where nothing is encrypted no certificates are needed either, and a machine without any is no obstacle.
            if !trusted.is_empty() || address.is_plain() {
                builder = builder.tls_certs_only(trusted.clone());
            }
            builder.build().map_err(|_| TargetProblem::new("/ca_pem", "TLS cannot be set up with these certificates"))
        };
        Ok(Self { reads: build(4)?, writes: build(0)?, address, authorization, limits })
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Reads a JSON document.
    pub(super) async fn get(&self, path: &Path, query: &Query) -> Result<Value, AwxError> {
        self.get_with_headers(path, query).await.map(|(value, _)| value)
    }

    pub(super) async fn get_with_headers(&self, path: &Path, query: &Query) -> Result<(Value, HeaderMap), AwxError> {
        let response = self
            .send(&self.reads, Method::GET, path, query, JSON, None, self.limits.request)
            .await
            .map_err(|error| failed_read(&error))?;
        let answer = self.whole(response).await;
        answer.check()?;
        Ok((json(&answer.body?)?, answer.headers))
    }

    /// Begins reading something that is no JSON; the caller bounds what it takes.
    pub(super) async fn download(&self, path: &Path, query: &Query) -> Result<Response, AwxError> {
        let response = self
            .send(&self.reads, Method::GET, path, query, ANYTHING, None, self.limits.launch)
            .await
            .map_err(|error| failed_read(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let answer = self.whole(response).await;
        answer.check()?;
        Err(AwxError::bad("neither success nor failure"))
    }

    /// Writes, once.
    pub(super) async fn post(&self, path: &Path, body: Bytes) -> Result<Answer, Unanswered> {
        let response = self
            .send(&self.writes, Method::POST, path, &Query::new(), JSON, Some(body), self.limits.launch)
            .await
            .map_err(|error| {
                if error.is_connect() || error.is_builder() {
                    Unanswered::NotSent(failed_read(&error))
                } else if error.is_timeout() {
                    Unanswered::Unknown("the controller did not answer the request in time".into())
                } else {
                    Unanswered::Unknown("the connection broke before the controller answered".into())
                }
            })?;
        Ok(self.whole(response).await)
    }

    #[expect(clippy::too_many_arguments, reason = "the one place where a request is put together")]
    async fn send(
        &self,
        client: &reqwest::Client,
        method: Method,
        path: &Path,
        query: &Query,
        accept: HeaderValue,
        body: Option<Bytes>,
        within: Duration,
    ) -> Result<Response, reqwest::Error> {
        // AWX takes a UUID of ours over into its logs. It is no proof of anything: it sticks to other jobs, too.
        let request_id = Uuid::new_v4();
        let mut request = client
            .request(method.clone(), self.address.at(path, query))
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, accept)
            .header("X-API-Request-Id", request_id.to_string())
            .timeout(within);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, JSON).body(body);
        }
        let span = tracing::info_span!(
            "controller request",
            otel.kind = "client",
            http.request.method = %method,
            url.path = path.as_str(),
            http.response.status_code = tracing::field::Empty,
            controller_request_id = %request_id,
        );
        // Boxed, for it would make every future that talks to a controller large.
        let result = Box::pin(request.send().instrument(span.clone())).await.map_err(reqwest::Error::without_url);
        match &result {
            Ok(response) => {
                span.record("http.response.status_code", response.status().as_u16());
                tracing::debug!(parent: &span, "the controller answered");
            }
            Err(error) => tracing::debug!(parent: &span, error = cause(error), "the controller did not answer"),
        }
        result
    }

    async fn whole(&self, mut response: Response) -> Answer {
        let status = response.status();
        let headers = response.headers().clone();
        let limit = self.limits.answer_bytes;
        let mut body = BytesMut::new();
        let body = loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > limit => break Err(AwxError::TooLarge { limit }),
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) if status.is_success() => break Ok(body.freeze()),
                Ok(None) => break Ok(without_credential(body.freeze(), &self.authorization)),
                Err(error) if error.is_timeout() => break Err(AwxError::Timeout),
                Err(_) => break Err(AwxError::bad("it broke off in the middle")),
            }
        };
        Answer { status, headers, body }
    }
}

/// A refusal is told to people, and whatever is at the address may say again what it was sent.
fn without_credential(body: Bytes, authorization: &HeaderValue) -> Bytes {
    let sent = authorization.as_bytes();
    let secret = sent.iter().position(|byte| *byte == b' ').and_then(|space| sent.get(space + 1..)).unwrap_or_default();
    if secret.is_empty() || !body.windows(secret.len()).any(|part| part == secret) {
        return body;
    }
    let (mut rest, mut kept) = (body.as_ref(), BytesMut::new());
    while let Some(at) = rest.windows(secret.len()).position(|part| part == secret) {
        let (before, after) = rest.split_at(at);
        kept.extend_from_slice(before);
        kept.extend_from_slice(b"[credential]");
        rest = after.get(secret.len()..).unwrap_or_default();
    }
    kept.extend_from_slice(rest);
    kept.freeze()
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Asking for plain text by its name is refused together with `format=txt_download`; asking for anything is not.
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");

impl Answer {
    /// `Err` for everything but success.
    pub(super) fn check(&self) -> Result<(), AwxError> {
        let status = self.status.as_u16();
        match status {
            200..=299 => Ok(()),
            300..=399 if self.is_migrating() => Err(AwxError::Migrating),
            300..=399 => {
                Err(AwxError::bad("it points to another address; configure the address and api_root it really has"))
            }
            401 => Err(AwxError::Unauthorized),
            403 => Err(AwxError::Forbidden { detail: self.refusal().to_string() }),
            404 => Err(AwxError::NotFound { detail: self.refusal().to_string() }),
            500.. => Err(AwxError::ServerError { status }),
            _ => Err(AwxError::Refused { status, refusal: self.refusal() }),
        }
    }

    pub(super) fn is_migrating(&self) -> bool {
        self.header(LOCATION.as_str()).is_some_and(|location| location.contains("/migrations_notran"))
    }

    pub(super) fn refusal(&self) -> Refusal {
        match &self.body {
            Ok(body) => Refusal::read(body),
            Err(_) => Refusal::plain("its reason could not be read"),
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

pub(super) fn json(body: &[u8]) -> Result<Value, AwxError> {
    serde_json::from_slice(body).map_err(|_| {
        if body.trim_ascii_start().starts_with(b"<") {
            AwxError::bad("it is a web page, not JSON; is api_root right?")
        } else {
            AwxError::bad("it is not JSON")
        }
    })
}

/// The rows of a list.
pub(super) fn results(list: &Value) -> Result<&Vec<Value>, AwxError> {
    list.get("results").and_then(Value::as_array).ok_or_else(|| AwxError::bad("a list without results"))
}

pub(super) fn has_next(list: &Value) -> bool {
    list.get("next").is_some_and(|next| !next.is_null())
}

fn trusted(target: &Target) -> Result<Vec<Certificate>, TargetProblem> {
    let pem = target.ca_pem.trim();
    if pem.is_empty() {
        return Ok(Vec::new());
    }
    let wrong = || TargetProblem::new("/ca_pem", "is not a certificate in PEM");
    let certificates = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_| wrong())?;
    if certificates.is_empty() {
        return Err(wrong());
    }
    Ok(certificates)
}

fn failed_read(error: &reqwest::Error) -> AwxError {
    if !error.is_connect() {
        return if error.is_timeout() {
            AwxError::Timeout
        } else {
            AwxError::Unreachable { detail: "the connection broke before it answered".into() }
        };
    }
    let detail = if error.is_dns() {
        "its name does not resolve to a usable address".into()
    } else if let Some(tls) = find::<rustls::Error>(error) {
        match tls {
            rustls::Error::InvalidCertificate(why) => {
                format!("its certificate is not trusted: {}", shown(&why.to_string(), 200))
            }
            other => format!("TLS failed: {}", shown(&other.to_string(), 200)),
        }
    } else if error.is_timeout() {
        "no connection came about in time".into()
    } else {
        match find::<io::Error>(error).map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => "the connection is refused".into(),
            Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
                "there is no route to it".into()
            }
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => {
                "the connection is closed before it is set up; is it really https?".to_owned()
            }
            _ => "no connection came about".into(),
        }
    };
    AwxError::Unreachable { detail }
}

/// Finds a cause by its type, also within an [`io::Error`], which hides what it wraps from `source`.
fn find<E: std::error::Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<E>() {
            return Some(found);
        }
        next = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
            None => cause.source(),
        };
    }
    None
}

fn cause(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
