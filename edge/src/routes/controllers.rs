//! Controllers: AWX or AAP installations.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use runwarden_proto::project::v1 as proto;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::routes;

use super::answer::{Page, checked_page, created, page};
use super::field::{always, kept_object, nullable, present, some};
use super::rate::Rate;
use super::templates::Kind;
use crate::app::App;
use crate::declared::Routes;
use crate::extract::body::{Body, Object};
use crate::extract::path::ByName;
use crate::extract::query::{NoParams, PageParams, Params};
use crate::problem::{Problem, Result};

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new().admin(routes!(create, list)).admin(routes!(read, update, delete)).admin(routes!(offered))
}

/// One AWX or AAP installation, its credential apart.
#[derive(Debug, Serialize, ToSchema)]
pub struct Controller {
    /// Its name, unique in its tenant.
    #[schema(example = "awx-prod")]
    pub name: String,
    /// Its tenant.
    #[schema(example = "acme")]
    pub tenant: String,
    /// Its address.
    #[schema(example = "https://awx.acme.example")]
    pub url: String,
    /// Where its API begins.
    #[schema(example = "/api/v2")]
    pub api_root: String,
    /// The certificate authority trusted for it, PEM; absent for the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    /// What it calls itself.
    #[schema(example = "AWX")]
    pub product: String,
    /// Its version, as last reported.
    #[schema(example = "24.6.1")]
    pub version: String,
    /// The user Runwarden is there.
    #[schema(example = "runwarden")]
    pub account_name: String,
    /// How many jobs may be launching or running on it at once; 0 for no limit.
    pub max_concurrent: i32,
    /// How many jobs may be started on it in a period; absent for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// When it was mapped.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Grows with every change.
    pub revision: i64,
}

impl From<proto::Controller> for Controller {
    fn from(controller: proto::Controller) -> Self {
        Self {
            name: controller.name,
            tenant: controller.tenant,
            url: controller.url,
            api_root: controller.api_root,
            ca_pem: some(controller.ca_pem),
            product: controller.product,
            version: controller.version,
            account_name: controller.account_name,
            max_concurrent: controller.max_concurrent,
            rate: Rate::read(controller.rate),
            created_at: always(controller.created_at),
            revision: controller.revision,
        }
    }
}

/// How to log in to a controller: a token, or a user name with a password. It goes in and never comes out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    token: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl PartialSchema for Credential {
    fn schema() -> RefOr<Schema> {
        let text = |description: &str, secret: bool| {
            ObjectBuilder::new().schema_type(Type::String).description(Some(description)).write_only(secret)
        };
        let kind = |description: &str| {
            let none = AdditionalProperties::FreeForm(false);
            ObjectBuilder::new().description(Some(description)).additional_properties(Some(none))
        };
        let token =
            kind("With a token.").property("token", text("An OAuth 2 personal access token.", true)).required("token");
        let user = kind("With a user name and a password.")
            .property("username", text("A user name.", false))
            .property("password", text("The user's password.", true))
            .required("username")
            .required("password");
        let both = OneOfBuilder::new().item(token).item(user);
        both.description(Some("How to log in to a controller. Write-only: it is never returned.")).into()
    }
}

impl ToSchema for Credential {}

impl Credential {
    fn checked(self) -> Result<proto::Credential> {
        match (self.token, self.username, self.password) {
            (Some(token), None, None) => Ok(proto::Credential { token, ..proto::Credential::default() }),
            (None, Some(username), Some(password)) => {
                Ok(proto::Credential { username, password, ..proto::Credential::default() })
            }
            _ => Err(Problem::invalid("/credential", "must be either a token, or a username with a password")),
        }
    }
}

