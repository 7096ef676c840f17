//! Idempotency keys: what a creating request turns out to be.

use prost::Message;
use runwarden_engines::idempotency::{Begin, Idempotency, Request, Ticket};
use runwarden_kit::caller::Caller;
use runwarden_kit::clock::Moment;
use runwarden_kit::{Error, Result, context};

/// A creating request, judged.
pub(crate) enum Judged<A> {
    /// A repeat: this was the answer.
    Repeat(A),
    /// The first.
    First(Ticket),
}

/// Knows the answers that were given.
#[derive(Clone)]
pub(crate) struct OnceBook {
    idempotency: Idempotency,
}

impl OnceBook {
    pub(crate) fn new(idempotency: Idempotency) -> Self {
        Self { idempotency }
    }

    /// Judges the request being served by its idempotency key.
    pub(super) async fn judge<Q: Message, A: Message + Default>(
        &self,
        caller: &Caller,
        operation: &str,
        request: &Q,
        now: Moment,
    ) -> Result<Judged<A>> {
        let key = context::current().idempotency_key;
        let body = request.encode_to_vec();
        let request = Request {
            tenant: caller.tenant().unwrap_or_default(),
            principal: &caller.principal,
            operation,
            key: key.as_deref(),
            body: &body,
        };
        match self.idempotency.begin(request, now).await? {
            Begin::Fresh(ticket) => Ok(Judged::First(ticket)),
            Begin::Replay(bytes) => A::decode(bytes.as_slice()).map(Judged::Repeat).map_err(Error::internal),
        }
    }
}
