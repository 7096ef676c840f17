//! PutSecret, ReadSecret, ListSecrets, DeleteSecret.

use runwarden_engines::vault::{Listed, Plaintext};
use runwarden_kit::clock::Moment;
use runwarden_kit::page::PageRequest;
use runwarden_kit::rpc::{caller, peer};
use runwarden_proto::secret::v1 as proto;
use tonic::{Request, Response, Status};

use crate::secrets::Secrets;

pub(super) async fn put(
    secrets: &Secrets,
    request: Request<proto::PutSecretRequest>,
) -> Result<Response<proto::PutSecretResponse>, Status> {
    let caller = caller(&request)?;
    let proto::PutSecretRequest { tenant, name, value } = request.into_inner();
    let version = secrets.put(&caller, &tenant, &name, Plaintext::new(value)).await?;
    Ok(Response::new(proto::PutSecretResponse { version }))
}

pub(super) async fn read(
    secrets: &Secrets,
    request: Request<proto::ReadSecretRequest>,
) -> Result<Response<proto::ReadSecretResponse>, Status> {
    let by = peer(&request)?;
    let proto::ReadSecretRequest { tenant, name, purpose } = request.into_inner();
    let revealed = secrets.read(&by, &tenant, &name, &purpose).await?;
    let version = revealed.version;
    Ok(Response::new(proto::ReadSecretResponse { value: revealed.value.into_exposed(), version }))
}

pub(super) async fn list(
    secrets: &Secrets,
    request: Request<proto::ListSecretsRequest>,
) -> Result<Response<proto::ListSecretsResponse>, Status> {
    let caller = caller(&request)?;
    let proto::ListSecretsRequest { page_size, page_token } = request.into_inner();
    let page = secrets.list(&caller, &PageRequest { size: page_size, token: page_token }).await?;
    Ok(Response::new(proto::ListSecretsResponse {
        secrets: page.items.into_iter().map(info).collect(),
        next_page_token: page.next,
    }))
}

pub(super) async fn delete(
    secrets: &Secrets,
    request: Request<proto::DeleteSecretRequest>,
) -> Result<Response<proto::DeleteSecretResponse>, Status> {
    let caller = caller(&request)?;
    let proto::DeleteSecretRequest { tenant, name } = request.into_inner();
    secrets.delete(&caller, &tenant, &name).await?;
    Ok(Response::new(proto::DeleteSecretResponse {}))
}

fn info(listed: Listed) -> proto::SecretInfo {
    proto::SecretInfo {
        name: listed.name.to_string(),
        version: listed.version,
        updated_at: Some(Moment::from_micros(listed.updated_at).to_proto()),
    }
}
