//! Templates: names for exactly one thing that may be run.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use runwarden_proto::project::v1 as proto;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};
use utoipa_axum::routes;

use super::answer::{Page, checked_page, created};
use super::field::{always, kept_object, nullable, present};
use super::rate::Rate;
use crate::app::App;
use crate::declared::Routes;
use crate::extract::body::{Body, Object};
use crate::extract::path::ByName;
use crate::extract::query::{FromQuery, NoParams, Params, Query};
use crate::problem::{FieldProblem, Problem, Result};

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new().both(routes!(list)).admin(routes!(create)).both(routes!(read)).admin(routes!(update, delete))
}

runwarden_kit::mirror! {
    /// The kind of a controller's template.
    #[derive(Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum Kind = proto::TemplateKind {
        /// A job template.
        Job,
        /// A workflow job template.
        Workflow,
    }
}

impl Kind {
    /// Reads what a service sent.
    pub(super) fn of(kind: proto::TemplateKind) -> Result<Self> {
        present(kind.try_into().ok(), "kind of a template")
    }

    fn sent(self) -> i32 {
        proto::TemplateKind::from(self).into()
    }
}

runwarden_kit::mirror! {
    /// What to do when the controller's template has changed since it was mapped.
    #[derive(Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum OnDrift = proto::OnDrift {
        /// Launch, and show it.
        Flag,
        /// Do not launch.
        Refuse,
    }
}

runwarden_kit::mirror! {
    /// How a run learns which request it answers.
    #[derive(Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum RequestInfo = proto::RequestInfo {
        /// It does not.
        None,
        /// By variables whose names begin with `runwarden_`.
        Variables,
        /// By labels on the controller's run.
        Labels,
    }
}

impl RequestInfo {
    /// As the contract has it; none leaves it to the service.
    fn sent(this: Option<Self>) -> i32 {
        this.map(proto::RequestInfo::from).unwrap_or_default().into()
    }
}

impl OnDrift {
    /// As the contract has it; none leaves it to the service.
    fn sent(this: Option<Self>) -> i32 {
        this.map(proto::OnDrift::from).unwrap_or_default().into()
    }
}

/// The controller's template that it maps.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ControllerTemplateRef {
    /// Its kind.
    pub kind: Kind,
    /// Its id on the controller.
    #[schema(minimum = 1)]
    pub id: i64,
}

/// Runwarden's name for something that may be run.
#[derive(Debug, Serialize, ToSchema)]
pub struct Template {
    /// Its name, unique in its tenant.
    #[schema(example = "deploy-web")]
    pub name: String,
    /// Its tenant.
    #[schema(example = "acme")]
    pub tenant: String,
    /// Its project.
    #[schema(example = "web")]
    pub project: String,
    /// What it is for.
    pub description: String,
    /// The controller it runs on.
    #[schema(example = "awx-prod")]
    pub controller: String,
    /// The controller's template that it maps.
    pub controller_template: ControllerTemplateRef,
    /// What that was called when it was mapped.
    pub controller_template_name: String,
    /// JSON Schema 2020-12 of the parameters callers may send.
    #[schema(value_type = Object)]
    pub parameters: Value,
    /// Values that are always sent and that callers cannot set.
    #[schema(value_type = Object)]
    pub fixed: Value,
    /// How many jobs of it may be launching or running at once; 0 for no limit.
    pub max_concurrent: i32,
    /// How many seconds a run may take before it is cancelled; 0 for no limit.
    pub max_duration_seconds: i64,
    /// How many of its jobs may be started in a period; absent for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many jobs of it may wait at once; more are refused; 0 for no limit of its own.
    pub max_queued: i32,
    /// How many seconds its jobs may wait before they end as `error` with reason `expired`; 0 for no limit.
    pub max_wait_seconds: i64,
    /// What happens on drift.
    pub on_drift: OnDrift,
    /// How its runs learn which request they answer.
    pub request_info: RequestInfo,
    /// SHA-256 over what made the controller's template what it was when it was mapped, hex.
    pub fingerprint: String,
    /// What has changed on the controller since, in words.
    pub drift: Vec<String>,
    /// What should be corrected in it and does not keep it from working, such as a keyword in its schema that checks
    /// nothing.
    pub problems: Vec<FieldProblem>,
    /// When it was mapped.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Grows with every change.
    pub revision: i64,
}