/// A controller to map.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "awx-prod", "url": "https://awx.acme.example", "credential": {"token": "…"}
}))]
pub struct CreateController {
    /// Its name: lower-case letters, digits and hyphens.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    name: String,
    /// Scheme, host and port. Plain HTTP is for loopback addresses only.
    url: String,
    /// Where its API begins; `/api/v2` if not given, `/api/controller/v2` for AAP behind its gateway.
    #[schema(example = "/api/v2")]
    api_root: Option<String>,
    /// How to log in.
    #[schema(value_type = Credential)]
    credential: Object<Credential>,
    /// A certificate authority to trust for it, PEM.
    ca_pem: Option<String>,
    /// How many jobs may be launching or running on it at once; 0 for no limit.
    #[schema(minimum = 0, maximum = 10_000)]
    max_concurrent: Option<i32>,
    /// How many jobs may be started on it in a period; no limit if not given.
    #[schema(value_type = Option<Rate>)]
    rate: Option<Object<Rate>>,
}

/// The changes to a controller; fields not given stay as they are.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateController {
    /// Scheme, host and port.
    url: Option<String>,
    /// Where its API begins.
    api_root: Option<String>,
    /// How to log in.
    #[schema(value_type = Option<Credential>)]
    credential: Option<Object<Credential>>,
    /// A certificate authority to trust for it, PEM; empty for the system's.
    ca_pem: Option<String>,
    /// How many jobs may be launching or running on it at once; 0 for no limit.
    #[schema(minimum = 0, maximum = 10_000)]
    max_concurrent: Option<i32>,
    /// How many jobs may be started on it in a period; null for no limit.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Rate>)]
    rate: Option<Option<Object<Rate>>>,
}

/// A template as a controller has it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ControllerTemplate {
    /// Its kind.
    pub kind: Kind,
    /// Its id on the controller.
    pub id: i64,
    /// Its name on the controller.
    pub name: String,
    /// Its description on the controller.
    pub description: String,
    /// What it prompts for on launch.
    #[schema(example = json!(["extra_vars", "limit"]))]
    pub prompts: Vec<String>,
    /// Whether it has a survey.
    pub survey_enabled: bool,
    /// Its survey as a JSON Schema, as `"parameters": "import"` would take it.
    #[schema(value_type = Object)]
    pub parameters: Value,
    /// SHA-256 over what makes it what it is, hex.
    pub fingerprint: String,
    /// The organization it is of; empty when it has none.
    pub organization: String,
    /// What is wrong with it: why it cannot be launched as it is, and what of it cannot be used.
    pub problems: Vec<String>,
}

impl TryFrom<proto::ControllerTemplate> for ControllerTemplate {
    type Error = Problem;

    fn try_from(template: proto::ControllerTemplate) -> Result<Self> {
        Ok(Self {
            kind: Kind::of(template.kind())?,
            id: template.id,
            name: template.name,
            description: template.description,
            prompts: template.prompts,
            survey_enabled: template.survey_enabled,
            parameters: kept_object(&template.parameters_schema_json, "a survey's schema")?,
            fingerprint: template.fingerprint,
            organization: template.organization,
            problems: template.problems,
        })
    }
}

/// Map a controller
///
/// The connection is checked first; the credential is sealed and never shown again. Needs `controllers.write`.
#[utoipa::path(post, path = "/api/v1/controllers", tag = "controllers", request_body = CreateController,
    responses((status = 201, description = "It was mapped.", body = Controller)))]
async fn create(
    State(app): State<App>,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<CreateController>,
) -> Result<Response> {
    let request = proto::CreateControllerRequest {
        name: body.name,
        url: body.url,
        api_root: body.api_root.unwrap_or_default(),
        credential: Some(body.credential.0.checked()?),
        ca_pem: body.ca_pem.unwrap_or_default(),
        max_concurrent: body.max_concurrent.unwrap_or_default(),
        rate: Rate::sent(body.rate),
    };
    let answer = app.ports.controllers().create_controller(request).await?.into_inner();
    let controller = present(answer.controller, "controller")?;
    Ok(created(&format!("/api/v1/controllers/{}", controller.name), Controller::from(controller)))
}

