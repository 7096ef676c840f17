//! RotateMasterKey, GetKeyStatus.

use runwarden_kit::clock::Moment;
use runwarden_kit::rpc::caller;
use runwarden_proto::secret::v1 as proto;
use tonic::{Request, Response, Status};

use crate::keys::Keys;

pub(super) async fn rotate(
    keys: &Keys,
    request: Request<proto::RotateMasterKeyRequest>,
) -> Result<Response<proto::RotateMasterKeyResponse>, Status> {
    let rotation = keys.rotate(&*caller(&request)?).await?;
    Ok(Response::new(proto::RotateMasterKeyResponse { key_id: rotation.key_id, rewrapped: count(rotation.rewrapped) }))
}

pub(super) async fn status(
    keys: &Keys,
    request: Request<proto::GetKeyStatusRequest>,
) -> Result<Response<proto::GetKeyStatusResponse>, Status> {
    let status = keys.status(&*caller(&request)?).await?;
    Ok(Response::new(proto::GetKeyStatusResponse {
        key_id: status.key_id,
        created_at: Some(Moment::from_micros(status.created_at).to_proto()),
        tenant_keys: count(status.tenant_keys),
        tenant_keys_behind: count(status.tenant_keys_behind),
    }))
}

/// No platform has two billion tenant keys.
fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
