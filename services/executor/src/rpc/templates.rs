//! Templates and controllers from the project service.

use std::sync::Arc;

use async_trait::async_trait;
use runwarden_awx::Target;
use runwarden_kit::contract::{Rate, RequestInfo};
use runwarden_kit::mesh::{MeshChannel, Service};
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, Result};
use runwarden_proto::project::v1::controller_service_client::ControllerServiceClient;
use runwarden_proto::project::v1::template_service_client::TemplateServiceClient;
use runwarden_proto::project::v1::{
    self as wire, OnDrift, ReportDriftRequest, ResolveControllerRequest, ResolveTemplateRequest,
};
use serde_json::{Map, Value};

use crate::ports::{Controller, Template, Templates};
use crate::store::Room;
use crate::wait::limits::{Limit, Limits};

/// Asks the project service over the mesh.
pub(crate) struct MeshTemplates {
    templates: TemplateServiceClient<MeshChannel>,
    controllers: ControllerServiceClient<MeshChannel>,
}

impl MeshTemplates {
    /// Over a channel to the project service.
    pub(crate) fn new(channel: MeshChannel) -> Self {
        Self {
            templates: TemplateServiceClient::new(channel.clone()),
            controllers: ControllerServiceClient::new(channel),
        }
    }
}

#[async_trait]
impl Templates for MeshTemplates {
    async fn template(&self, tenant: &TenantId, name: &str) -> Result<Option<Arc<Template>>> {
        let request = ResolveTemplateRequest { tenant: tenant.to_string(), name: name.to_owned() };
        let answer = self.templates.clone().resolve_template(request).await;
        let Some(answer) = found(answer)? else { return Ok(None) };
        let template = answer.template.ok_or_else(|| incomplete("template"))?;
        let controller = answer.controller.ok_or_else(|| incomplete("controller"))?;
        let tenant = answer.tenant.unwrap_or_default();
        let limits = Limits {
            template: limit(template.max_concurrent, template.rate),
            controller: limit(controller.max_concurrent, controller.rate),
            principal: limit(tenant.principal_max_concurrent, tenant.principal_rate),
            share: count(tenant.share).max(1),
        };
        let room = Room { of_template: count(template.max_queued), of_tenant: count(tenant.max_queued) };
        let controller = read_controller(controller, answer.secret_name);
        let template = read_template(template, controller, answer.tenant_disabled)?;
        Ok(Some(Arc::new(Template { limits, room, ..template })))
    }

    async fn controller(&self, tenant: &TenantId, name: &str) -> Result<Option<Controller>> {
        let request = ResolveControllerRequest { tenant: tenant.to_string(), name: name.to_owned() };
        let answer = self.controllers.clone().resolve_controller(request).await;
        let Some(answer) = found(answer)? else { return Ok(None) };
        let controller = answer.controller.ok_or_else(|| incomplete("controller"))?;
        Ok(Some(read_controller(controller, answer.secret_name)))
    }

    async fn report_drift(&self, template: &Template, drift: &[String]) -> Result<()> {
        let request = ReportDriftRequest {
            tenant: template.tenant.to_string(),
            name: template.name.clone(),
            drift: drift.to_vec(),
            fingerprint: template.fingerprint.clone(),
        };
        match self.templates.clone().report_drift(request).await {
            Ok(_) => Ok(()),
            Err(status) => {
                let error = Error::from_peer(Service::Project, &status);
                // Remapped or removed in the meantime: there is nothing left to report to.
                if matches!(error.reason(), ErrorReason::NotFound | ErrorReason::Conflict) {
                    return Ok(());
                }
                Err(error)
            }
        }
    }
}

fn found<T>(answer: Result<tonic::Response<T>, tonic::Status>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(status) => {
            let error = Error::from_peer(Service::Project, &status);
            if error.reason() == ErrorReason::NotFound { Ok(None) } else { Err(error) }
        }
    }
}

fn incomplete(what: &str) -> Error {
    Error::internal(anyhow::anyhow!("the project service answered without a {what}"))
}

fn read_controller(controller: wire::Controller, secret_name: String) -> Controller {
    Controller {
        tenant: TenantId::trusted(&controller.tenant),
        name: controller.name,
        revision: controller.revision,
        target: Target { url: controller.url, api_root: controller.api_root, ca_pem: controller.ca_pem },
        account: controller.account_id,
        secret_name,
    }
}

fn read_template(template: wire::Template, controller: Controller, tenant_disabled: bool) -> Result<Template> {
    let kind = template.kind().try_into().map_err(|_| incomplete("kind"))?;
    // What this version does not know must not be left out silently.
    let request_info = match template.request_info() {
        wire::RequestInfo::Unspecified => RequestInfo::None,
        info => info.try_into().map_err(|_| incomplete("request info"))?,
    };
    let refuse_drift = template.on_drift() == OnDrift::Refuse;
    Ok(Template {
        schema: Value::from(object(&template.parameters_schema_json)?).into(),
        fixed: object(&template.fixed_json)?,
        fingerprint_parts: object(&template.fingerprint_parts_json)?.into(),
        tenant: TenantId::trusted(&template.tenant),
        name: template.name,
        project: template.project,
        revision: template.revision,
        controller,
        kind,
        controller_template: template.controller_template_id,
        limits: Limits::default(),
        room: Room::default(),
        max_wait_seconds: template.max_wait_seconds.max(0),
        max_duration_seconds: template.max_duration_seconds.max(0),
        request_info,
        refuse_drift,
        fingerprint: template.fingerprint,
        drift: template.drift,
        launch_digest: template.launch_digest,
        tenant_disabled,
    })
}

/// A limit as in the contract: unset means no limit.
fn limit(max_concurrent: i32, rate: Option<wire::StartRate>) -> Limit {
    Limit { at_once: count(max_concurrent), rate: rate.and_then(Rate::of) }
}

fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn object(text: &str) -> Result<Map<String, Value>> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(text).map_err(Error::internal)
}
