//! What only the demo asks of the REST API.

use anyhow::bail;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::api::{Api, read};

impl Api {
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
}
