//! The REST API as any outside caller uses it: the demo has no other way in.

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

/// A caller of the REST API.
#[derive(Clone)]
pub(super) struct Api {
    http: reqwest::Client,
    base: String,
    token: String,
    tenant: Option<String>,
}

impl Api {
    /// Obtains a token by client credentials.
    pub(super) async fn log_in(base: &str, client_id: &str, client_secret: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(90)).build()?;
        let answer = http
            .post(format!("{base}/api/v1/auth/token"))
            .basic_auth(client_id, Some(client_secret))
            .form(&[("grant_type", "client_credentials")])
            .send()
            .await?;
        let (status, body) = read(answer).await?;
        if !status.is_success() {
            bail!("no token: {body}");
        }
        let token = body.get("access_token").and_then(Value::as_str).context("the answer holds a token")?.to_owned();
        Ok(Self { http, base: base.to_owned(), token, tenant: None })
    }

    /// The same caller, acting for a tenant.
    pub(super) fn acting_for(&self, tenant: &str) -> Self {
        Self { tenant: Some(tenant.to_owned()), ..self.clone() }
    }

    /// Sends a request and answers what came back, whatever its status.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        read(self.send(method, path, body).await?).await
    }

    /// Reads something that must be there.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let (status, body) = self.call(Method::GET, path, None).await?;
        if !status.is_success() {
            bail!("GET {path}: {status} {body}");
        }
        Ok(body)
    }

    /// Reads text that must be there.
    pub(super) async fn get_text(&self, path: &str) -> anyhow::Result<String> {
        let answer = self.send(Method::GET, path, None).await?.error_for_status()?;
        Ok(answer.text().await?)
    }

    /// Opens a stream.
    pub(super) async fn open(&self, path: &str) -> anyhow::Result<Response> {
        Ok(self.send(Method::GET, path, None).await?.error_for_status()?)
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Response> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(tenant) = &self.tenant {
            request = request.header("x-tenant", tenant);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Ok(request.send().await?)
    }
}

async fn read(answer: Response) -> anyhow::Result<(StatusCode, Value)> {
    let status = answer.status();
    let text = answer.text().await?;
    Ok((status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? }))
}