/// List controllers
///
/// Needs `controllers.read`.
#[utoipa::path(get, path = "/api/v1/controllers", tag = "controllers", params(PageParams),
    responses((status = 200, description = "A page, by name.", body = Page<Controller>)))]
async fn list(State(app): State<App>, Params(paging): Params<PageParams>) -> Result<Json<Page<Controller>>> {
    let request = proto::ListControllersRequest { page_size: paging.page_size, page_token: paging.page_token };
    let answer = app.ports.controllers().list_controllers(request).await?.into_inner();
    Ok(page(answer.controllers, answer.next_page_token))
}

/// Read a controller
///
/// Needs `controllers.read`.
#[utoipa::path(get, path = "/api/v1/controllers/{name}", tag = "controllers", params(ByName),
    responses((status = 200, description = "The controller.", body = Controller)))]
async fn read(State(app): State<App>, by: ByName, Params(NoParams): Params<NoParams>) -> Result<Json<Controller>> {
    let request = proto::GetControllerRequest { name: by.name };
    let answer = app.ports.controllers().get_controller(request).await?.into_inner();
    Ok(Json(present(answer.controller, "controller")?.into()))
}

/// Change a controller
///
/// The connection is checked again first, unless only limits change. Needs `controllers.write`.
#[utoipa::path(patch, path = "/api/v1/controllers/{name}", tag = "controllers", params(ByName), request_body = UpdateController,
    responses((status = 200, description = "The controller as it is now.", body = Controller)))]
async fn update(
    State(app): State<App>,
    by: ByName,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<UpdateController>,
) -> Result<Json<Controller>> {
    let request = proto::UpdateControllerRequest {
        name: by.name,
        url: body.url,
        api_root: body.api_root,
        credential: body.credential.map(|Object(credential)| credential.checked()).transpose()?,
        ca_pem: body.ca_pem,
        max_concurrent: body.max_concurrent,
        rate: Rate::changed(body.rate),
    };
    let answer = app.ports.controllers().update_controller(request).await?.into_inner();
    Ok(Json(present(answer.controller, "controller")?.into()))
}

/// Remove a controller
///
/// No template may use it any more. Its credential goes with it. Needs `controllers.write`.
#[utoipa::path(delete, path = "/api/v1/controllers/{name}", tag = "controllers", params(ByName),
    responses((status = 204, description = "It was deleted.")))]
async fn delete(State(app): State<App>, by: ByName, Params(NoParams): Params<NoParams>) -> Result<StatusCode> {
    app.ports.controllers().delete_controller(proto::DeleteControllerRequest { name: by.name }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List what a controller offers
///
/// Read from the controller now. Needs `controllers.read`.
#[utoipa::path(get, path = "/api/v1/controllers/{name}/templates", tag = "controllers", params(ByName, PageParams),
    responses((status = 200, description = "A page, job templates first.", body = Page<ControllerTemplate>)))]
async fn offered(
    State(app): State<App>,
    by: ByName,
    Params(paging): Params<PageParams>,
) -> Result<Json<Page<ControllerTemplate>>> {
    let request = proto::ListControllerTemplatesRequest {
        controller: by.name,
        page_size: paging.page_size,
        page_token: paging.page_token,
    };
    let answer = app.ports.controllers().list_controller_templates(request).await?.into_inner();
    checked_page(answer.templates, answer.next_page_token)
}

#[cfg(test)]
mod tests {
    use super::Credential;
    use crate::extract::body::from_json;

    #[test]
    fn a_credential_is_a_token_or_a_user_with_a_password() {
        let ok = |text: &str| from_json::<Credential>(text.as_bytes()).and_then(Credential::checked).is_ok();
        assert!(ok(r#"{"token":"t"}"#) && ok(r#"{"username":"u","password":"p"}"#));
        for bad in ["{}", r#"{"username":"u"}"#, r#"{"token":"t","password":"p"}"#, r#"{"key":"k"}"#] {
            assert!(!ok(bad), "{bad}");
        }
    }
}
