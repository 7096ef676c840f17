//! Clients for controllers, with credentials fetched just in time and kept for minutes, not longer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use runwarden_awx::{Client, ClientLimits, Target};
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result};

use crate::launch::protocol::{ACKNOWLEDGED_WITHIN, CONNECT_WITHIN};
use crate::ports::Controller;
use crate::ports::CredentialSource;

/// How long a client, and the credential in it, is kept.
const KEEP: Duration = Duration::from_secs(300);

/// What is taken from controllers unless the settings say otherwise. A launch gets the time to connect and to be
/// acknowledged that the protocol counts on.
#[must_use]
pub fn limits() -> ClientLimits {
    ClientLimits::new(CONNECT_WITHIN, ACKNOWLEDGED_WITHIN)
}

/// All that a client is made of. A controller's name is not in it: one that is deleted and made again under its old
/// name may lead elsewhere, with another credential, and its revisions may start again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Made {
    tenant: TenantId,
    target: Target,
    /// Names one credential: a replaced one gets another name.
    secret_name: String,
}

struct Kept {
    since: Instant,
    client: Arc<Client>,
}

/// Clients by what they are made of.
pub struct Controllers {
    credentials: Arc<dyn CredentialSource>,
    limits: ClientLimits,
    kept: Mutex<HashMap<Made, Kept>>,
}

impl Controllers {
    /// No clients yet.
    #[must_use]
    pub fn new(credentials: Arc<dyn CredentialSource>, limits: ClientLimits) -> Self {
        Self { credentials, limits, kept: Mutex::default() }
    }

    /// A client for a controller as it is mapped now.
    ///
    /// # Errors
    /// When the credential cannot be read or the mapping is not an address.
    pub async fn client(&self, controller: &Controller, purpose: &str) -> Result<Arc<Client>> {
        let made = Made {
            tenant: controller.tenant.clone(),
            target: controller.target.clone(),
            secret_name: controller.secret_name.clone(),
        };
        let found = self.with(|kept| kept.get(&made).filter(|k| k.since.elapsed() < KEEP).map(|k| k.client.clone()));
        if let Some(client) = found {
            return Ok(client);
        }
        let credential = self.credentials.read(&made.tenant, &made.secret_name, purpose).await?;
        let client =
            Client::new(&made.target, &credential, self.limits.of_tenant(&made.tenant)).map_err(|problem| {
                let (tenant, name) = (&controller.tenant, &controller.name);
                Error::internal(anyhow::anyhow!("the stored mapping of {name} of {tenant}: {problem}"))
            })?;
        let client = Arc::new(client);
        self.with(|kept| {
            kept.retain(|_, k| k.since.elapsed() < KEEP);
            kept.insert(made, Kept { since: Instant::now(), client: client.clone() });
        });
        Ok(client)
    }

    /// Forgets a client: its credential may have been replaced.
    pub fn forget(&self, client: &Arc<Client>) {
        self.with(|kept| kept.retain(|_, k| !Arc::ptr_eq(&k.client, client)));
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Made, Kept>) -> T) -> T {
        work(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use runwarden_awx::Credential;

    use super::*;
    use crate::test_doubles::template;
    use runwarden_kit::tenant::TenantId;

    #[derive(Default)]
    struct Counting(AtomicUsize);

    #[async_trait]
    impl CredentialSource for Counting {
        async fn read(&self, _: &TenantId, _: &str, _: &str) -> Result<Credential> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(Credential::bearer("token".to_owned()))
        }
    }

    #[tokio::test]
    async fn a_controller_made_again_under_its_name_gets_a_client_of_its_own() {
        let source = Arc::new(Counting::default());
        let controllers = Controllers::new(source.clone(), limits());
        let first = template().controller;
        let client = controllers.client(&first, "a test").await.unwrap();
        assert!(Arc::ptr_eq(&client, &controllers.client(&first, "a test").await.unwrap()));
        // Another revision of the same is not another controller.
        let touched = Controller { revision: first.revision + 1, ..first.clone() };
        assert!(Arc::ptr_eq(&client, &controllers.client(&touched, "a test").await.unwrap()));
        // Name and revision are what they were.
        let elsewhere = Target { url: "http://127.0.0.1:2".into(), ..first.target.clone() };
        let again = [
            Controller { target: elsewhere, ..first.clone() },
            Controller { secret_name: "controllers/awx/other".into(), ..first.clone() },
            Controller { tenant: TenantId::trusted("other"), ..first.clone() },
        ];
        for (read, controller) in (2..).zip(again) {
            assert!(!Arc::ptr_eq(&client, &controllers.client(&controller, "a test").await.unwrap()));
            assert_eq!(source.0.load(Ordering::SeqCst), read);
        }
        controllers.forget(&client);
        assert!(!Arc::ptr_eq(&client, &controllers.client(&first, "a test").await.unwrap()));
    }
}
