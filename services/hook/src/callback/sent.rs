//! What was sent of a job, for whoever looks at the delivery that asked for it.

use std::collections::HashMap;
use std::sync::Arc;

use runwarden_engines::catalog::Catalog;
use runwarden_kit::Result;
use runwarden_kit::tenant::TenantId;

use crate::inbox::delivery::{Step, Went};
use crate::store::key;
use crate::store::messages::{Message, MessageState, Messages};

/// What the step is called.
const NAME: &str = "called_back";
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
    /// A step for each of the newest messages that tell of a job, in their order, and one for all before them.
    pub(crate) async fn steps(&self, tenant: &TenantId, job: &str) -> Result<Vec<Step>> {
        let (messages, count) = self.messages.of_job(tenant, job, MOST).await?;
        let mut steps = Vec::with_capacity(messages.len() + 1);
        if let (true, Some(first)) = (count > messages.len(), messages.first()) {
            let told = format!("{} earlier messages of {count} are not shown", count - messages.len());
            steps.push(Step { name: NAME.to_owned(), at: first.created_at, result: Went::Ok, detail: told });
        }
        let mut names: HashMap<String, Option<String>> = HashMap::new();
        for message in messages {
            let id = &message.callback;
            let name = match names.get(id) {
                Some(name) => name.clone(),
                None => {
                    // One that cannot be looked up now is called by its id.
                    let found = self.catalog.get::<String>(&key::callback_id(tenant, id)).await;
                    let name = found.map_or_else(|_| Some(id.clone()), |name| name.map(|name| name.value));
                    names.insert(id.clone(), name.clone());
                    name
                }
            };
            // Messages of a callback that is being removed go with it.
            if let Some(name) = name {
                steps.push(step(&name, &message));
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
    Step { name: NAME.to_owned(), at, result, detail: format!("{callback}, {}: {told}", message.event) }
}
