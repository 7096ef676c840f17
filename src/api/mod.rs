//! The REST API as any outside caller uses it: the demo and the commands have no other way in.

mod again;
mod error;
mod events;
mod refusal;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode};
use runwarden_kit::{ExposeSecret as _, SecretString};
use serde_json::Value;

pub(crate) use again::Call;
pub(crate) use error::{CallError, Why};
pub(crate) use events::{Event, Events};
pub(crate) use refusal::Refusal;

/// How long an answer may take: longer than the longest `?wait=`.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long it may take to get through.
const CONNECT: Duration = Duration::from_secs(10);
/// How long it may take until a stream begins.
const OPENING: Duration = Duration::from_secs(30);
/// The largest answer that is taken, in bytes: a page of jobs with large parameters fits.
const LARGEST_ANSWER: usize = 64 << 20;

/// A caller of the REST API.
#[derive(Clone)]
pub(crate) struct Api {
    http: Client,
    base: String,
    client_id: String,
    client_secret: SecretString,
    pass: Arc<Mutex<Pass>>,
    tenant: Option<String>,
}

/// What a caller got for its credentials.
struct Pass {
    token: SecretString,
    /// Its permissions, with spaces between.
    scope: String,
}

impl Api {
    /// Obtains a token by client credentials. `base` has no slash at its end; `authorities` are trusted for it, or the
    /// system's if there are none.
    ///
    /// # Errors
    /// When there is no answer, or the answer is not a token.
    pub(crate) async fn log_in(
        base: &str,
        authorities: Vec<Certificate>,
        client_id: &str,
        client_secret: &SecretString,
    ) -> Result<Self, CallError> {
        let api = Self {
            http: client(base, authorities)?,
            base: base.to_owned(),
            client_id: client_id.to_owned(),
            client_secret: client_secret.clone(),
            pass: Arc::new(Mutex::new(Pass { token: String::new().into(), scope: String::new() })),
            tenant: None,
        };
        api.renew().await?;
        Ok(api)
    }

    /// Obtains a new token: the one before expires after some minutes.
    ///
    /// # Errors
    /// When there is no answer, or the answer is not a token.
    pub(crate) async fn renew(&self) -> Result<(), CallError> {
        let answer = self.persist(&self.token_call(), || self.token_request()).await?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
        let token = text("access_token").context("the answer contains no token")?.into();
        *self.pass() = Pass { token, scope: text("scope").unwrap_or_default() };
        Ok(())
    }

    fn token_call(&self) -> Call<'static> {
        // A token that nobody got does no harm.
        Call::new(Method::POST, "/api/v1/auth/token").repeatable()
    }

    fn token_request(&self) -> RequestBuilder {
        self.http
            .post(format!("{}/api/v1/auth/token", self.base))
            .basic_auth(&self.client_id, Some(self.client_secret.expose_secret()))
            .form(&[("grant_type", "client_credentials")])
            .timeout(PATIENCE)
    }

    fn pass(&self) -> std::sync::MutexGuard<'_, Pass> {
        // A token is replaced as a whole.
        self.pass.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the token permits, with spaces between.
    pub(crate) fn scope(&self) -> String {
        self.pass().scope.clone()
    }

    /// The same caller, acting for a tenant.
    pub(crate) fn acting_for(&self, tenant: &str) -> Self {
        Self { tenant: Some(tenant.to_owned()), ..self.clone() }
    }

    /// Calls, and answers what came back if it went well.
    ///
    /// # Errors
    /// When there is no answer, or it is not a success.
    pub(crate) async fn fetch(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, CallError> {
        self.make(&Call::new(method, path).with(body)).await
    }

    /// Makes a call, again where that is safe and makes sense, and answers what came back if it went well.
    ///
    /// # Errors
    /// When there is no answer, or it is not a success.
    pub(crate) async fn make(&self, call: &Call<'_>) -> Result<Value, CallError> {
        self.persist(call, || self.request(call).timeout(PATIENCE)).await
    }

    /// Sends a request once and answers what came back, whatever its status.
    #[cfg(feature = "demo")]
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response, CallError> {
        let request = self.request(&Call::new(method, path).with(body)).timeout(PATIENCE);
        request.send().await.map_err(|error| CallError::unreached(&self.base, error))
    }

    /// Opens a text or a stream: it may take as long as it likes once it has begun.
    ///
    /// # Errors
    /// When there is no answer, or it is not a success.
    pub(crate) async fn open(&self, path: &str, last_event: Option<&str>) -> Result<Response, CallError> {
        let mut request = self.request(&Call::new(Method::GET, path));
        if let Some(id) = last_event {
            request = request.header("last-event-id", id);
        }
        let answer = tokio::time::timeout(OPENING, request.send()).await.map_err(|_| CallError::silent(&self.base))?;
        let answer = answer.map_err(|error| CallError::unreached(&self.base, error))?;
        if answer.status().is_success() { Ok(answer) } else { Err(refusal(answer).await.into()) }
    }

    fn request(&self, call: &Call<'_>) -> RequestBuilder {
        let url = format!("{}{}", self.base, call.path);
        let token = self.pass().token.clone();
        let mut request = self.http.request(call.method.clone(), url).bearer_auth(token.expose_secret());
        if let Some(tenant) = &self.tenant {
            request = request.header("x-tenant", tenant);
        }
        if let Some(key) = call.key {
            request = request.header("idempotency-key", key);
        }
        match call.body {
            Some(body) => request.json(body),
            None => request,
        }
    }
}

fn client(base: &str, authorities: Vec<Certificate>) -> anyhow::Result<Client> {
    let mut builder = Client::builder()
        .user_agent(concat!("runwarden/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(Policy::none())
        .connect_timeout(CONNECT);
    // Where nothing is encrypted no certificates are needed either, and a machine without any is no obstacle.
    if !authorities.is_empty() || base.starts_with("http://") {
        builder = builder.tls_certs_only(authorities);
    }
    builder.build().context("TLS cannot be set up")
}

/// The status of an answer and what it holds.
pub(crate) async fn read(mut answer: Response) -> anyhow::Result<(StatusCode, Value)> {
    let status = answer.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.context("the answer broke off")? {
        if bytes.len() + chunk.len() > LARGEST_ANSWER {
            bail!("the answer is larger than the limit of {LARGEST_ANSWER} bytes");
        }
        bytes.extend_from_slice(&chunk);
    }
    if bytes.is_empty() {
        return Ok((status, Value::Null));
    }
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok((status, value)),
        // A proxy's page, for example: its status says more.
        Err(_) if !status.is_success() => Ok((status, Value::Null)),
        Err(error) => Err(error).context("the answer is not JSON: is this Runwarden?"),
    }
}

/// What an answer that is not a success says.
async fn refusal(answer: Response) -> Refusal {
    let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after = header(RETRY_AFTER).and_then(|after| after.parse().ok());
    let is_problem = header(CONTENT_TYPE).is_some_and(|media_type| media_type.starts_with("application/problem+json"));
    let status = answer.status();
    let body = read(answer).await.map(|(_, body)| body).unwrap_or_default();
    Refusal { status, body, is_problem, retry_after }
}
