//! `TemplateService`.

use runwarden_kit::contract::RequestInfo;
use runwarden_kit::rpc::caller;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, FieldError, json};
use runwarden_proto::project::v1::template_service_server::TemplateService;
use runwarden_proto::project::v1::{
    self as wire, CreateTemplateRequest, CreateTemplateResponse, DeleteTemplateRequest, DeleteTemplateResponse,
    GetTemplateRequest, GetTemplateResponse, ListTemplatesRequest, ListTemplatesResponse, ReportDriftRequest,
    ReportDriftResponse, ResolveTemplateRequest, ResolveTemplateResponse, UpdateTemplateRequest,
    UpdateTemplateResponse,
};
use tonic::{Request, Response, Status};

use super::{Repeat, kind, page};
use crate::template::{NewTemplate, OnDrift, Resolved, Template, TemplateLimitsUpdate, TemplateUpdate, Templates};

/// A request in which what is the same JSON is the same text: equal numbers, however they are written.
fn alike(request: &CreateTemplateRequest) -> CreateTemplateRequest {
    // What is no JSON is compared as it is, and refused later.
    let normal =
        |text: &str| json::parse(text.as_bytes()).map_or_else(|_| text.to_owned(), |value| json::normal(&value));
    CreateTemplateRequest {
        parameters_schema_json: normal(&request.parameters_schema_json),
        fixed_json: normal(&request.fixed_json),
        ..request.clone()
    }
}

/// Serves templates.
#[derive(Clone)]
pub struct TemplateRpc(pub(super) Templates);

#[tonic::async_trait]
impl TemplateService for TemplateRpc {
    async fn create_template(
        &self,
        request: Request<CreateTemplateRequest>,
    ) -> Result<Response<CreateTemplateResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let repeat = Repeat::of(&alike(&request));
        let kind = kind(request.kind())?;
        let schema = request.parameters_schema_json;
        let new = NewTemplate {
            name: request.name,
            project: request.project,
            controller: request.controller,
            kind,
            controller_template_id: request.controller_template_id,
            parameters_schema: (!schema.is_empty() && schema != "import").then_some(schema),
            fixed: request.fixed_json,
            description: request.description,
            limits: TemplateLimitsUpdate {
                max_concurrent: Some(request.max_concurrent),
                max_duration_seconds: Some(request.max_duration_seconds),
                rate: request.rate.map(Into::into),
                max_queued: Some(request.max_queued),
                max_wait_seconds: Some(request.max_wait_seconds),
            },
            on_drift: on_drift(request.on_drift)?.unwrap_or_default(),
            request_info: request_info(request.request_info)?.unwrap_or_default(),
        };
        let template = self.0.create(&caller, new, &repeat).await?;
        Ok(Response::new(CreateTemplateResponse { template: Some(shown(template)) }))
    }

    async fn get_template(
        &self,
        request: Request<GetTemplateRequest>,
    ) -> Result<Response<GetTemplateResponse>, Status> {
        let template = self.0.get(&*caller(&request)?, &request.get_ref().name).await?;
        Ok(Response::new(GetTemplateResponse { template: Some(shown(template)) }))
    }

    async fn list_templates(
        &self,
        request: Request<ListTemplatesRequest>,
    ) -> Result<Response<ListTemplatesResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let wanted = page(request.page_size, request.page_token);
        let found = self.0.list(&caller, &request.project, &wanted).await?;
        let templates = found.items.into_iter().map(shown).collect();
        Ok(Response::new(ListTemplatesResponse { templates, next_page_token: found.next }))
    }

    async fn update_template(
        &self,
        request: Request<UpdateTemplateRequest>,
    ) -> Result<Response<UpdateTemplateResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let update = TemplateUpdate {
            parameters_schema: request.parameters_schema_json,
            fixed: request.fixed_json,
            description: request.description,
            limits: TemplateLimitsUpdate {
                max_concurrent: request.max_concurrent,
                max_duration_seconds: request.max_duration_seconds,
                rate: request.rate.map(Into::into),
                max_queued: request.max_queued,
                max_wait_seconds: request.max_wait_seconds,
            },
            on_drift: on_drift(request.on_drift)?,
            request_info: request_info(request.request_info)?,
            accept_drift: request.accept_drift,
        };
        let template = self.0.update(&caller, &request.name, update).await?;
        Ok(Response::new(UpdateTemplateResponse { template: Some(shown(template)) }))
    }

    async fn delete_template(
        &self,
        request: Request<DeleteTemplateRequest>,
    ) -> Result<Response<DeleteTemplateResponse>, Status> {
        self.0.delete(&*caller(&request)?, &request.get_ref().name).await?;
        Ok(Response::new(DeleteTemplateResponse {}))
    }

    async fn resolve_template(
        &self,
        request: Request<ResolveTemplateRequest>,
    ) -> Result<Response<ResolveTemplateResponse>, Status> {
        let ResolveTemplateRequest { tenant, name } = request.into_inner();
        let tenant = tenant.parse().map_err(|_| Error::not_found("template"))?;
        let Resolved { template, controller, tenant } = self.0.resolve(&tenant, &name).await?;
        Ok(Response::new(ResolveTemplateResponse {
            secret_name: controller.secret_name.clone(),
            template: Some(template.into()),
            controller: Some(controller.into()),
            tenant_disabled: tenant.disabled,
            tenant: Some(tenant.into()),
        }))
    }

    async fn report_drift(
        &self,
        request: Request<ReportDriftRequest>,
    ) -> Result<Response<ReportDriftResponse>, Status> {
        let ReportDriftRequest { tenant, name, drift, fingerprint } = request.into_inner();
        let tenant = TenantId::named("/tenant", &tenant)?;
        self.0.report_drift(&tenant, &name, &fingerprint, drift).await?;
        Ok(Response::new(ReportDriftResponse {}))
    }
}