impl TryFrom<proto::Template> for Template {
    type Error = Problem;

    fn try_from(template: proto::Template) -> Result<Self> {
        let on_drift = template.on_drift().try_into().unwrap_or(OnDrift::Flag);
        let request_info = template.request_info().try_into().unwrap_or(RequestInfo::None);
        let kind = Kind::of(template.kind())?;
        Ok(Self {
            name: template.name,
            tenant: template.tenant,
            project: template.project,
            description: template.description,
            controller: template.controller,
            controller_template: ControllerTemplateRef { kind, id: template.controller_template_id },
            controller_template_name: template.controller_template_name,
            parameters: kept_object(&template.parameters_schema_json, "a template's schema")?,
            fixed: kept_object(&template.fixed_json, "a template's fixed values")?,
            max_concurrent: template.max_concurrent,
            max_duration_seconds: template.max_duration_seconds,
            rate: Rate::read(template.rate),
            max_queued: template.max_queued,
            max_wait_seconds: template.max_wait_seconds,
            on_drift,
            request_info,
            fingerprint: template.fingerprint,
            drift: template.drift,
            problems: template.problems.into_iter().map(FieldProblem::from).collect(),
            created_at: always(template.created_at),
            revision: template.revision,
        })
    }
}

impl From<proto::TemplateProblem> for FieldProblem {
    fn from(problem: proto::TemplateProblem) -> Self {
        Self { pointer: problem.pointer, detail: problem.detail }
    }
}

/// A template to map.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "deploy-web", "project": "web", "controller": "awx-prod",
    "controller_template": {"kind": "job", "id": 7}, "parameters": "import"
}))]
pub struct CreateTemplate {
    /// Its name: lower-case letters, digits and hyphens.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    name: String,
    /// The project it belongs to.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    project: String,
    /// The controller it runs on.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    controller: String,
    /// The controller's template that it maps.
    #[schema(value_type = ControllerTemplateRef)]
    controller_template: Object<ControllerTemplateRef>,
    /// JSON Schema 2020-12 of the parameters callers may send; `"import"` makes one from the survey.
    #[schema(value_type = ParametersOrImport)]
    parameters: Value,
    /// Values that are always sent and that callers cannot set.
    #[schema(value_type = Option<Object>)]
    fixed: Option<Map<String, Value>>,
    /// What it is for.
    description: Option<String>,
    /// How many jobs of it may be launching or running at once; 0 for no limit.
    #[schema(minimum = 0, maximum = 10_000)]
    max_concurrent: Option<i32>,
    /// How many seconds a run may take before it is cancelled; 0 for no limit.
    #[schema(minimum = 0, maximum = 604_800)]
    max_duration_seconds: Option<i64>,
    /// How many of its jobs may be started in a period; no limit if not given.
    #[schema(value_type = Option<Rate>)]
    rate: Option<Object<Rate>>,
    /// How many jobs of it may wait at once; 0 for no limit of its own.
    #[schema(minimum = 0, maximum = 1_000_000)]
    max_queued: Option<i32>,
    /// How many seconds its jobs may wait; 0 for no limit.
    #[schema(minimum = 0, maximum = 2_592_000)]
    max_wait_seconds: Option<i64>,
    /// What to do on drift; `flag` if not given.
    on_drift: Option<OnDrift>,
    /// How its runs learn which request they answer; `none` if not given.
    request_info: Option<RequestInfo>,
}

/// The changes to a template; fields not given stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateTemplate {
    /// JSON Schema 2020-12 of the parameters callers may send; `"import"` makes one from the survey again.
    #[schema(value_type = Option<ParametersOrImport>)]
    parameters: Option<Value>,
    /// Values that are always sent and that callers cannot set.
    #[schema(value_type = Option<Object>)]
    fixed: Option<Map<String, Value>>,
    /// What it is for.
    description: Option<String>,
    /// How many jobs of it may be launching or running at once; 0 for no limit.
    #[schema(minimum = 0, maximum = 10_000)]
    max_concurrent: Option<i32>,
    /// How many seconds a run may take before it is cancelled; 0 for no limit.
    #[schema(minimum = 0, maximum = 604_800)]
    max_duration_seconds: Option<i64>,
    /// How many of its jobs may be started in a period; null for no limit.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Rate>)]
    rate: Option<Option<Object<Rate>>>,
    /// How many jobs of it may wait at once; 0 for no limit of its own.
    #[schema(minimum = 0, maximum = 1_000_000)]
    max_queued: Option<i32>,
    /// How many seconds its jobs may wait; 0 for no limit.
    #[schema(minimum = 0, maximum = 2_592_000)]
    max_wait_seconds: Option<i64>,
    /// What to do on drift.
    on_drift: Option<OnDrift>,
    /// How its runs learn which request they answer.
    request_info: Option<RequestInfo>,
    /// Accepts the controller's template as it is now.
    #[serde(default)]
    accept_drift: bool,
}

