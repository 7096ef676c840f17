//! The plan of a run, read with the token of its task, for a mapping that wants it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use http::header::LOCATION;
use runwarden_kit::{Error, ErrorReason, ExposeSecret as _, Result, SecretString};
use runwarden_outbound::{Client, Request};
use runwarden_webhooks::run_task::{self, ACCESS_TOKEN, PLAN_URL};
use serde_json::Value;

use super::terraform::Terraform;
use crate::inbox::delivery::{Content, Delivery};
use crate::ports::{Keys, Plans};

/// The largest plan that is read, in bytes.
const MAX_PLAN: usize = 1024 * 1024;
/// How long Terraform, or the storage that it names, may take.
const WITHIN: Duration = Duration::from_secs(20);

/// Reads plans from Terraform.
pub(crate) struct TerraformPlans {
    pub(crate) terraform: Terraform,
    pub(crate) keys: Arc<dyn Keys>,
}

#[async_trait]
impl Plans for TerraformPlans {
    async fn plan(&self, delivery: &Delivery, content: &Content) -> Result<Option<String>> {
        let event: Value = serde_json::from_str(&content.event).map_err(Error::internal)?;
        let Some(url) = event.pointer(PLAN_URL).and_then(Value::as_str) else { return Ok(None) };
        let Some(sealed) = content.sealed.get(ACCESS_TOKEN) else { return Ok(None) };
        let token = self.keys.open(&delivery.tenant, &delivery.id, sealed).await?;
        let client = self.terraform.client(delivery);
        let answer = match get(client, url, Some(&token)).await? {
            // Terraform keeps plans in an object store. The token is for Terraform only, and so is what was opened to
            // reach it.
            answer if answer.status.is_redirection() => {
                let place = answer.headers.get(LOCATION).and_then(|place| place.to_str().ok()).unwrap_or_default();
                let client = if is_at_one_host(client, url, place) { client } else { self.terraform.general() };
                get(client, place, None).await?
            }
            answer => answer,
        };
        match answer.status.as_u16() {
            200 if !answer.is_whole => Err(refused("The plan is larger than 1 MiB.")),
            200 => match String::from_utf8(answer.body.to_vec()) {
                Ok(plan) if run_task::is_plan(plan.as_bytes()) => Ok(Some(plan)),
                _ => Err(refused("The plan is not JSON that can be read.")),
            },
            408 | 429 | 500..=599 => Err(Error::unavailable("Terraform cannot hand out the plan now.")),
            _ => Err(refused("Terraform does not hand out the plan.")),
        }
    }
}

fn is_at_one_host(client: &Client, one: &str, other: &str) -> bool {
    let origin = |text: &str| client.address(text).ok().map(|address| address.origin());
    origin(one).is_some_and(|one| Some(one) == origin(other))
}

async fn get(client: &Client, url: &str, token: Option<&SecretString>) -> Result<runwarden_outbound::Answer> {
    let address = client.address(url).map_err(|problem| refused(&format!("The plan's address {problem}.")))?;
    let mut request = Request::new(Method::GET, address).within(WITHIN).answer_bytes(MAX_PLAN);
    if let Some(token) = token {
        let bearer = format!("Bearer {}", token.expose_secret());
        request = request.header("authorization", &bearer).map_err(|_| refused("The task's token is not one."))?;
    }
    client.send(request).await.map_err(|failure| Error::unavailable(format!("The plan was not read: {failure}.")))
}

fn refused(detail: &str) -> Error {
    Error::new(ErrorReason::ValidationFailed, detail.to_owned())
}
