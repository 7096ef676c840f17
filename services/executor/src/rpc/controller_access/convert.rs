//! The client's words in those of the contract.

use runwarden_proto::project::v1 as project;

use runwarden_awx::{Installation, ListedTemplate, TemplateSummary, TemplateView, fingerprint};

/// A template as it appears in an installation's list.
pub(super) fn listed(template: &ListedTemplate, here: &Installation) -> project::ControllerTemplate {
    project::ControllerTemplate { fingerprint: template.fingerprint_at(here), ..summary(&template.summary) }
}

fn summary(template: &TemplateSummary) -> project::ControllerTemplate {
    project::ControllerTemplate {
        kind: project::TemplateKind::from(template.kind).into(),
        id: template.id,
        name: template.name.clone(),
        description: template.description.clone(),
        prompts: template.asks.names(),
        survey_enabled: template.survey_enabled,
        parameters_schema_json: template.schema().to_string(),
        fingerprint: String::new(),
        fingerprint_parts_json: String::new(),
        problems: template.problems.iter().chain(&template.notes).cloned().collect(),
        obstacles: template.problems.clone(),
        organization: template.organization.clone(),
        request_questions: template.request_questions(),
        request_misfits: template.request_misfits(),
    }
}

/// A template in full, as it is on an installation.
pub(super) fn view(template: &TemplateView, here: &Installation) -> project::ControllerTemplate {
    let parts = template.parts_at(here);
    project::ControllerTemplate {
        fingerprint: fingerprint(&parts),
        fingerprint_parts_json: parts.to_string(),
        ..summary(&template.summary)
    }
}
