//! Rotations that are asked for again with the idempotency key of the first.

use std::sync::Arc;

use runwarden_engines::config::{Change, Commit, ConfigStore};
use runwarden_engines::idempotency::{Begun, Idempotency, Repeat, Request, Ticket};
use runwarden_engines::vault::Rotation;
use runwarden_kit::caller::Caller;
use runwarden_kit::clock::Clock;
use runwarden_kit::{Error, Result};
use serde_json::{Value, json};

/// Knows what came of earlier rotations.
#[derive(Clone)]
pub(crate) struct Repeats {
    idempotency: Idempotency,
    store: Arc<dyn ConfigStore>,
    clock: Arc<dyn Clock>,
}

impl Repeats {
    pub(crate) fn new(idempotency: Idempotency, store: Arc<dyn ConfigStore>, clock: Arc<dyn Clock>) -> Self {
        Self { idempotency, store, clock }
    }

    /// Judges the request being served by its idempotency key.
    pub(crate) async fn begin(&self, caller: &Caller, operation: &str) -> Result<Begun<Rotation>> {
        // The request says nothing beyond its key.
        let repeat = Repeat::of(&());
        // The platform's, whichever tenant its administrator acts for.
        let request = Request { tenant: "", ..Request::of(caller, operation, &repeat) };
        self.idempotency.judge(request, self.clock.now(), read).await
    }

    /// Keeps what came of it, after the fact: a rotation is many commits. If the process ends before this, a repeat
    /// rotates once more, which costs a key and harms nothing.
    pub(crate) async fn keep(&self, ticket: &Ticket, rotation: &Rotation) {
        let kept = async {
            let mut change = Change::new();
            let answer = json!({ "key_id": rotation.key_id, "rewrapped": rotation.rewrapped }).to_string();
            ticket.keep(&mut change, answer.as_bytes())?;
            match self.store.commit(change).await? {
                Commit::Done { .. } | Commit::Refused { .. } => Ok::<_, Error>(()),
            }
        };
        if let Err(error) = kept.await {
            tracing::warn!(%error, "the outcome of a rotation is not kept for repeats");
        }
    }
}

fn read(kept: &[u8]) -> Result<Rotation> {
    let kept: Value = serde_json::from_slice(kept).map_err(Error::internal)?;
    let key_id = kept.get("key_id").and_then(Value::as_str);
    let rewrapped = kept.get("rewrapped").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    match (key_id, rewrapped) {
        (Some(key_id), Some(rewrapped)) => Ok(Rotation { key_id: key_id.to_owned(), rewrapped }),
        _ => Err(Error::internal(anyhow::anyhow!("the kept outcome of a rotation is invalid"))),
    }
}
