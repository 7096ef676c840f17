//! How a started system is reached, whatever it is made of.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;

use runwarden_kit::SecretString;
use runwarden_kit::context::{RequestContext, scope};
use runwarden_kit::mesh::{MeshChannel, MeshTls, Peer, Peers, Service, TlsFiles, TrustDomain};
use serde_json::Value;

use crate::api::{Api, Credentials};

/// The trust domain of every system under test: the default one.
pub const TRUST_DOMAIN: &str = "runwarden.internal";

/// Addresses, certificates and the first administrator's credentials.
#[derive(Clone)]
pub struct Reach {
    /// The public listener.
    pub base_url: String,
    /// The admin listener.
    pub admin_base_url: String,
    /// The services' gRPC addresses.
    pub grpc: BTreeMap<Service, String>,
    /// The operator's certificate.
    pub operator: TlsFiles,
    /// The name in it.
    pub operator_name: String,
    /// The file with the first administrator's credentials.
    pub bootstrap: PathBuf,
}

impl Reach {
    /// The first administrator's credentials.
    ///
    /// # Panics
    /// When they are not there.
    #[must_use]
    pub fn bootstrap(&self) -> Credentials {
        let text = std::fs::read(&self.bootstrap).expect("the first start leaves bootstrap.json");
        Credentials::of(&serde_json::from_slice::<Value>(&text).expect("bootstrap.json is JSON"))
    }

    /// The first administrator, on the admin listener.
    pub async fn platform_admin(&self) -> Api {
        Api::log_in(&self.admin_base_url, &self.bootstrap()).await
    }

    /// A caller on the admin listener.
    pub async fn admin(&self, credentials: &Credentials) -> Api {
        Api::log_in(&self.admin_base_url, credentials).await
    }

    /// A caller on the public listener.
    pub async fn caller(&self, credentials: &Credentials) -> Api {
        Api::log_in(&self.base_url, credentials).await
    }

    /// A gRPC channel to a service, with the operator's certificate.
    ///
    /// # Panics
    /// When the certificate does not hold or the service has no address.
    #[must_use]
    pub fn channel(&self, service: Service) -> MeshChannel {
        let domain: TrustDomain = TRUST_DOMAIN.parse().expect("a trust domain");
        let own = Peer::Operator(self.operator_name.clone());
        let tls = MeshTls::load(self.operator.clone(), domain, own).expect("the operator's certificate holds");
        Peers::new(tls, self.grpc.clone()).channel(service).expect("the service has an address")
    }
}

/// Makes gRPC calls with this token, for this tenant.
pub async fn calling<F: Future>(token: &str, tenant: Option<&str>, calls: F) -> F::Output {
    let context = RequestContext {
        token: Some(SecretString::from(token.to_owned())),
        tenant: tenant.map(str::to_owned),
        ..RequestContext::default()
    };
    scope(context, calls).await
}
