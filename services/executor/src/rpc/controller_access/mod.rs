//! `ControllerAccessService`: lets the project service look at controllers through the executor, which alone has a
//! client for them. It launches nothing.

mod browse_templates;
mod check_connection;
mod convert;
mod describe_template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use runwarden_awx::{Client, ClientLimits, Credential, Target};
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::limits::LARGEST_OFFERS;
use runwarden_kit::permission::Permission;
use runwarden_kit::seats::{CallerLimits, CallerSeats};
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, Result, rpc};
use runwarden_proto::executor::v1 as proto;
use runwarden_proto::executor::v1::controller_access_service_server::{
    ControllerAccessService, ControllerAccessServiceServer,
};
use runwarden_proto::project::v1::Controller;
use tonic::{Request, Response, Status};

use crate::ports::CredentialSource;

/// The service as gRPC sees it.
pub(crate) struct ControllerAccessRpc {
    credentials: Arc<dyn CredentialSource>,
    limits: ClientLimits,
    seats: CallerSeats,
}

/// Callers wait here for as long as a controller takes: one that hangs must not be asked without end.
const LOOKS: CallerLimits = CallerLimits { total: 128, tenant: 16, principal: 8 };

impl ControllerAccessRpc {
    /// With credentials from a source, within limits.
    pub(crate) fn new(credentials: Arc<dyn CredentialSource>, limits: ClientLimits) -> Self {
        let seats = CallerSeats::new("requests to controllers", ErrorReason::RateLimited, LOOKS);
        Self { credentials, limits, seats }
    }

    pub(crate) fn into_server(self) -> ControllerAccessServiceServer<Self> {
        ControllerAccessServiceServer::new(self).max_encoding_message_size(LARGEST_OFFERS)
    }

    /// A client with the credential that is stored for the controller.
    async fn stored(&self, controller: &Controller, secret_name: &str, purpose: &str) -> Result<Client> {
        let purpose = format!("{purpose} {}", controller.name);
        let credential = self.credentials.read(&tenant(controller)?, secret_name, &purpose).await?;
        self.client(controller, &credential)
    }

    fn client(&self, controller: &Controller, credential: &Credential) -> Result<Client> {
        let target = Target {
            url: controller.url.clone(),
            api_root: controller.api_root.clone(),
            ca_pem: controller.ca_pem.clone(),
        };
        Ok(Client::new(&target, credential, self.limits.of_tenant(&controller.tenant))?)
    }
}

/// The controller a request is about.
fn named(controller: Option<Controller>) -> Result<Controller> {
    controller
        .filter(|controller| !controller.tenant.is_empty())
        .ok_or_else(|| Error::invalid("/controller", "must name a controller with its tenant"))
}

/// The tenant a controller is in, as it was sent.
fn tenant(controller: &Controller) -> Result<TenantId> {
    TenantId::named("/controller/tenant", &controller.tenant)
}

/// Demands a permission in the controller's tenant. Who holds it in one project only may still map templates there,
/// and to do so must see what there is to map.
fn require(caller: &Caller, permission: Permission, tenant: &TenantId) -> Result<()> {
    let in_a_project = caller.grants.iter().any(|grant| {
        permission == Permission::TemplatesWrite
            && grant.permissions.contains(permission.name())
            && grant.scope.tenant.as_ref() == Some(tenant)
    });
    if in_a_project { Ok(()) } else { caller.require(permission, &Scope::tenant(tenant)) }
}

#[async_trait::async_trait]
impl ControllerAccessService for ControllerAccessRpc {
    async fn check_connection(
        &self,
        request: Request<proto::CheckConnectionRequest>,
    ) -> Result<Response<proto::CheckConnectionResponse>, Status> {
        let _seat = self.seats.take(&*rpc::caller(&request)?)?;
        check_connection::handle(self, request).await
    }

    async fn browse_templates(
        &self,
        request: Request<proto::BrowseTemplatesRequest>,
    ) -> Result<Response<proto::BrowseTemplatesResponse>, Status> {
        let _seat = self.seats.take(&*rpc::caller(&request)?)?;
        browse_templates::handle(self, request).await
    }

    async fn describe_template(
        &self,
        request: Request<proto::DescribeTemplateRequest>,
    ) -> Result<Response<proto::DescribeTemplateResponse>, Status> {
        let _seat = self.seats.take(&*rpc::caller(&request)?)?;
        describe_template::handle(self, request).await
    }
}
