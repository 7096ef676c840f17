//! The secret service as the keeper of credentials.

use async_trait::async_trait;
use runwarden_kit::mesh::{MeshChannel, Service};
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, Result};
use runwarden_proto::secret::v1::secret_service_client::SecretServiceClient;
use runwarden_proto::secret::v1::{DeleteSecretRequest, PutSecretRequest};

use crate::port::SecretKeeper;

/// Keeps credentials with the secret service, on behalf of the caller of the request being served.
#[derive(Clone)]
pub struct MeshSecrets(SecretServiceClient<MeshChannel>);

impl MeshSecrets {
    /// Over a channel to the secret service.
    pub fn new(channel: MeshChannel) -> Self {
        Self(SecretServiceClient::new(channel))
    }
}

#[async_trait]
impl SecretKeeper for MeshSecrets {
    async fn put(&self, tenant: &TenantId, name: &str, value: &[u8]) -> Result<()> {
        let request = PutSecretRequest { tenant: tenant.to_string(), name: name.to_owned(), value: value.to_vec() };
        self.0.clone().put_secret(request).await.map_err(|status| Error::from_peer(Service::Secret, &status))?;
        Ok(())
    }

    async fn delete(&self, tenant: &TenantId, name: &str) -> Result<()> {
        let request = DeleteSecretRequest { tenant: tenant.to_string(), name: name.to_owned() };
        match self.0.clone().delete_secret(request).await.map_err(|status| Error::from_peer(Service::Secret, &status)) {
            Ok(_) => Ok(()),
            Err(error) if error.reason() == ErrorReason::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}
