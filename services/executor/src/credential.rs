//! The credentials of controllers, as the executor's domain needs them.

use async_trait::async_trait;
use runwarden_kit::Result;

use runwarden_awx::Credential;

/// Where credentials are kept: the secret service. Every read is on the record there, with its purpose.
#[async_trait]
pub trait CredentialSource: Send + Sync + 'static {
    /// Reads the credential stored under a name in a tenant. `purpose` says what for: `launch job_…`.
    async fn read(&self, tenant: &str, secret_name: &str, purpose: &str) -> Result<Credential>;
}
