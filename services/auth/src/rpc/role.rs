//! `RoleService`.

use prost::Message as _;
use runwarden_engines::idempotency::{self, Begun, Idempotency, Repeat, message};
use runwarden_kit::page::PageRequest;
use runwarden_kit::rpc::caller;
use runwarden_kit::slug;
use runwarden_proto::auth::v1 as wire;
use runwarden_proto::auth::v1::role_service_server::RoleService;
use tonic::{Request, Response, Status};

use super::optional;
use crate::once::Once;
use crate::role::binding::BindingView;
use crate::role::bindings::{BindingFilter, Bindings, NewBinding};
use crate::role::record::Role;
use crate::role::roles::{NewRole, RoleBook};

/// Serves roles and bindings.
pub(crate) struct RoleRpc {
    pub(crate) roles: RoleBook,
    pub(crate) bindings: Bindings,
    pub(crate) once: Idempotency,
}

#[tonic::async_trait]
impl RoleService for RoleRpc {
    async fn list_roles(
        &self,
        request: Request<wire::ListRolesRequest>,
    ) -> Result<Response<wire::ListRolesResponse>, Status> {
        let caller = caller(&request)?;
        let roles = self.roles.list(&caller).await?;
        Ok(Response::new(wire::ListRolesResponse { roles: roles.iter().map(Into::into).collect() }))
    }

    async fn create_role(
        &self,
        request: Request<wire::CreateRoleRequest>,
    ) -> Result<Response<wire::CreateRoleResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let now = self.roles.shared.clock.now();
        let ticket = match self
            .once
            .judge(idempotency::Request::of(&caller, "role.create", &Repeat::of(&request)), now, message)
            .await?
        {
            Begun::Replay(answer) => return Ok(Response::new(answer)),
            Begun::Fresh(ticket) => ticket,
        };
        let new = NewRole { name: request.name, description: request.description, permissions: request.permissions };
        let answer = |made: &Role| wire::CreateRoleResponse { role: Some(made.into()) };
        let encode = |made: &Role| answer(made).encode_to_vec();
        let made = self.roles.create(&caller, &new, &Once::new(ticket, &encode)).await?;
        Ok(Response::new(answer(&made)))
    }

    async fn delete_role(
        &self,
        request: Request<wire::DeleteRoleRequest>,
    ) -> Result<Response<wire::DeleteRoleResponse>, Status> {
        let caller = caller(&request)?;
        let name = request.into_inner().name;
        self.roles.delete(&caller, &name).await?;
        Ok(Response::new(wire::DeleteRoleResponse {}))
    }

    async fn create_binding(
        &self,
        request: Request<wire::CreateBindingRequest>,
    ) -> Result<Response<wire::CreateBindingResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let now = self.bindings.shared.clock.now();
        let judged = self
            .once
            .judge(idempotency::Request::of(&caller, "binding.create", &Repeat::of(&request)), now, message)
            .await?;
        let ticket = match judged {
            Begun::Replay(answer) => return Ok(Response::new(answer)),
            Begun::Fresh(ticket) => ticket,
        };
        let new = NewBinding { principal: request.principal, role: request.role, project: optional(request.project) };
        let answer = |made: &BindingView| wire::CreateBindingResponse { binding: Some(made.into()) };
        let encode = |made: &BindingView| answer(made).encode_to_vec();
        let made = self.bindings.create(&caller, &new, &Once::new(ticket, &encode)).await?;
        Ok(Response::new(answer(&made)))
    }

    async fn list_bindings(
        &self,
        request: Request<wire::ListBindingsRequest>,
    ) -> Result<Response<wire::ListBindingsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let page = PageRequest { size: request.page_size, token: request.page_token };
        let filter = BindingFilter { principal: optional(request.principal), project: optional(request.project) };
        if let Some(project) = &filter.project {
            slug::check("/project", project)?;
        }
        let page = self.bindings.list(&caller, &filter, &page).await?;
        Ok(Response::new(wire::ListBindingsResponse {
            bindings: page.items.iter().map(Into::into).collect(),
            next_page_token: page.next,
        }))
    }

    async fn delete_binding(
        &self,
        request: Request<wire::DeleteBindingRequest>,
    ) -> Result<Response<wire::DeleteBindingResponse>, Status> {
        let caller = caller(&request)?;
        let binding_id = request.into_inner().binding_id;
        self.bindings.delete(&caller, &binding_id).await?;
        Ok(Response::new(wire::DeleteBindingResponse {}))
    }
}

impl From<&Role> for wire::Role {
    fn from(role: &Role) -> Self {
        Self {
            name: role.name.clone(),
            description: role.description.clone(),
            permissions: role.permissions.clone(),
            built_in: role.built_in,
        }
    }
}

impl From<&BindingView> for wire::Binding {
    fn from(view: &BindingView) -> Self {
        Self {
            binding_id: view.binding.binding_id.clone(),
            principal: view.owner.principal.clone(),
            role: view.binding.role.clone(),
            scope: Some(wire::Scope {
                tenant: view.owner.tenant.clone().map(String::from).unwrap_or_default(),
                project: view.binding.project.clone().unwrap_or_default(),
            }),
            created_at: Some(view.binding.created_at.to_proto()),
        }
    }
}
