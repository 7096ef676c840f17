//! What callbacks need of other services, over the mesh.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runwarden_kit::mesh::{MeshChannel, Service};
use runwarden_kit::{Error, ExposeSecret as _, Result, SecretString};
use runwarden_proto::executor::v1::job_feed_service_client::JobFeedServiceClient;
use runwarden_proto::executor::v1::{WatchJobsRequest, WatchJobsResponse};
use runwarden_proto::secret::v1::callback_key_service_client::CallbackKeyServiceClient;
use runwarden_proto::secret::v1::{OpenCallbackKeyRequest, SealCallbackKeyRequest};
use zeroize::Zeroizing;

use crate::callback::ports::{Jobs, Keys};
use crate::callback::{Callback, Key};

/// How many jobs are listed at once.
const PAGE: i32 = 200;

/// The executor's feed.
pub(crate) struct MeshJobs(JobFeedServiceClient<MeshChannel>);

impl MeshJobs {
    /// Over a channel to the executor.
    pub(crate) fn new(channel: MeshChannel) -> Self {
        // A page is at most a little more than half of what the mesh takes.
        Self(JobFeedServiceClient::new(channel))
    }
}

#[async_trait]
impl Jobs for MeshJobs {
    async fn changed(&self, after: Option<i64>, wait: Duration) -> Result<WatchJobsResponse> {
        let wait_seconds = i32::try_from(wait.as_secs()).unwrap_or(i32::MAX);
        let request = WatchJobsRequest { after, page_size: PAGE, wait_seconds };
        let answer = self.0.clone().watch_jobs(request).await;
        Ok(answer.map_err(|status| Error::from_peer(Service::Executor, &status))?.into_inner())
    }
}

/// The secret service, which seals keys of callbacks.
pub(crate) struct MeshKeys(CallbackKeyServiceClient<MeshChannel>);

impl MeshKeys {
    /// Over a channel to the secret service.
    pub(crate) fn new(channel: MeshChannel) -> Self {
        Self(CallbackKeyServiceClient::new(channel))
    }
}

fn failed(status: &tonic::Status) -> Error {
    Error::from_peer(Service::Secret, status)
}

#[async_trait]
impl Keys for MeshKeys {
    async fn seal(&self, of: &Callback, key: &str, value: &SecretString) -> Result<String> {
        let request = SealCallbackKeyRequest {
            tenant: of.tenant.to_string(),
            callback: of.id.clone(),
            key: key.to_owned(),
            plaintext: value.expose_secret().as_bytes().to_vec(),
        };
        let answer = self.0.clone().seal_callback_key(request).await.map_err(|status| failed(&status))?;
        Ok(STANDARD.encode(answer.into_inner().sealed))
    }

    async fn open(&self, of: &Callback, key: &Key) -> Result<SecretString> {
        let request = OpenCallbackKeyRequest {
            tenant: of.tenant.to_string(),
            callback: of.id.clone(),
            key: key.id.clone(),
            sealed: STANDARD.decode(&key.sealed).map_err(Error::internal)?,
            purpose: format!("signing messages to callback {}", of.name),
        };
        let answer = self.0.clone().open_callback_key(request).await.map_err(|status| failed(&status))?;
        let value = Zeroizing::new(answer.into_inner().plaintext);
        let text = std::str::from_utf8(&value);
        text.map(SecretString::from).map_err(|_| Error::internal(anyhow::anyhow!("a callback's key is not text")))
    }
}
