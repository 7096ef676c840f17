//! `AppendEntries`: makes entries durable and only then answers.

use runwarden_kit::mesh::Service;
use runwarden_kit::{Error, Result};
use runwarden_proto::audit::v1::{AppendEntriesRequest, AppendEntriesResponse};

use super::convert::seen_from_wire;
use super::error::{append_failure, log_failure};
use crate::admission::{MOST_ENTRIES, check, log_of};
use crate::log::{Journal, LogError};
use crate::record::Entry;
use crate::seen::SeenHead;

pub(super) async fn handle(
    journal: &Journal,
    service: &str,
    request: AppendEntriesRequest,
) -> Result<AppendEntriesResponse> {
    if request.entries.len() > MOST_ENTRIES {
        return Err(Error::invalid("/entries", format!("must not be more than {MOST_ENTRIES}")));
    }
    // Who keeps nothing has seen nothing: the one service that outsiders reach cannot call a log into question.
    if service == Service::Edge.name() && !request.seen.is_empty() {
        return Err(Error::invalid("/seen", "cannot be set by the edge"));
    }
    let seen = seen_from_wire(service, &request.seen)?;
    let mut entries = Vec::with_capacity(request.entries.len());
    let mut ids = Vec::with_capacity(request.entries.len());
    for (at, wire) in request.entries.into_iter().enumerate() {
        let admit = || -> Result<_> {
            let log = log_of(&wire.tenant)?;
            let entry = Entry::try_from(wire)?;
            check(&entry, service)?;
            Ok((log, entry))
        };
        let (log, entry) = admit().map_err(|error| error.under(&format!("/entries/{at}")))?;
        ids.push(entry.entry_id.clone());
        entries.push((log, entry));
    }
    let mut answer = journal.hand_in(entries, seen).await.map_err(append_failure)?;
    match answer.refused.pop() {
        Some((_, LogError::Conflict(id))) => {
            let at = ids.iter().rposition(|known| *known == id).unwrap_or_default();
            let detail = "is in the log already, for something else";
            Err(Error::conflict(format!("The entry id {id} {detail}."))
                .with_field(format!("/entries/{at}/entry_id"), detail))
        }
        Some((_, error)) => Err(log_failure(error)),
        None => Ok(AppendEntriesResponse { heads: answer.heads.iter().filter_map(SeenHead::to_wire).collect() }),
    }
}
