//! Clients for controllers, with credentials fetched just in time and kept for minutes, not longer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use runwarden_kit::{Error, Result};

use crate::awx::{Client, Limits};
use crate::credential::CredentialSource;
use crate::ports::Controller;

/// How long a client, and the credential in it, is kept.
const KEEP: Duration = Duration::from_secs(300);

struct Kept {
    revision: i64,
    since: Instant,
    client: Arc<Client>,
}

/// Clients by tenant and controller.
pub struct Controllers {
    credentials: Arc<dyn CredentialSource>,
    limits: Limits,
    kept: Mutex<HashMap<(String, String), Kept>>,
}

impl Controllers {
    /// No clients yet.
    #[must_use]
    pub fn new(credentials: Arc<dyn CredentialSource>, limits: Limits) -> Self {
        Self { credentials, limits, kept: Mutex::default() }
    }

    /// A client for a controller as it is mapped now.
    ///
    /// # Errors
    /// When the credential cannot be read or the mapping is no address.
    pub async fn client(&self, controller: &Controller, purpose: &str) -> Result<Arc<Client>> {
        let key = (controller.tenant.clone(), controller.name.clone());
        if let Ok(kept) = self.kept.lock()
            && let Some(found) = kept.get(&key)
            && found.revision == controller.revision
            && found.since.elapsed() < KEEP
        {
            return Ok(found.client.clone());
        }
        let credential = self.credentials.read(&controller.tenant, &controller.secret_name, purpose).await?;
        let client = Client::new(&controller.target, &credential, self.limits.of_tenant(&controller.tenant))
            .map_err(|problem| Error::internal(anyhow::anyhow!("the stored mapping of {key:?}: {problem}")))?;
        let client = Arc::new(client);
        if let Ok(mut kept) = self.kept.lock() {
            kept.retain(|_, k| k.since.elapsed() < KEEP);
            kept.insert(key, Kept { revision: controller.revision, since: Instant::now(), client: client.clone() });
        }
        Ok(client)
    }

    /// Forgets a client: its credential may have been replaced.
    pub fn forget(&self, tenant: &str, name: &str) {
        if let Ok(mut kept) = self.kept.lock() {
            kept.remove(&(tenant.to_owned(), name.to_owned()));
        }
    }
}
