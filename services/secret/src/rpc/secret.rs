//! `SecretService`.

use std::sync::Arc;

use runwarden_engines::vault::{Listed, Plaintext};
use runwarden_kit::Error;
use runwarden_kit::clock::Moment;
use runwarden_kit::page::PageRequest;
use runwarden_kit::rpc::{caller, peer};
use runwarden_kit::tenant::TenantId;
use runwarden_kit::trust::Trust;
use runwarden_proto::secret::v1 as proto;
use runwarden_proto::secret::v1::secret_service_server::{SecretService, SecretServiceServer};
use tonic::{Request, Response, Status};

use crate::keys::Keys;
use crate::sealing::{self as domain, DELIVERED, Sealing};
use crate::secrets::{Owner, Secrets};

/// What a message may have beside its value.
const FRAME: usize = 16 << 10;

/// The service as gRPC sees it.
pub(crate) struct SecretRpc {
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) sealing: Arc<Sealing>,
    pub(crate) keys: Keys,
    /// Knows which tenants there are: nothing is kept for one that is not there.
    pub(crate) trust: Arc<Trust>,
}

impl SecretRpc {
    pub(crate) fn into_server(self) -> SecretServiceServer<Self> {
        // A value that is a little too large is refused with words by the domain; one that is far too large is not
        // even read.
        let most = 2 * domain::MAX_VALUE + FRAME;
        SecretServiceServer::new(self).max_decoding_message_size(most).max_encoding_message_size(most)
    }
}

#[async_trait::async_trait]
impl SecretService for SecretRpc {
    async fn put_secret(
        &self,
        request: Request<proto::PutSecretRequest>,
    ) -> Result<Response<proto::PutSecretResponse>, Status> {
        self.trust.require_tenant(&request.get_ref().tenant).await?;
        let caller = caller(&request)?;
        let proto::PutSecretRequest { tenant, name, value } = request.into_inner();
        let tenant = TenantId::named("/tenant", &tenant)?;
        let version = self.secrets.put(Owner::Controller, &caller, &tenant, &name, Plaintext::new(value)).await?;
        Ok(Response::new(proto::PutSecretResponse { version }))
    }

    async fn read_secret(
        &self,
        request: Request<proto::ReadSecretRequest>,
    ) -> Result<Response<proto::ReadSecretResponse>, Status> {
        let by = peer(&request)?;
        let proto::ReadSecretRequest { tenant, name, purpose } = request.into_inner();
        let tenant = TenantId::named("/tenant", &tenant)?;
        let revealed = self.secrets.read(Owner::Controller, &by, &tenant, &name, &purpose).await?;
        let version = revealed.version;
        Ok(Response::new(proto::ReadSecretResponse { value: revealed.value.into_exposed(), version }))
    }

    async fn list_secrets(
        &self,
        request: Request<proto::ListSecretsRequest>,
    ) -> Result<Response<proto::ListSecretsResponse>, Status> {
        let caller = caller(&request)?;
        let proto::ListSecretsRequest { page_size, page_token } = request.into_inner();
        let page = self.secrets.list(&caller, &PageRequest { size: page_size, token: page_token }).await?;
        Ok(Response::new(proto::ListSecretsResponse {
            secrets: page.items.into_iter().map(info).collect(),
            next_page_token: page.next,
        }))
    }

    async fn delete_secret(
        &self,
        request: Request<proto::DeleteSecretRequest>,
    ) -> Result<Response<proto::DeleteSecretResponse>, Status> {
        let caller = caller(&request)?;
        let proto::DeleteSecretRequest { tenant, name } = request.into_inner();
        let tenant = TenantId::named("/tenant", &tenant)?;
        self.secrets.delete(Owner::Controller, &caller, &tenant, &name).await?;
        Ok(Response::new(proto::DeleteSecretResponse {}))
    }

    async fn seal_value(
        &self,
        request: Request<proto::SealValueRequest>,
    ) -> Result<Response<proto::SealValueResponse>, Status> {
        self.trust.require_tenant(&request.get_ref().tenant).await?;
        let proto::SealValueRequest { tenant, plaintext, context } = request.into_inner();
        let tenant = TenantId::named("/tenant", &tenant)?;
        not_delivered(&context)?;
        let sealed = self.sealing.seal(&tenant, &context, Plaintext::new(plaintext)).await?;
        Ok(Response::new(proto::SealValueResponse { sealed: sealed.bytes, keyed_hash: sealed.keyed_hash }))
    }

    async fn open_value(
        &self,
        request: Request<proto::OpenValueRequest>,
    ) -> Result<Response<proto::OpenValueResponse>, Status> {
        let by = peer(&request)?;
        let proto::OpenValueRequest { tenant, sealed, context, purpose } = request.into_inner();
        let tenant = TenantId::named("/tenant", &tenant)?;
        not_delivered(&context)?;
        let value = self.sealing.open(&by, &tenant, &sealed, &context, &purpose).await?;
        Ok(Response::new(proto::OpenValueResponse { plaintext: value.into_exposed() }))
    }

    async fn rotate_master_key(
        &self,
        request: Request<proto::RotateMasterKeyRequest>,
    ) -> Result<Response<proto::RotateMasterKeyResponse>, Status> {
        let rotation = self.keys.rotate(&*caller(&request)?).await?;
        Ok(Response::new(proto::RotateMasterKeyResponse {
            key_id: rotation.key_id,
            rewrapped: count(rotation.rewrapped),
        }))
    }

    async fn get_key_status(
        &self,
        request: Request<proto::GetKeyStatusRequest>,
    ) -> Result<Response<proto::GetKeyStatusResponse>, Status> {
        let status = self.keys.status(&*caller(&request)?).await?;
        Ok(Response::new(proto::GetKeyStatusResponse {
            key_id: status.key_id,
            created_at: Some(Moment::from_micros(status.created_at).to_proto()),
            tenant_keys: count(status.tenant_keys),
            tenant_keys_behind: count(status.tenant_keys_behind),
        }))
    }
}

/// What was delivered to hooks is sealed and opened through `HookKeyService` alone.
fn not_delivered(context: &str) -> runwarden_kit::Result<()> {
    if context.starts_with(DELIVERED) {
        return Err(Error::invalid("/context", "is one of a delivery"));
    }
    Ok(())
}

/// Neither side is of this crate, so this is not a `From`.
fn info(listed: Listed) -> proto::SecretInfo {
    proto::SecretInfo {
        name: listed.name.to_string(),
        version: listed.version,
        updated_at: Some(Moment::from_micros(listed.updated_at).to_proto()),
    }
}

/// No platform has two billion tenant keys.
fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
