//! gRPC in and out: the generated servers on one side, the ports to other services on the other.

mod access_port;
mod controller;
mod project;
mod secret_port;
mod template;
mod tenant;

use std::sync::Arc;

use runwarden_kit::contract::TemplateKind;
use runwarden_kit::page::PageRequest;
use runwarden_kit::service::Parts;
use runwarden_kit::{Error, Result};
use runwarden_proto::project::v1 as wire;
use runwarden_proto::project::v1::controller_service_server::ControllerServiceServer;
use runwarden_proto::project::v1::project_service_server::ProjectServiceServer;
use runwarden_proto::project::v1::template_service_server::TemplateServiceServer;
use runwarden_proto::project::v1::tenant_service_server::TenantServiceServer;

pub use access_port::MeshAccess;
pub use controller::ControllerRpc;
pub use project::ProjectRpc;
pub use secret_port::MeshSecrets;
pub use template::TemplateRpc;
pub use tenant::TenantRpc;

use crate::controller::Controllers;
use crate::limits::GivenRate;
use crate::port::{ControllerAccess, SecretKeeper};
use crate::project::Projects;
use crate::store::{Catalog, Repeat};
use crate::template::Templates;
use crate::tenant::Tenants;

/// What the service serves.
#[derive(Clone)]
pub struct Services {
    /// Tenants.
    pub tenants: TenantRpc,
    /// Projects.
    pub projects: ProjectRpc,
    /// Controllers.
    pub controllers: ControllerRpc,
    /// Templates.
    pub templates: TemplateRpc,
}

impl Services {
    /// All services over one catalog.
    pub fn new(
        catalog: Catalog,
        access: Arc<dyn ControllerAccess>,
        secrets: Arc<dyn SecretKeeper>,
        allow_plain_http: bool,
    ) -> Self {
        let tenants = Tenants::new(catalog.clone());
        Self {
            tenants: TenantRpc(tenants.clone()),
            projects: ProjectRpc { projects: Projects::new(catalog.clone()), tenants },
            controllers: ControllerRpc(Controllers::new(
                catalog.clone(),
                Arc::clone(&access),
                secrets,
                allow_plain_http,
            )),
            templates: TemplateRpc(Templates::new(catalog, access)),
        }
    }

    /// As the parts of the service.
    pub fn into_parts(self) -> Parts {
        Parts::new()
            .with(TenantServiceServer::new(self.tenants))
            .with(ProjectServiceServer::new(self.projects))
            .with(ControllerServiceServer::new(self.controllers))
            .with(TemplateServiceServer::new(self.templates))
    }
}

fn page(size: i32, token: String) -> PageRequest {
    PageRequest { size, token }
}

/// The kind of a controller's template that a request names.
fn kind(kind: wire::TemplateKind) -> Result<TemplateKind> {
    kind.try_into().map_err(|_| Error::invalid("/controller_template/kind", "must be `job` or `workflow`"))
}

impl From<wire::StartRate> for GivenRate {
    fn from(rate: wire::StartRate) -> Self {
        Self { jobs: rate.jobs, period_seconds: rate.period_seconds }
    }
}