/// Describes `parameters` for the OpenAPI document: a JSON Schema, or the word `import`.
#[derive(Debug)]
pub struct ParametersOrImport;

impl PartialSchema for ParametersOrImport {
    fn schema() -> RefOr<Schema> {
        let word = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(["import"]))
            .description(Some("Make a schema from the survey."));
        let schema =
            ObjectBuilder::new().schema_type(Type::Object).description(Some("A JSON Schema 2020-12 of an object."));
        OneOfBuilder::new()
            .item(word)
            .item(schema)
            .description(Some("A JSON Schema, or the word `import`."))
            .examples([
                json!("import"),
                json!({"type": "object", "properties": {"environment": {"enum": ["dev", "prod"]}}}),
            ])
            .into()
    }
}

impl ToSchema for ParametersOrImport {}

/// The schema as it is passed on; `import` stays as it is.
fn schema_text(parameters: &Value, import: &str) -> Result<String> {
    match parameters {
        Value::Object(_) => Ok(parameters.to_string()),
        Value::String(word) if word == "import" => Ok(import.to_owned()),
        _ => Err(Problem::invalid("/parameters", "must be a JSON Schema object, or the word \"import\"")),
    }
}

/// What the service names its fields, in the words of the body.
fn renamed(pointer: &str) -> String {
    let table = [
        ("/parameters_schema_json", "/parameters"),
        ("/parameters_schema", "/parameters"),
        ("/fixed_json", "/fixed"),
        ("/controller_template_id", "/controller_template/id"),
        ("/kind", "/controller_template/kind"),
    ];
    for (theirs, ours) in table {
        if let Some(rest) = pointer.strip_prefix(theirs)
            && (rest.is_empty() || rest.starts_with('/'))
        {
            return format!("{ours}{rest}");
        }
    }
    pointer.to_owned()
}

/// Map a template
///
/// Reads it from the controller, checks or imports the schema, and pins its fingerprint. Needs `templates.write`.
#[utoipa::path(post, path = "/api/v1/templates", tag = "templates", request_body = CreateTemplate,
    responses((status = 201, description = "It was mapped.", body = Template)))]
async fn create(
    State(app): State<App>,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<CreateTemplate>,
) -> Result<Response> {
    let request = proto::CreateTemplateRequest {
        name: body.name,
        project: body.project,
        controller: body.controller,
        kind: body.controller_template.0.kind.sent(),
        controller_template_id: body.controller_template.0.id,
        parameters_schema_json: schema_text(&body.parameters, "")?,
        fixed_json: body.fixed.map(|fixed| Value::Object(fixed).to_string()).unwrap_or_default(),
        description: body.description.unwrap_or_default(),
        max_concurrent: body.max_concurrent.unwrap_or_default(),
        max_duration_seconds: body.max_duration_seconds.unwrap_or_default(),
        on_drift: OnDrift::sent(body.on_drift),
        rate: Rate::sent(body.rate),
        max_queued: body.max_queued.unwrap_or_default(),
        max_wait_seconds: body.max_wait_seconds.unwrap_or_default(),
        request_info: RequestInfo::sent(body.request_info),
    };
    let answer = app.ports.templates().create_template(request).await;
    let answer = answer.map_err(|status| Problem::from(status).with_pointers(renamed))?.into_inner();
    let template = Template::try_from(present(answer.template, "template")?)?;
    Ok(created(&format!("/api/v1/templates/{}", template.name), template))
}

/// Which templates.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListTemplates {
    /// Only those of this project.
    #[param(required = false, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    project: String,
    /// How many items a page has at most; 50 if not given.
    #[param(required = false, minimum = 1, maximum = 200)]
    page_size: i32,
    /// `next_page_token` of the page before; not given for the first.
    #[param(required = false, max_length = 2048, pattern = "^[A-Za-z0-9_-]*$")]
    page_token: String,
}

