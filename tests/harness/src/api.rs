//! Callers of the REST API.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

/// How long an answer may take: longer than the longest `?wait=`.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long a connection without a request is kept: less than the 15 s after which the edge closes it, so that no request
/// is sent into a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(5);

/// What a client proves itself with.
#[derive(Clone)]
pub struct Credentials {
    /// `client_…`.
    pub id: String,
    /// Shown once.
    pub secret: String,
}

impl Credentials {
    /// Those in an answer or a file.
    ///
    /// # Panics
    /// When they are not in it.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        let text = |key: &str| value.get(key).and_then(Value::as_str).expect("client_id and client_secret").to_owned();
        Self { id: text("client_id"), secret: text("client_secret") }
    }
}

/// A caller with a token.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    tenant: Option<String>,
}

impl Api {
    /// Nobody.
    ///
    /// # Panics
    /// When the HTTP client cannot be made.
    #[must_use]
    pub fn anonymous(base: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
        let http = http.pool_idle_timeout(IDLE).build().expect("an HTTP client");
        Self { http, base: base.to_owned(), token: None, tenant: None }
    }

    /// Somebody with a token that was obtained before.
    #[must_use]
    pub fn with_token(base: &str, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..Self::anonymous(base) }
    }

    /// Asks for a token.
    pub async fn ask_token(base: &str, credentials: &Credentials) -> Answer {
        Self::anonymous(base).token_call(credentials).send().await
    }

    /// Asks for a token where there may be nobody.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn try_token(&self, credentials: &Credentials) -> reqwest::Result<Answer> {
        self.token_call(credentials).try_send().await
    }

    fn token_call(&self, credentials: &Credentials) -> Call {
        let request = self.http.post(format!("{}/api/v1/auth/token", self.base));
        let request = request.basic_auth(&credentials.id, Some(&credentials.secret));
        Call(request.form(&[("grant_type", "client_credentials")]))
    }

    /// Obtains a token.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn log_in(base: &str, credentials: &Credentials) -> Self {
        let answer = Self::ask_token(base, credentials).await.expect(200);
        let token = answer.get("access_token").and_then(Value::as_str).expect("an access token");
        Self::with_token(base, token)
    }

    /// Whoever holds this token, on the connections of this caller.
    #[must_use]
    pub fn bearing(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same caller, acting for a tenant.
    #[must_use]
    pub fn acting_for(&self, tenant: &str) -> Self {
        Self { tenant: Some(tenant.to_owned()), ..self.clone() }
    }

    /// The same caller at another address.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..Self { http: Self::anonymous(base).http, ..self.clone() } }
    }

    /// The address that it calls.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Its token; empty if it has none.
    #[must_use]
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// A request to be filled in and sent.
    #[must_use]
    pub fn call(&self, method: Method, path: &str) -> Call {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(tenant) = &self.tenant {
            request = request.header("x-tenant", tenant);
        }
        Call(request)
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path).send().await
    }

    /// Makes or does something.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path).json(body).send().await
    }

    /// Does something that needs no body.
    pub async fn act(&self, path: &str) -> Answer {
        self.call(Method::POST, path).send().await
    }

    /// Changes something.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::PATCH, path).json(body).send().await
    }

    /// Removes something.
    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path).send().await
    }

    /// All items of a collection, page by page.
    ///
    /// # Panics
    /// When a page is refused.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut token = String::new();
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{separator}page_size=200&page_token={token}")).await.expect(200);
            items.extend(page.get("items").and_then(Value::as_array).expect("items").iter().cloned());
            page.get("next_page_token").and_then(Value::as_str).expect("next_page_token").clone_into(&mut token);
            if token.is_empty() {
                return items;
            }
        }
    }
}

/// A request that has not been sent.
pub struct Call(RequestBuilder);

impl Call {
    /// With a header.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        Self(self.0.json(body))
    }

    /// With a JSON body as it is written: numbers in forms that writing a value would not give them.
    #[must_use]
    pub fn json_text(self, body: &str) -> Self {
        Self(self.0.header("content-type", "application/json").body(body.to_owned()))
    }

    /// With a text body.
    #[must_use]
    pub fn text(self, body: &str) -> Self {
        Self(self.0.header("content-type", "text/plain").body(body.to_owned()))
    }

    /// Sends it.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn send(self) -> Answer {
        self.try_send().await.unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    /// Sends it where there may be nobody.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn try_send(self) -> reqwest::Result<Answer> {
        let response = self.0.send().await?;
        let (status, headers, url) =
            (response.status().as_u16(), response.headers().clone(), response.url().to_string());
        Ok(Answer { status, headers, url, text: response.text().await? })
    }

    /// Sends it and answers before the body is there.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn open(self) -> Response {
        self.try_open().await.unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    /// Sends it where there may be nobody, and answers before the body is there.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn try_open(self) -> reqwest::Result<Response> {
        self.0.send().await
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub text: String,
    url: String,
}

impl Answer {
    /// A header; empty if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The body of an answer with this status.
    ///
    /// # Panics
    /// When it has another one.
    #[track_caller]
    #[must_use]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{} answered {}: {}", self.url, self.status, self.text);
        self.json()
    }

    /// The body of a refusal with this status and code.
    ///
    /// # Panics
    /// When it is something else, or lacks what every problem has.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> Value {
        let problem = self.expect(status);
        let text = |key: &str| problem.get(key).and_then(Value::as_str).unwrap_or_default();
        assert_eq!(text("code"), code, "{} answered {}", self.url, self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(text("request_id"), self.header("x-request-id"));
        for field in ["type", "title", "detail"] {
            assert!(!text(field).is_empty(), "{field} is missing: {}", self.text);
        }
        problem
    }
}
