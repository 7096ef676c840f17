//! SealValue, OpenValue.

use runwarden_engines::vault::Plaintext;
use runwarden_kit::rpc::peer;
use runwarden_proto::secret::v1 as proto;
use tonic::{Request, Response, Status};

use crate::sealing::Sealing;

pub(super) async fn seal(
    sealing: &Sealing,
    request: Request<proto::SealValueRequest>,
) -> Result<Response<proto::SealValueResponse>, Status> {
    let proto::SealValueRequest { tenant, plaintext, context } = request.into_inner();
    let sealed = sealing.seal(&tenant, &context, Plaintext::new(plaintext)).await?;
    Ok(Response::new(proto::SealValueResponse { sealed: sealed.bytes, keyed_hash: sealed.keyed_hash }))
}

pub(super) async fn open(
    sealing: &Sealing,
    request: Request<proto::OpenValueRequest>,
) -> Result<Response<proto::OpenValueResponse>, Status> {
    let by = peer(&request)?;
    let proto::OpenValueRequest { tenant, sealed, context, purpose } = request.into_inner();
    let value = sealing.open(&by, &tenant, &sealed, &context, &purpose).await?;
    Ok(Response::new(proto::OpenValueResponse { plaintext: value.into_exposed() }))
}
