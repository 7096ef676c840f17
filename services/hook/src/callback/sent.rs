//! What was sent of a job, for whoever looks at the delivery that asked for it.

use std::sync::Arc;

use runwarden_engines::catalog::Catalog;
use runwarden_kit::Result;
use runwarden_kit::tenant::TenantId;

use crate::inbox::delivery::{Step, Went};
use crate::store::key;
use crate::store::messages::{Message, MessageState, Messages};

/// How many messages are shown with a delivery.
const MOST: usize = 16;

/// Messages, by the job that they tell of.
#[derive(Clone)]
pub struct Sent {
    /// Callbacks.
    pub catalog: Catalog,
    /// Messages.
    pub messages: Arc<dyn Messages>,
}

impl Sent {
    /// A step for each message that tells of a job.
    pub(crate) async fn steps(&self, tenant: &TenantId, job: &str) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        for message in self.messages.of_job(tenant, job, MOST).await? {
            let name = self.catalog.get::<String>(&key::callback_id(tenant, &message.callback)).await?;
            // Messages of a callback that is being removed go with it.
            if let Some(name) = name {
                steps.push(step(&name.value, &message));
            }
        }
        Ok(steps)
    }
}

fn step(callback: &str, message: &Message) -> Step {
    let (result, told) = match message.state {
        MessageState::Delivered => (Went::Ok, "delivered"),
        MessageState::Dead => (Went::Failed, message.problem.as_str()),
        MessageState::Waiting if message.problem.is_empty() => (Went::Later, "is being sent"),
        MessageState::Waiting => (Went::Later, message.problem.as_str()),
    };
    let at = message.tried_at.unwrap_or(message.created_at);
    Step { name: "called_back".to_owned(), at, result, detail: format!("{callback}, {}: {told}", message.event) }
}