impl From<Template> for wire::Template {
    fn from(template: Template) -> Self {
        Self {
            name: template.name,
            tenant: template.tenant.into(),
            project: template.project,
            description: template.description,
            controller: template.controller,
            kind: wire::TemplateKind::from(template.kind).into(),
            controller_template_id: template.controller_template_id,
            controller_template_name: template.controller_template_name,
            parameters_schema_json: template.parameters_schema,
            fixed_json: template.fixed,
            max_concurrent: template.limits.max_concurrent,
            max_duration_seconds: template.limits.max_duration_seconds,
            on_drift: wire::OnDrift::from(template.on_drift).into(),
            fingerprint: template.fingerprint,
            fingerprint_parts_json: template.fingerprint_parts,
            drift: template.drift,
            created_at: Some(template.created_at.to_proto()),
            revision: template.revision,
            launch_digest: template.launch_digest,
            rate: template.limits.rate.map(Into::into),
            max_queued: template.limits.max_queued,
            max_wait_seconds: template.limits.max_wait_seconds,
            problems: Vec::new(),
            request_info: wire::RequestInfo::from(template.request_info).into(),
        }
    }
}

/// A template as people read it, with what is wrong with it; a launch needs no such list.
fn shown(template: Template) -> wire::Template {
    let problems = template.problems().into_iter();
    let problems = problems.map(|FieldError { pointer, detail }| wire::TemplateProblem { pointer, detail }).collect();
    wire::Template { problems, ..template.into() }
}

/// How runs learn of their request; `None` if nothing was said.
fn request_info(number: i32) -> Result<Option<RequestInfo>, Error> {
    match wire::RequestInfo::try_from(number) {
        Ok(info) => Ok(info.try_into().ok()),
        Err(_) => Err(Error::invalid("/request_info", "must be `none`, `variables` or `labels`")),
    }
}

/// What to do on drift; `None` if nothing was said.
fn on_drift(number: i32) -> Result<Option<OnDrift>, Error> {
    match wire::OnDrift::try_from(number) {
        Ok(on_drift) => Ok(on_drift.try_into().ok()),
        Err(_) => Err(Error::invalid("/on_drift", "must be `flag` or `refuse`")),
    }
}
