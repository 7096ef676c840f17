//! `CompareHeads`: which logs do not continue what a service saw of them, or take nothing for another reason.

use runwarden_kit::Result;
use runwarden_kit::audit::tenant_of;
use runwarden_proto::audit::v1::{CompareHeadsRequest, CompareHeadsResponse, UntrustedLog};

use super::convert::seen_from_wire;
use super::error::{append_failure, doubt, log_failure};
use crate::log::Journal;

pub(super) async fn handle(
    journal: &Journal,
    service: &str,
    request: &CompareHeadsRequest,
) -> Result<CompareHeadsResponse> {
    let seen = seen_from_wire(service, &request.seen)?;
    let answer = journal.hand_in(Vec::new(), seen).await.map_err(append_failure)?;
    let mut untrusted = Vec::new();
    for (log, error) in answer.refused {
        // What could not be found out is not a finding.
        let Some(why) = doubt(&error) else { return Err(log_failure(error)) };
        untrusted.push(UntrustedLog { tenant: tenant_of(&log).to_owned(), why: why.to_owned() });
    }
    Ok(CompareHeadsResponse { untrusted })
}
