//! Members of a project: the bindings at its scope, seen from the project.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use runwarden_kit::{Error, page as paging};
use runwarden_proto::auth::v1 as auth;
use runwarden_proto::project::v1 as project;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::answer::{Page, created, page};
use super::bindings::Binding;
use super::field::present;
use crate::app::App;
use crate::declared::Routes;
use crate::extract::body::Body;
use crate::extract::path::{ByName, ByNameAndId};
use crate::extract::query::{NoParams, PageParams, Params};
use crate::problem::{Problem, Result};

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new().admin(routes!(create, list)).admin(routes!(delete))
}

/// A member to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateMember {
    /// Who shall be a member.
    #[schema(example = "sa_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    principal: String,
    /// The role to hold in the project.
    #[schema(example = "launcher")]
    role: String,
}

/// A project that does not exist has no members: 404, not an empty list.
async fn known(app: &App, name: &str) -> Result<()> {
    app.ports.projects().get_project(project::GetProjectRequest { name: name.to_owned() }).await?;
    Ok(())
}

/// Add a member to a project
///
/// Callers can only grant permissions that they hold themselves. Needs `bindings.write` at the project.
#[utoipa::path(post, path = "/api/v1/projects/{name}/members", tag = "projects", params(ByName), request_body = CreateMember,
    responses((status = 201, description = "It was added.", body = Binding)))]
async fn create(
    State(app): State<App>,
    by: ByName,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<CreateMember>,
) -> Result<Response> {
    let request = auth::CreateBindingRequest { principal: body.principal, role: body.role, project: by.name.clone() };
    let answer = match app.ports.roles().create_binding(request).await {
        Ok(answer) => answer.into_inner(),
        Err(refused) => {
            // Only now: a repeat gets its first answer, even if the project has changed since.
            known(&app, &by.name).await?;
            return Err(refused.into());
        }
    };
    let binding = present(answer.binding, "binding")?;
    Ok(created(&format!("/api/v1/projects/{}/members/{}", by.name, binding.binding_id), Binding::from(binding)))
}

/// List the members of a project
///
/// Those with a role at this very project; roles at the whole tenant hold here too and are listed with the bindings.
/// Needs `bindings.read` at the project.
#[utoipa::path(get, path = "/api/v1/projects/{name}/members", tag = "projects", params(ByName, PageParams),
    responses((status = 200, description = "A page.", body = Page<Binding>)))]
async fn list(State(app): State<App>, by: ByName, Params(wanted): Params<PageParams>) -> Result<Json<Page<Binding>>> {
    known(&app, &by.name).await?;
    let answer = bindings(&app, &by.name, wanted.page_size, wanted.page_token).await?;
    Ok(page(answer.bindings, answer.next_page_token))
}

async fn bindings(app: &App, project: &str, page_size: i32, page_token: String) -> Result<auth::ListBindingsResponse> {
    let request =
        auth::ListBindingsRequest { principal: String::new(), project: project.to_owned(), page_size, page_token };
    Ok(app.ports.roles().list_bindings(request).await?.into_inner())
}

/// Take a member out of a project
///
/// Needs `bindings.write` at the project.
#[utoipa::path(delete, path = "/api/v1/projects/{name}/members/{id}", tag = "projects", params(ByNameAndId),
    responses((status = 204, description = "It was deleted.")))]
async fn delete(State(app): State<App>, by: ByNameAndId, Params(NoParams): Params<NoParams>) -> Result<StatusCode> {
    // The id alone would delete any binding of the tenant: it must be one of this project.
    let mut token = String::new();
    loop {
        let size = i32::try_from(paging::MAX_SIZE).unwrap_or(200);
        let answer = bindings(&app, &by.name, size, token).await?;
        if answer.bindings.iter().any(|binding| {
            binding.binding_id == by.id && binding.scope.as_ref().is_some_and(|scope| scope.project == by.name)
        }) {
            break;
        }
        if answer.next_page_token.is_empty() {
            return Err(Problem::from(Error::not_found("member")));
        }
        token = answer.next_page_token;
    }
    app.ports.roles().delete_binding(auth::DeleteBindingRequest { binding_id: by.id }).await?;
    Ok(StatusCode::NO_CONTENT)
}
