//! Sealing and opening by the secret service.

use async_trait::async_trait;
use runwarden_kit::mesh::{MeshChannel, Service};
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ExposeSecret as _, Result, SecretString};
use runwarden_proto::secret::v1::secret_service_client::SecretServiceClient;
use runwarden_proto::secret::v1::{OpenValueRequest, SealValueRequest};
use zeroize::Zeroizing;

use crate::ports::{Sealed, Seals};

/// Asks the secret service over the mesh.
pub(crate) struct MeshSeals(SecretServiceClient<MeshChannel>);

impl MeshSeals {
    /// Over a channel to the secret service.
    pub(crate) fn new(channel: MeshChannel) -> Self {
        Self(SecretServiceClient::new(channel))
    }
}

#[async_trait]
impl Seals for MeshSeals {
    async fn seal(&self, tenant: &TenantId, context: &str, value: &SecretString) -> Result<Sealed> {
        let request = SealValueRequest {
            tenant: tenant.to_string(),
            plaintext: value.expose_secret().as_bytes().to_vec(),
            context: context.to_owned(),
        };
        let answer =
            self.0.clone().seal_value(request).await.map_err(|s| Error::from_peer(Service::Secret, &s))?.into_inner();
        Ok(Sealed { bytes: answer.sealed, keyed_hash: answer.keyed_hash })
    }

    async fn open(&self, tenant: &TenantId, context: &str, sealed: &[u8], purpose: &str) -> Result<SecretString> {
        let request = OpenValueRequest {
            tenant: tenant.to_string(),
            sealed: sealed.to_vec(),
            context: context.to_owned(),
            purpose: purpose.to_owned(),
        };
        let answer =
            self.0.clone().open_value(request).await.map_err(|s| Error::from_peer(Service::Secret, &s))?.into_inner();
        let plaintext = Zeroizing::new(answer.plaintext);
        let text = std::str::from_utf8(&plaintext)
            .map_err(|_| Error::internal(anyhow::anyhow!("a sealed value that should be text is not UTF-8")))?;
        Ok(SecretString::from(text))
    }
}
