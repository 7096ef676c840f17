//! Mapping a template: reads it on its controller, checks or imports the schema, pins its fingerprint.

use runwarden_engines::config::{Change, Commit};
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::contract::{RequestInfo, TemplateKind};
use runwarden_kit::permission::Permission;
use runwarden_kit::{Error, Result, slug};
use serde_json::json;

use super::fixed::Fixed;
use super::schema::Schema;
use super::{OnDrift, Template, TemplateLimits, TemplateLimitsUpdate, Templates, mapping, marks};
use crate::port::Look;
use crate::refusal::{creation, require_or_hide, taken};
use crate::store::{Begun, Repeat, keep, key, put};
use crate::{controller, project, tenant, text};

/// A template to be mapped.
#[derive(Clone, Debug)]
pub struct NewTemplate {
    /// A slug.
    pub name: String,
    /// The project it belongs to.
    pub project: String,
    /// The controller it runs on.
    pub controller: String,
    /// The kind of the controller's template.
    pub kind: TemplateKind,
    /// The id of the controller's template.
    pub controller_template_id: i64,
    /// JSON Schema of the parameters; `None` imports it from the survey.
    pub parameters_schema: Option<String>,
    /// Values that callers cannot set, a JSON object; empty for none.
    pub fixed: String,
    /// For people.
    pub description: String,
    /// How much of it may run, how long, and how many of its jobs may wait.
    pub limits: TemplateLimitsUpdate,
    /// What to do on drift.
    pub on_drift: OnDrift,
    /// How its runs learn which request they answer.
    pub request_info: RequestInfo,
}

impl Templates {
    /// Maps a template.
    pub async fn create(&self, caller: &Caller, new: NewTemplate, repeat: &Repeat) -> Result<Template> {
        let tenant = tenant::open(&self.catalog, caller).await?;
        let ticket = match self.catalog.begin(caller, "template.create", repeat).await? {
            Begun::Replay(template) => return Ok(template),
            Begun::Fresh(ticket) => ticket,
        };
        slug::check("/name", &new.name)?;
        slug::check("/project", &new.project)?;
        slug::check("/controller", &new.controller)?;
        let scope = Scope::project(&tenant.name, &new.project);
        require_or_hide(
            caller,
            Permission::TemplatesWrite,
            &[Permission::TemplatesRead, Permission::ProjectsRead],
            &scope,
            "project",
        )?;
        let missing = |what: &str| Error::not_found(what).with_field(format!("/{what}"), "does not exist");
        let project =
            project::find(&self.catalog, &tenant.name, &new.project).await?.ok_or_else(|| missing("project"))?;
        let controller = controller::find(&self.catalog, &tenant.name, &new.controller)
            .await?
            .ok_or_else(|| missing("controller"))?;

        let fixed = Fixed::parse(&new.fixed)?;
        let given = new.parameters_schema.as_deref().map(Schema::parse).transpose()?;
        if new.controller_template_id < 1 {
            return Err(Error::invalid("/controller_template/id", "must be the id of a template on the controller"));
        }
        let mut limits = TemplateLimits::default();
        limits.set(&new.limits)?;
        let mut template = Template {
            description: text::description(&new.description)?,
            limits,
            name: new.name,
            tenant: tenant.name,
            project: new.project,
            controller: new.controller,
            kind: new.kind,
            controller_template_id: new.controller_template_id,
            on_drift: new.on_drift,
            request_info: new.request_info,
            created_at: self.catalog.now(),
            revision: 0,
            controller_template_name: String::new(),
            parameters_schema: String::new(),
            written_schema: String::new(),
            fixed: String::new(),
            fingerprint: String::new(),
            fingerprint_parts: String::new(),
            drift: Vec::new(),
            launch_digest: String::new(),
        };
        let own = key::template(&template.tenant, &template.name);
        if self.catalog.exists(&own).await? {
            return Err(taken("template", &template.name));
        }
        let text = fixed.text();
        let look = Look { fixed: &text, ..Look::default() };
        let description =
            self.access.describe(&controller.value, template.kind, template.controller_template_id, look).await?;
        let schema = match given {
            Some(schema) => schema,
            None => Schema::import(&description.offer.survey_schema, &fixed)?,
        };
        mapping::pin(&mut template, description, &schema, &fixed)?;

        let mut change = Change::new();
        let removed = key::removed_template(&template.tenant, &template.name);
        template.revision = self.catalog.first_revision(&mut change, &removed).await?;
        // What it stands on must still be what was looked at; the marks keep it from being removed later.
        change.absent(&own).at(&project.key, project.revision).at(&controller.key, controller.revision);
        put(&mut change, &own, &template)?;
        for mark in marks(&template) {
            change.put(mark, b"");
        }
        keep(&ticket, &mut change, &template)?;
        let entry = self
            .catalog
            .entry(&template.tenant, "template.create", "template", &template.name)
            .details(&json!({
                "project": template.project, "controller": template.controller, "kind": template.kind.name(),
                "controller_template_id": template.controller_template_id, "fingerprint": template.fingerprint,
                "launch_digest": template.launch_digest, "limits": template.limits,
                "request_info": template.request_info,
            }))
            .build();
        match self.catalog.commit(change, &entry).await? {
            Commit::Done { .. } => Ok(template),
            Commit::Refused { key } => Err(creation(&ticket, &key, &own, "template", &template.name)),
        }
    }
}
