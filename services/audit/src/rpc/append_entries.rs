//! `AppendEntries`: makes entries durable and only then answers.

use runwarden_kit::{Error, Result};
use runwarden_proto::audit::v1::{AppendEntriesRequest, AppendEntriesResponse};

use super::convert::entry_from_wire;
use super::error::append_failure;
use crate::admission::{MOST_ENTRIES, check, log_of};
use crate::log::Journal;

pub(super) async fn handle(
    journal: &Journal,
    service: &str,
    request: AppendEntriesRequest,
) -> Result<AppendEntriesResponse> {
    if request.entries.len() > MOST_ENTRIES {
        return Err(Error::invalid("/entries", format!("must not be more than {MOST_ENTRIES}")));
    }
    let mut entries = Vec::with_capacity(request.entries.len());
    for (at, wire) in request.entries.into_iter().enumerate() {
        let admit = || -> Result<_> {
            let log = log_of(&wire.tenant)?;
            let entry = entry_from_wire(wire)?;
            check(&entry, service)?;
            Ok((log, entry))
        };
        entries.push(admit().map_err(|error| error.under(&format!("/entries/{at}")))?);
    }
    journal.append(entries).await.map_err(append_failure)?;
    Ok(AppendEntriesResponse {})
}
