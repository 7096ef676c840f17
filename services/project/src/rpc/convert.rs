//! Between the wire and the domain.

use runwarden_kit::{Error, FieldError, Result};
use runwarden_proto::project::v1 as wire;

use crate::controller::{Controller, Credential};
use crate::limits::{GivenRate, Rate};
use crate::port::Offer;
use crate::project::Project;
use crate::template::{OnDrift, Template, TemplateKind};
use crate::tenant::Tenant;

impl From<Tenant> for wire::Tenant {
    fn from(tenant: Tenant) -> Self {
        Self {
            name: tenant.name,
            display_name: tenant.display_name,
            disabled: tenant.disabled,
            created_at: Some(tenant.created_at.to_proto()),
            revision: tenant.revision,
            share: tenant.limits.share,
            max_queued: tenant.limits.max_queued,
            principal_max_concurrent: tenant.limits.principal_max_concurrent,
            principal_rate: tenant.limits.principal_rate.map(Into::into),
        }
    }
}

impl From<Project> for wire::Project {
    fn from(project: Project) -> Self {
        Self {
            name: project.name,
            display_name: project.display_name,
            tenant: project.tenant,
            created_at: Some(project.created_at.to_proto()),
            revision: project.revision,
        }
    }
}

impl From<Controller> for wire::Controller {
    fn from(controller: Controller) -> Self {
        Self {
            name: controller.name,
            tenant: controller.tenant,
            url: controller.url,
            api_root: controller.api_root,
            ca_pem: controller.ca_pem,
            product: controller.product,
            version: controller.version,
            account_id: controller.account_id,
            account_name: controller.account_name,
            created_at: Some(controller.created_at.to_proto()),
            revision: controller.revision,
            max_concurrent: controller.limits.max_concurrent,
            rate: controller.limits.rate.map(Into::into),
        }
    }
}

impl From<Template> for wire::Template {
    fn from(template: Template) -> Self {
        Self {
            name: template.name,
            tenant: template.tenant,
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
        }
    }
}

/// A template as people read it, with what is wrong with it; a launch needs no such list.
pub(super) fn shown(template: Template) -> wire::Template {
    let problems = template.problems().into_iter();
    let problems = problems.map(|FieldError { pointer, detail }| wire::TemplateProblem { pointer, detail }).collect();
    wire::Template { problems, ..template.into() }
}

impl From<Rate> for wire::StartRate {
    fn from(rate: Rate) -> Self {
        Self { jobs: rate.jobs, period_seconds: rate.period_seconds }
    }
}

impl From<wire::StartRate> for GivenRate {
    fn from(rate: wire::StartRate) -> Self {
        Self { jobs: rate.jobs, period_seconds: rate.period_seconds }
    }
}

impl From<Offer> for wire::ControllerTemplate {
    fn from(offer: Offer) -> Self {
        Self {
            kind: wire::TemplateKind::from(offer.kind).into(),
            id: offer.id,
            name: offer.name,
            description: offer.description,
            prompts: offer.prompts,
            survey_enabled: offer.survey_enabled,
            parameters_schema_json: offer.survey_schema,
            fingerprint: offer.fingerprint,
            fingerprint_parts_json: offer.fingerprint_parts,
            problems: offer.problems,
            obstacles: offer.obstacles,
            organization: offer.organization,
        }
    }
}

impl TryFrom<wire::ControllerTemplate> for Offer {
    type Error = Error;

    fn try_from(template: wire::ControllerTemplate) -> Result<Self> {
        Ok(Self {
            kind: kind(template.kind)?,
            id: template.id,
            name: template.name,
            description: template.description,
            prompts: template.prompts,
            survey_enabled: template.survey_enabled,
            survey_schema: template.parameters_schema_json,
            fingerprint: template.fingerprint,
            fingerprint_parts: template.fingerprint_parts_json,
            problems: template.problems,
            obstacles: template.obstacles,
            organization: template.organization,
        })
    }
}

impl From<TemplateKind> for wire::TemplateKind {
    fn from(kind: TemplateKind) -> Self {
        match kind {
            TemplateKind::Job => Self::Job,
            TemplateKind::Workflow => Self::Workflow,
        }
    }
}

impl From<OnDrift> for wire::OnDrift {
    fn from(on_drift: OnDrift) -> Self {
        match on_drift {
            OnDrift::Flag => Self::Flag,
            OnDrift::Refuse => Self::Refuse,
        }
    }
}

pub(super) fn kind(number: i32) -> Result<TemplateKind> {
    match wire::TemplateKind::try_from(number) {
        Ok(wire::TemplateKind::Job) => Ok(TemplateKind::Job),
        Ok(wire::TemplateKind::Workflow) => Ok(TemplateKind::Workflow),
        Ok(wire::TemplateKind::Unspecified) | Err(_) => {
            Err(Error::invalid("/controller_template/kind", "must be `job` or `workflow`"))
        }
    }
}

/// What to do on drift; `None` if nothing was said.
pub(super) fn on_drift(number: i32) -> Result<Option<OnDrift>> {
    match wire::OnDrift::try_from(number) {
        Ok(wire::OnDrift::Unspecified) => Ok(None),
        Ok(wire::OnDrift::Flag) => Ok(Some(OnDrift::Flag)),
        Ok(wire::OnDrift::Refuse) => Ok(Some(OnDrift::Refuse)),
        Err(_) => Err(Error::invalid("/on_drift", "must be `flag` or `refuse`")),
    }
}

pub(super) fn credential(given: wire::Credential) -> Result<Credential> {
    Credential::new(given.token, given.username, given.password)
}
