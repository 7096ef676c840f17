//! `ProveInclusion`: that a record is in the log.

use runwarden_kit::{Error, Result};
use runwarden_proto::audit::v1::{ProveInclusionRequest, ProveInclusionResponse};

use super::convert::{hashes_to_wire, number_to_wire};
use super::error::read_failure;
use crate::log::Reader;

pub(super) async fn handle(
    reader: &Reader,
    log: &str,
    request: &ProveInclusionRequest,
) -> Result<ProveInclusionResponse> {
    if request.entry_id.is_empty() {
        return Err(Error::invalid("/entry_id", "does not name a record"));
    }
    let proof = reader.prove_inclusion(log, &request.entry_id).await.map_err(read_failure)?;
    let proof = proof.ok_or_else(|| Error::not_found("record"))?;
    Ok(ProveInclusionResponse {
        index: number_to_wire(proof.index)?,
        record_json: proof.line,
        hashes: hashes_to_wire(&proof.hashes),
        checkpoint: proof.against.note,
        verifier_key: proof.against.verifier.to_string(),
    })
}
