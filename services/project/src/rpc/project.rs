//! `ProjectService`.

use runwarden_kit::rpc::caller;
use runwarden_proto::project::v1::project_service_server::ProjectService;
use runwarden_proto::project::v1::{
    self as wire, CheckScopeRequest, CheckScopeResponse, CreateProjectRequest, CreateProjectResponse,
    DeleteProjectRequest, DeleteProjectResponse, GetProjectRequest, GetProjectResponse, ListProjectsRequest,
    ListProjectsResponse,
};
use tonic::{Request, Response, Status};

use super::{Repeat, page};
use crate::project::{NewProject, Project, Projects};
use crate::tenant::{ScopeState, Tenants};

/// Serves projects.
#[derive(Clone)]
pub struct ProjectRpc {
    pub(super) projects: Projects,
    pub(super) tenants: Tenants,
}

#[tonic::async_trait]
impl ProjectService for ProjectRpc {
    async fn create_project(
        &self,
        request: Request<CreateProjectRequest>,
    ) -> Result<Response<CreateProjectResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let repeat = Repeat::of(&request);
        let new = NewProject { name: request.name, display_name: request.display_name };
        let project = self.projects.create(&caller, new, &repeat).await?;
        Ok(Response::new(CreateProjectResponse { project: Some(project.into()) }))
    }

    async fn get_project(&self, request: Request<GetProjectRequest>) -> Result<Response<GetProjectResponse>, Status> {
        let project = self.projects.get(&*caller(&request)?, &request.get_ref().name).await?;
        Ok(Response::new(GetProjectResponse { project: Some(project.into()) }))
    }

    async fn list_projects(
        &self,
        request: Request<ListProjectsRequest>,
    ) -> Result<Response<ListProjectsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let found = self.projects.list(&caller, &page(request.page_size, request.page_token)).await?;
        let projects = found.items.into_iter().map(Into::into).collect();
        Ok(Response::new(ListProjectsResponse { projects, next_page_token: found.next }))
    }

    async fn delete_project(
        &self,
        request: Request<DeleteProjectRequest>,
    ) -> Result<Response<DeleteProjectResponse>, Status> {
        self.projects.delete(&*caller(&request)?, &request.get_ref().name).await?;
        Ok(Response::new(DeleteProjectResponse {}))
    }

    async fn check_scope(&self, request: Request<CheckScopeRequest>) -> Result<Response<CheckScopeResponse>, Status> {
        let CheckScopeRequest { tenant, project } = request.into_inner();
        let state = match tenant.parse() {
            Ok(tenant) => self.tenants.check_scope(&tenant, &project).await?,
            Err(_) => ScopeState { tenant_exists: false, tenant_disabled: false, project_exists: project.is_empty() },
        };
        Ok(Response::new(CheckScopeResponse {
            tenant_exists: state.tenant_exists,
            tenant_disabled: state.tenant_disabled,
            project_exists: state.project_exists,
        }))
    }
}

impl From<Project> for wire::Project {
    fn from(project: Project) -> Self {
        Self {
            name: project.name,
            display_name: project.display_name,
            tenant: project.tenant.into(),
            created_at: Some(project.created_at.to_proto()),
            revision: project.revision,
        }
    }
}
