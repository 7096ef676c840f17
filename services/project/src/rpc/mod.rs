//! gRPC in and out: the generated servers on one side, the ports to other services on the other.

mod access_port;
mod controller;
mod convert;
mod project;
mod secret_port;
mod template;
mod tenant;

use std::sync::Arc;

use runwarden_kit::page::PageRequest;

pub use access_port::MeshAccess;
pub use controller::ControllerRpc;
pub use project::ProjectRpc;
pub use secret_port::MeshSecrets;
pub use template::TemplateRpc;
pub use tenant::TenantRpc;

use crate::controller::Controllers;
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
}

fn page(size: i32, token: String) -> PageRequest {
    PageRequest { size, token }
}
