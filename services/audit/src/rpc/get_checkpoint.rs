//! `GetCheckpoint`: the newest signed checkpoint.

use runwarden_kit::Result;
use runwarden_proto::audit::v1::GetCheckpointResponse;

use super::convert::number_to_wire;
use super::error::read_failure;
use crate::log::Reader;

pub(super) async fn handle(reader: &Reader, log: &str) -> Result<GetCheckpointResponse> {
    let signed = reader.checkpoint(log).await.map_err(read_failure)?;
    Ok(GetCheckpointResponse {
        size: number_to_wire(signed.checkpoint.size)?,
        root_hash: signed.checkpoint.root.to_string(),
        checkpoint: signed.note,
        verifier_key: signed.verifier.to_string(),
    })
}
