//! The mesh's certificates of a system in one process: made at the first start, renewed while it runs.

use std::time::Duration;

use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::mesh::pki::DevCa;
use runwarden_kit::mesh::{Peer, Service, TlsFiles, TrustDomain};

use super::layout::Layout;

/// The name in the operator's certificate.
const OPERATOR: &str = "admin";

/// Who the operator is on the mesh.
pub(super) fn operator_peer() -> Peer {
    Peer::Operator(OPERATOR.to_owned())
}

/// The authority and everybody's pairs.
pub(crate) struct Certificates {
    ca: DevCa,
}

impl Certificates {
    pub(super) fn open(layout: &Layout, domain: TrustDomain) -> anyhow::Result<Self> {
        Ok(Self { ca: DevCa::open(&layout.path("pki"), domain)? })
    }

    /// A service's pair.
    pub(super) fn service(&self, service: Service) -> anyhow::Result<TlsFiles> {
        self.ca.service(service)
    }

    /// The operator's pair.
    pub(super) fn operator(&self) -> anyhow::Result<TlsFiles> {
        self.ca.operator(OPERATOR)
    }

    /// Replaces pairs before they expire, until shutdown. Services notice the new files by themselves.
    pub(super) async fn keep_renewed(self, shutdown: Shutdown) {
        while shutdown.sleep(Duration::from_secs(6 * 3600)).await.is_ok() {
            let renewed = Service::ALL
                .iter()
                .try_for_each(|service| self.service(*service).map(drop))
                .and_then(|()| self.operator().map(drop));
            if let Err(error) = renewed {
                tracing::error!(error = format!("{error:#}"), "certificates could not be renewed");
            }
        }
    }
}