impl FromQuery for ListTemplates {
    fn from_query(query: &mut Query) -> Self {
        let project = query.slug("project");
        let (page_size, page_token) = query.page();
        Self { project, page_size, page_token }
    }
}

/// List templates
///
/// Those of the projects that the caller may see. Needs `templates.read`.
#[utoipa::path(get, path = "/api/v1/templates", tag = "templates", params(ListTemplates),
    responses((status = 200, description = "A page, by name.", body = Page<Template>)))]
async fn list(State(app): State<App>, Params(filter): Params<ListTemplates>) -> Result<Json<Page<Template>>> {
    let ListTemplates { project, page_size, page_token } = filter;
    let request = proto::ListTemplatesRequest { project, page_size, page_token };
    let answer = app.ports.templates().list_templates(request).await?.into_inner();
    checked_page(answer.templates, answer.next_page_token)
}

/// Read a template
///
/// Its `parameters` say what a job of it may be given. Needs `templates.read`.
#[utoipa::path(get, path = "/api/v1/templates/{name}", tag = "templates", params(ByName),
    responses((status = 200, description = "The template.", body = Template)))]
async fn read(State(app): State<App>, by: ByName, Params(NoParams): Params<NoParams>) -> Result<Json<Template>> {
    let answer = app.ports.templates().get_template(proto::GetTemplateRequest { name: by.name }).await?.into_inner();
    present(answer.template, "template")?.try_into().map(Json)
}

/// Change a template
///
/// `accept_drift` pins the controller's template as it is now. Jobs that wait stay launchable when only limits change.
/// Needs `templates.write`.
#[utoipa::path(patch, path = "/api/v1/templates/{name}", tag = "templates", params(ByName), request_body = UpdateTemplate,
    responses((status = 200, description = "The template as it is now.", body = Template)))]
async fn update(
    State(app): State<App>,
    by: ByName,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<UpdateTemplate>,
) -> Result<Json<Template>> {
    let request = proto::UpdateTemplateRequest {
        name: by.name,
        parameters_schema_json: body.parameters.as_ref().map(|schema| schema_text(schema, "import")).transpose()?,
        fixed_json: body.fixed.map(|fixed| Value::Object(fixed).to_string()),
        description: body.description,
        max_concurrent: body.max_concurrent,
        max_duration_seconds: body.max_duration_seconds,
        on_drift: OnDrift::sent(body.on_drift),
        accept_drift: body.accept_drift,
        rate: Rate::changed(body.rate),
        max_queued: body.max_queued,
        max_wait_seconds: body.max_wait_seconds,
        request_info: RequestInfo::sent(body.request_info),
    };
    let answer = app.ports.templates().update_template(request).await;
    let answer = answer.map_err(|status| Problem::from(status).with_pointers(renamed))?.into_inner();
    present(answer.template, "template")?.try_into().map(Json)
}

/// Remove a template
///
/// Jobs of it that were accepted and not yet launched end as `error`. Needs `templates.write`.
#[utoipa::path(delete, path = "/api/v1/templates/{name}", tag = "templates", params(ByName),
    responses((status = 204, description = "It was deleted.")))]
async fn delete(State(app): State<App>, by: ByName, Params(NoParams): Params<NoParams>) -> Result<StatusCode> {
    app.ports.templates().delete_template(proto::DeleteTemplateRequest { name: by.name }).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::{json, renamed, schema_text};

    #[test]
    fn parameters_are_a_schema_or_the_word_import() {
        assert_eq!(schema_text(&json!({"type": "object"}), "").unwrap(), r#"{"type":"object"}"#);
        assert_eq!(schema_text(&json!("import"), "").unwrap(), "");
        assert_eq!(schema_text(&json!("import"), "import").unwrap(), "import");
        for bad in [json!("Import"), json!(true), json!(null), json!([])] {
            assert!(schema_text(&bad, "").is_err(), "{bad}");
        }
    }

    #[test]
    fn pointers_name_the_fields_of_the_body() {
        assert_eq!(renamed("/parameters_schema_json/properties/a"), "/parameters/properties/a");
        assert_eq!(renamed("/fixed_json"), "/fixed");
        assert_eq!(renamed("/controller_template_id"), "/controller_template/id");
        assert_eq!(renamed("/kindness"), "/kindness");
        assert_eq!(renamed("/name"), "/name");
    }
}
