//! Projects: teams' spaces inside a tenant.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use runwarden_proto::project::v1 as proto;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::answer::{Page, created, page};
use super::field::{always, present};
use crate::app::App;
use crate::declared::Routes;
use crate::extract::body::Body;
use crate::extract::path::ByName;
use crate::extract::query::{NoParams, PageParams, Params};
use crate::problem::Result;

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new().admin(routes!(create, list)).admin(routes!(read, delete))
}

/// A team's space inside a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct Project {
    /// Its name, unique in its tenant. It cannot be changed.
    #[schema(example = "web")]
    pub name: String,
    /// Its name for people.
    #[schema(example = "Web team")]
    pub display_name: String,
    /// Its tenant.
    #[schema(example = "acme")]
    pub tenant: String,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Grows with every change.
    pub revision: i64,
}

impl From<proto::Project> for Project {
    fn from(project: proto::Project) -> Self {
        Self {
            name: project.name,
            display_name: project.display_name,
            tenant: project.tenant,
            created_at: always(project.created_at),
            revision: project.revision,
        }
    }
}

/// A project to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProject {
    /// Its name: lower-case letters, digits and hyphens.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "web")]
    name: String,
    /// Its name for people; the name if not given.
    #[schema(max_length = 200, example = "Web team")]
    display_name: Option<String>,
}

/// Make a project
///
/// Needs `projects.write` at the tenant.
#[utoipa::path(post, path = "/api/v1/projects", tag = "projects", request_body = CreateProject,
    responses((status = 201, description = "It was created.", body = Project)))]
async fn create(
    State(app): State<App>,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<CreateProject>,
) -> Result<Response> {
    let request = proto::CreateProjectRequest { name: body.name, display_name: body.display_name.unwrap_or_default() };
    let project = present(app.ports.projects().create_project(request).await?.into_inner().project, "project")?;
    Ok(created(&format!("/api/v1/projects/{}", project.name), Project::from(project)))
}

/// List projects
///
/// Those that the caller may see. Needs `projects.read`.
#[utoipa::path(get, path = "/api/v1/projects", tag = "projects", params(PageParams),
    responses((status = 200, description = "A page, by name.", body = Page<Project>)))]
async fn list(State(app): State<App>, Params(paging): Params<PageParams>) -> Result<Json<Page<Project>>> {
    let request = proto::ListProjectsRequest { page_size: paging.page_size, page_token: paging.page_token };
    let answer = app.ports.projects().list_projects(request).await?.into_inner();
    Ok(page(answer.projects, answer.next_page_token))
}

/// Read a project
///
/// Needs `projects.read`.
#[utoipa::path(get, path = "/api/v1/projects/{name}", tag = "projects", params(ByName),
    responses((status = 200, description = "The project.", body = Project)))]
async fn read(State(app): State<App>, by: ByName, Params(NoParams): Params<NoParams>) -> Result<Json<Project>> {
    let answer = app.ports.projects().get_project(proto::GetProjectRequest { name: by.name }).await?.into_inner();
    Ok(Json(present(answer.project, "project")?.into()))
}

/// Remove a project
///
/// It must have no templates left. Needs `projects.write`.
#[utoipa::path(delete, path = "/api/v1/projects/{name}", tag = "projects", params(ByName),
    responses((status = 204, description = "It was deleted.")))]
async fn delete(State(app): State<App>, by: ByName, Params(NoParams): Params<NoParams>) -> Result<StatusCode> {
    app.ports.projects().delete_project(proto::DeleteProjectRequest { name: by.name }).await?;
    Ok(StatusCode::NO_CONTENT)
}
