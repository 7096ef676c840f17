//! What callbacks need of other services.

use std::time::Duration;

use async_trait::async_trait;
use runwarden_kit::{Result, SecretString};
use runwarden_proto::executor::v1::WatchJobsResponse;

use super::{Callback, Key};

/// What becomes of jobs.
#[async_trait]
pub trait Jobs: Send + Sync + 'static {
    /// The jobs that changed after a number, after waiting for one for so long; without a number, from where to go on.
    async fn changed(&self, after: Option<i64>, wait: Duration) -> Result<WatchJobsResponse>;
}

/// The keys that sign.
#[async_trait]
pub trait Keys: Send + Sync + 'static {
    /// Seals a key of a callback, under the key's id; base64. It opens for this callback and key only.
    async fn seal(&self, of: &Callback, key: &str, value: &SecretString) -> Result<String>;

    /// Opens a sealed key.
    async fn open(&self, of: &Callback, key: &Key) -> Result<SecretString>;
}
