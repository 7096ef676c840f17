//! `ProveConsistency`: that the log only grew since an earlier size.

use runwarden_kit::{Error, Result};
use runwarden_proto::audit::v1::{ProveConsistencyRequest, ProveConsistencyResponse};

use super::convert::hashes_to_wire;
use super::error::read_failure;
use crate::log::Reader;

pub(super) async fn handle(
    reader: &Reader,
    log: &str,
    request: &ProveConsistencyRequest,
) -> Result<ProveConsistencyResponse> {
    let old = u64::try_from(request.old_size).map_err(|_| Error::invalid("/old_size", "must not be negative"))?;
    let proof = reader.prove_consistency(log, old).await.map_err(read_failure)?;
    let proof = proof.ok_or_else(|| Error::invalid("/old_size", "is larger than the log"))?;
    Ok(ProveConsistencyResponse {
        hashes: hashes_to_wire(&proof.hashes),
        checkpoint: proof.against.note,
        verifier_key: proof.against.verifier.to_string(),
    })
}
