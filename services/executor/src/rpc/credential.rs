//! Credentials from the secret service.

use async_trait::async_trait;
use runwarden_awx::Credential;
use runwarden_kit::mesh::{MeshChannel, Service};
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result};
use runwarden_proto::secret::v1::ReadSecretRequest;
use runwarden_proto::secret::v1::secret_service_client::SecretServiceClient;
use zeroize::Zeroizing;

use crate::ports::CredentialSource;

/// Reads credentials over the mesh.
pub(crate) struct MeshCredentials(SecretServiceClient<MeshChannel>);

impl MeshCredentials {
    /// Over a channel to the secret service.
    pub(crate) fn new(channel: MeshChannel) -> Self {
        Self(SecretServiceClient::new(channel))
    }
}

#[async_trait]
impl CredentialSource for MeshCredentials {
    async fn read(&self, tenant: &TenantId, secret_name: &str, purpose: &str) -> Result<Credential> {
        let request =
            ReadSecretRequest { tenant: tenant.to_string(), name: secret_name.to_owned(), purpose: purpose.to_owned() };
        let answer =
            self.0.clone().read_secret(request).await.map_err(|status| Error::from_peer(Service::Secret, &status))?;
        let value = Zeroizing::new(answer.into_inner().value);
        // It was checked when it was stored; that it cannot be read is a fault of ours, and its text stays unsaid.
        Credential::from_stored(&value)
            .map_err(|_| Error::internal(anyhow::anyhow!("the stored credential {secret_name} has an unknown format")))
    }
}
