//! gRPC: reads a request, asks the domain, writes the answer.
//!
//! No handler prints a message or keeps one in a span or an error. The contract marks fields with values
//! `debug_redact`; `prost` does not honour that, so the contracts crate replaces `Debug` of such messages. That is the
//! second line of defence, and not a reason to print one.

mod keys;
mod sealing;
mod secrets;

use std::sync::Arc;

use runwarden_kit::trust::Trust;
use runwarden_proto::secret::v1 as proto;
use runwarden_proto::secret::v1::secret_service_server::{SecretService, SecretServiceServer};
use tonic::{Request, Response, Status};

use crate::keys::Keys;
use crate::sealing::{self as domain, Sealing};
use crate::secrets::Secrets;

/// What a message may have beside its value.
const FRAME: usize = 16 << 10;

/// The service as gRPC sees it.
pub(crate) struct SecretRpc {
    pub(crate) secrets: Secrets,
    pub(crate) sealing: Sealing,
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
        secrets::put(&self.secrets, request).await
    }

    async fn read_secret(
        &self,
        request: Request<proto::ReadSecretRequest>,
    ) -> Result<Response<proto::ReadSecretResponse>, Status> {
        secrets::read(&self.secrets, request).await
    }

    async fn list_secrets(
        &self,
        request: Request<proto::ListSecretsRequest>,
    ) -> Result<Response<proto::ListSecretsResponse>, Status> {
        secrets::list(&self.secrets, request).await
    }

    async fn delete_secret(
        &self,
        request: Request<proto::DeleteSecretRequest>,
    ) -> Result<Response<proto::DeleteSecretResponse>, Status> {
        secrets::delete(&self.secrets, request).await
    }

    async fn seal_value(
        &self,
        request: Request<proto::SealValueRequest>,
    ) -> Result<Response<proto::SealValueResponse>, Status> {
        self.trust.require_tenant(&request.get_ref().tenant).await?;
        sealing::seal(&self.sealing, request).await
    }

    async fn open_value(
        &self,
        request: Request<proto::OpenValueRequest>,
    ) -> Result<Response<proto::OpenValueResponse>, Status> {
        sealing::open(&self.sealing, request).await
    }

    async fn rotate_master_key(
        &self,
        request: Request<proto::RotateMasterKeyRequest>,
    ) -> Result<Response<proto::RotateMasterKeyResponse>, Status> {
        keys::rotate(&self.keys, request).await
    }

    async fn get_key_status(
        &self,
        request: Request<proto::GetKeyStatusRequest>,
    ) -> Result<Response<proto::GetKeyStatusResponse>, Status> {
        keys::status(&self.keys, request).await
    }
}
