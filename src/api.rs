//! The REST API as any outside caller uses it: the demo and the operator's commands have no other way in.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, Response, StatusCode};
use runwarden_kit::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::terminal::plain;

/// How long an answer may take: longer than the longest `?wait=`.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long it may take to get through.
const CONNECT: Duration = Duration::from_secs(10);
/// The largest answer that is taken, in bytes: a page of jobs with large parameters fits.
const LARGEST_ANSWER: usize = 64 << 20;

/// A caller of the REST API.
#[derive(Clone)]
pub(crate) struct Api {
    http: Client,
    base: String,
    token: SecretString,
    tenant: Option<String>,
}

impl Api {
    /// Obtains a token by client credentials. `base` has no slash at its end; `authorities` are trusted for it, or the
    /// system's if there are none.
    ///
    /// # Errors
    /// [`Refusal`] when there is an answer, and it is no token.
    pub(crate) async fn log_in(
        base: &str,
        authorities: Vec<Certificate>,
        client_id: &str,
        client_secret: &SecretString,
    ) -> anyhow::Result<Self> {
        let http = client(base, authorities)?;
        let request = http
            .post(format!("{base}/api/v1/auth/token"))
            .basic_auth(client_id, Some(client_secret.expose_secret()))
            .form(&[("grant_type", "client_credentials")]);
        let body = succeeded(request.send().await.with_context(|| unreached(base))?).await.context("no token")?;
        let token = body.get("access_token").and_then(Value::as_str).context("the answer holds no token")?;
        let token = SecretString::from(token.to_owned());
        Ok(Self { http, base: base.to_owned(), token, tenant: None })
    }

    /// The same caller, acting for a tenant.
    pub(crate) fn acting_for(&self, tenant: &str) -> Self {
        Self { tenant: Some(tenant.to_owned()), ..self.clone() }
    }

    /// Calls, and answers what came back if it went well.
    ///
    /// # Errors
    /// [`Refusal`] when the answer is no success.
    pub(crate) async fn fetch(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        succeeded(self.send(method, path, body).await?).await
    }

    /// Sends a request.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Response> {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method, url).bearer_auth(self.token.expose_secret());
        if let Some(tenant) = &self.tenant {
            request = request.header("x-tenant", tenant);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.with_context(|| unreached(&self.base))
    }
}

fn client(base: &str, authorities: Vec<Certificate>) -> anyhow::Result<Client> {
    let mut builder = Client::builder()
        .user_agent(concat!("runwarden/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        .timeout(PATIENCE);
    // Where nothing is encrypted no certificates are needed either, and a machine without any is no obstacle.
    if !authorities.is_empty() || base.starts_with("http://") {
        builder = builder.tls_certs_only(authorities);
    }
    builder.build().context("TLS cannot be set up")
}

fn unreached(base: &str) -> String {
    format!("{base} cannot be reached")
}

/// The status of an answer and what it holds.
pub(crate) async fn read(mut answer: Response) -> anyhow::Result<(StatusCode, Value)> {
    let status = answer.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.context("the answer broke off")? {
        if bytes.len() + chunk.len() > LARGEST_ANSWER {
            bail!("the answer is larger than the {LARGEST_ANSWER} bytes that are taken");
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

async fn succeeded(answer: Response) -> anyhow::Result<Value> {
    let retry_after = answer.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
    let (status, body) = read(answer).await?;
    if status.is_success() { Ok(body) } else { Err(Refusal { status, body, retry_after }.into()) }
}

/// An answer that is no success. `Display` tells people all that it says.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// The problem (RFC 9457), or OAuth's error; null for neither.
    pub(crate) body: Value,
    /// After how many seconds it makes sense to try again.
    pub(crate) retry_after: Option<u64>,
}

impl Refusal {
    fn text(&self, key: &str) -> Option<String> {
        self.body.get(key).and_then(Value::as_str).map(plain)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.as_u16();
        let detail = self.text("detail").or_else(|| self.text("error_description"));
        match (detail, self.text("code").or_else(|| self.text("error"))) {
            (Some(detail), Some(code)) => write!(f, "{detail} ({status} {code})")?,
            (None, Some(code)) => write!(f, "{code} ({status})")?,
            (_, None) => write!(f, "the answer was {}, and not one of Runwarden's", self.status)?,
        }
        for field in self.body.get("errors").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| field.get(key).and_then(Value::as_str).map(plain).unwrap_or_default();
            // What is wrong with the request as a whole is its detail already.
            if !text("pointer").is_empty() {
                write!(f, "\n  {}: {}", text("pointer"), text("detail"))?;
            }
        }
        if let Some(seconds) = self.retry_after {
            write!(f, "\n  try again in {seconds} s")?;
        }
        for (key, label) in [("error_id", "error"), ("decision_id", "decision"), ("request_id", "request")] {
            if let Some(id) = self.text(key) {
                write!(f, "\n  {label}: {id}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::{Refusal, StatusCode};
    use serde_json::{Value, json};

    fn told(status: u16, body: Value, retry_after: Option<u64>) -> String {
        Refusal { status: StatusCode::from_u16(status).unwrap(), body, retry_after }.to_string()
    }

    #[test]
    fn a_problem_is_told_with_its_fields_and_what_to_quote() {
        let problem = json!({
            "type": "urn:runwarden:problem:validation-failed", "title": "The request is not valid", "status": 422,
            "detail": "2 fields are wrong; `errors` names them.", "code": "VALIDATION_FAILED", "request_id": "req_1",
            "errors": [{"pointer": "/run", "detail": "goes with `bind` only"}, {"pointer": "/reason", "detail": "\x1b[2J"}],
        });
        assert_eq!(
            told(422, problem, None),
            "2 fields are wrong; `errors` names them. (422 VALIDATION_FAILED)\n  /run: goes with `bind` only\n  \
             /reason: \u{fffd}[2J\n  request: req_1"
        );
        let whole = json!({"detail": "No.", "code": "VALIDATION_FAILED", "errors": [{"pointer": "", "detail": "No."}]});
        assert_eq!(told(422, whole, None), "No. (422 VALIDATION_FAILED)");
        let full = json!({"detail": "100 jobs wait.", "code": "QUEUE_FULL"});
        assert_eq!(told(429, full, Some(42)), "100 jobs wait. (429 QUEUE_FULL)\n  try again in 42 s");
    }

    #[test]
    fn what_is_no_problem_is_told_by_what_there_is() {
        let oauth = json!({"error": "invalid_client", "error_description": "The secret is wrong."});
        assert_eq!(told(401, oauth, None), "The secret is wrong. (401 invalid_client)");
        assert_eq!(told(401, json!({"error": "invalid_client"}), None), "invalid_client (401)");
        let nothing = "the answer was 502 Bad Gateway, and not one of Runwarden's";
        assert_eq!(told(502, Value::Null, None), nothing);
        assert_eq!(told(502, json!({"detail": 7}), None), nothing);
    }
}
