//! Requests to Terraform, with the token of the task that they are about.

use std::time::Duration;

use runwarden_kit::{ExposeSecret as _, SecretString};
use runwarden_outbound::{Client, Request};
use runwarden_webhooks::run_task::{CONTENT_TYPE, Reply};

use crate::by_hook::ByHook;
use crate::inbox::delivery::Delivery;

/// How long Terraform may take for an answer.
const WITHIN: Duration = Duration::from_secs(10);
/// Its answers are not read beyond this.
const ANSWER_BYTES: usize = 4096;

/// Requests to Terraform. That of one hook may be one that the operator named: on a private network, with authorities of
/// its own.
#[derive(Clone, Debug)]
pub(crate) struct Terraform(pub(crate) ByHook<Client>);

impl Terraform {
    /// What requests about a delivery are sent with.
    pub(crate) fn client(&self, delivery: &Delivery) -> &Client {
        self.0.of(&delivery.tenant, &delivery.hook)
    }

    /// What requests are sent with to a host that is not the hook's Terraform.
    pub(crate) fn general(&self) -> &Client {
        self.0.general()
    }

    /// Sends a result to the address of its task.
    pub(crate) async fn send(&self, of: &Delivery, callback: &str, token: &SecretString, body: String) -> Reply {
        let client = self.client(of);
        let unsent = Reply::Failed { retry_after: None, unsent: true };
        let request = client.address(callback).map(|address| Request::new(http::Method::PATCH, address));
        let request = match request {
            Ok(request) => request,
            Err(problem) => {
                tracing::warn!(%problem, "a result cannot be sent to its task's address");
                return unsent;
            }
        };
        let bearer = format!("Bearer {}", token.expose_secret());
        let request = request.header("authorization", &bearer).and_then(|r| r.header("content-type", CONTENT_TYPE));
        // A token that is no header cannot have come from Terraform, and will not become one.
        let Ok(request) = request else { return Reply::Refused(401) };
        match client.send(request.body(body).within(WITHIN).answer_bytes(ANSWER_BYTES)).await {
            Ok(answer) => {
                let retry_after = answer.header("retry-after").and_then(|seconds| seconds.trim().parse().ok());
                let reply = Reply::of(answer.status.as_u16(), retry_after);
                if let Reply::Refused(status) = reply {
                    tracing::warn!(delivery = of.id, status, "the result of a run task was refused");
                }
                reply
            }
            Err(failure) => {
                tracing::warn!(%failure, "Terraform did not answer");
                Reply::Failed { retry_after: None, unsent: !failure.may_have_arrived() }
            }
        }
    }
}
