//! One request at a time, bounded in time and size, never redirected, never repeated.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Response};
use time::OffsetDateTime;
use tracing::Instrument as _;
use uuid::Uuid;

use super::address::{Address, Path};
use super::answer::Answer;
use super::delivery::Delivery;
use super::memory::Held;
use super::unreached::{cause, failed_read};
use super::{AwxError, ClientLimits, Credential, Target, TargetProblem};
use super::{clock, own};

pub(super) type Query = Vec<(&'static str, String)>;

pub(super) struct Http {
    /// Keeps connections open between look-ups.
    reads: reqwest::Client,
    /// Opens a connection for each request: on a kept one, a server that just hung up would leave open whether it
    /// had already read the launch.
    writes: reqwest::Client,
    address: Address,
    authorization: HeaderValue,
    limits: ClientLimits,
    /// Whether a request came to nothing since it was found out what answers: what answers next may be something else.
    disturbed: AtomicBool,
    /// What its clock showed in the last answer of its own, and when that was here.
    controller_time: Mutex<Option<(OffsetDateTime, Instant)>>,
}

/// What a reading request brought.
pub(super) enum Fetched {
    /// All of it, with its head.
    Whole(Body, HeaderMap),
    /// More than was to be taken; this is what it begins with.
    TooLarge(Bytes),
}

/// A body, and the memory it takes.
pub(super) struct Body(Bytes, #[expect(dead_code, reason = "it counts as long as it is there")] Held);

impl std::ops::Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Whether two addresses have one scheme, host and port.
fn is_same_place(one: &str, other: &str) -> bool {
    let origin = |text: &str| reqwest::Url::parse(text).ok().map(|url| url.origin());
    origin(one).is_some_and(|one| Some(one) == origin(other))
}

/// Why there is no answer to a writing request.
pub(super) enum Unanswered {
    /// No connection came about: nothing can have been received.
    NotSent(AwxError),
    /// It may have been received.
    Unknown(String),
}

impl Http {
    pub(super) fn new(target: &Target, credential: &Credential, limits: ClientLimits) -> Result<Self, TargetProblem> {
        let address = Address::parse(target, &limits)?;
        let authorization = credential.header()?;
        let trusted = trusted(target, &limits)?;
        let is_own = !target.ca_pem.trim().is_empty();
        let build = |idle_connections: usize, connect: Duration| {
            let mut builder = reqwest::Client::builder()
                .user_agent(concat!("runwarden/", env!("CARGO_PKG_VERSION")))
                .redirect(Policy::none())
                .referer(false)
                .no_proxy()
                .retry(reqwest::retry::never())
                .http1_only()
                .dns_resolver(std::sync::Arc::new(super::resolve::Resolver))
                .connect_timeout(connect)
                .pool_idle_timeout(Duration::from_secs(20))
                .pool_max_idle_per_host(idle_connections);
            // Without encryption no certificates are needed, so a machine without any works too.
            if !trusted.is_empty() || address.is_plain() {
                builder = builder.tls_certs_only(trusted.clone());
            }
            if !is_own && limits.unverified.iter().any(|url| is_same_place(url, &target.url)) {
                builder = builder.tls_danger_accept_invalid_certs(true);
            }
            // What was sent and is not acknowledged is given up: a launch must not arrive late, when the network works
            // again and it is no longer expected.
            #[cfg(target_os = "linux")]
            if idle_connections == 0 {
                builder = builder.tcp_user_timeout(limits.acknowledge);
            }
            builder.build().map_err(|_| TargetProblem::new("/ca_pem", "TLS cannot be set up with these certificates"))
        };
        let reads = build(4, limits.connect)?;
        let writes = build(0, limits.connect.min(limits.connect_to_launch))?;
        Ok(Self {
            reads,
            writes,
            address,
            authorization,
            limits,
            disturbed: AtomicBool::new(false),
            controller_time: Mutex::default(),
        })
    }

    pub(super) fn limits(&self) -> &ClientLimits {
        &self.limits
    }

    /// Whether every request was answered by the controller since [`Http::count_anew`].
    pub(super) fn is_undisturbed(&self) -> bool {
        !self.disturbed.load(Ordering::Acquire)
    }

    /// Failures so far no longer count: what answers is determined again.
    pub(super) fn count_anew(&self) {
        self.disturbed.store(false, Ordering::Release);
    }

    pub(super) fn controller_time(&self) -> Option<OffsetDateTime> {
        let told = *self.controller_time.lock().unwrap_or_else(PoisonError::into_inner);
        told.map(|(time, at)| time + at.elapsed())
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Reads a document of up to `limit` bytes; a larger one is not an error. Answers also how many bytes were read.
    /// Operations go through [`super::reading::Reading`], which counts them.
    pub(super) async fn fetch(&self, path: &Path, query: &Query, limit: usize) -> Result<(Fetched, usize), AwxError> {
        let response = self
            .send(&self.reads, Method::GET, path, query, JSON, None, self.limits.request)
            .await
            .map_err(|error| failed_read(&error))?;
        let answer = Answer::read(response, limit, &self.authorization, &self.limits.memory).await;
        answer.check()?;
        match answer.body {
            Ok(body) => Ok((Fetched::Whole(Body(body, answer.held), answer.headers), answer.read)),
            Err(AwxError::TooLarge { .. }) => Ok((Fetched::TooLarge(answer.beginning), answer.read)),
            Err(error) => Err(error),
        }
    }

    /// Begins reading something that is not JSON; the caller limits how much it reads.
    pub(super) async fn download(&self, path: &Path, query: &Query) -> Result<Response, AwxError> {
        let response = self
            .send(&self.reads, Method::GET, path, query, ANYTHING, None, self.limits.launch)
            .await
            .map_err(|error| failed_read(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let answer = self.whole(response).await;
        // The request was not for JSON, so an error need not be JSON either.
        if answer.status == StatusCode::NOT_FOUND && own::is_marked(&answer.headers) {
            return Err(AwxError::NotFound { detail: answer.refusal().to_string() });
        }
        answer.check()?;
        Err(AwxError::bad("a status that is neither success nor failure"))
    }

    /// Writes, once. What has not left in time never does.
    pub(super) async fn post(&self, path: &Path, body: Bytes) -> Result<Answer, Unanswered> {
        let (body, has_left) = Delivery::of(body);
        let (query, body) = (Query::new(), Some(reqwest::Body::wrap(body)));
        let sending = self.send(&self.writes, Method::POST, path, &query, JSON, body, self.limits.launch);
        tokio::pin!(sending);
        let in_time = self.limits.connect_to_launch + self.limits.acknowledge;
        let response = match tokio::time::timeout(in_time, &mut sending).await {
            Ok(response) => response,
            Err(_) if has_left.load(Ordering::Acquire) => sending.await,
            Err(_) => {
                self.disturbed.store(true, Ordering::Release);
                return Err(Unanswered::Unknown("the request could not be delivered in time".into()));
            }
        };
        let response = response.map_err(|error| {
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
        body: Option<reqwest::Body>,
        within: Duration,
    ) -> Result<Response, reqwest::Error> {
        // AWX copies our UUID into its logs. It proves nothing: other jobs get it, too.
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
        if !result.as_ref().is_ok_and(|response| response.status().as_u16() < 500) {
            self.disturbed.store(true, Ordering::Release);
        }
        match &result {
            Ok(response) => {
                span.record("http.response.status_code", response.status().as_u16());
                if own::is_marked(response.headers())
                    && let Some(time) = clock::told(response.headers())
                {
                    *self.controller_time.lock().unwrap_or_else(PoisonError::into_inner) = Some((time, Instant::now()));
                }
                tracing::debug!(parent: &span, "the controller answered");
            }
            Err(error) => tracing::debug!(parent: &span, error = cause(error), "the controller did not answer"),
        }
        result
    }

    async fn whole(&self, response: Response) -> Answer {
        Answer::read(response, self.limits.answer_bytes, &self.authorization, &self.limits.memory).await
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Asking for plain text by its name is refused together with `format=txt_download`; asking for anything is not.
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");

/// The controller's own authorities, or those that an operator trusts there; none for the system's.
fn trusted(target: &Target, limits: &ClientLimits) -> Result<Vec<Certificate>, TargetProblem> {
    let mut pem = target.ca_pem.trim();
    if pem.is_empty() {
        let there = limits.trusted.iter().find(|(url, _)| is_same_place(url, &target.url));
        pem = there.map_or("", |(_, pem)| pem.trim());
    }
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
