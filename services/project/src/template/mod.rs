//! Templates: Runwarden's names for exactly one thing that may be run.

mod create;
mod digest;
mod drift;
mod fixed;
mod limits;
mod mapping;
mod schema;
mod suitability;
mod update;

use std::sync::Arc;

use runwarden_engines::config::{Change, Commit};
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::clock::Moment;
use runwarden_kit::contract::{RequestInfo, TemplateKind};
use runwarden_kit::page::{Listing, Page, PageRequest};
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, FieldError, Result, slug};
use runwarden_proto::project::v1 as wire;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use create::NewTemplate;
pub use limits::{TemplateLimits, TemplateLimitsUpdate};
pub use update::TemplateUpdate;

use crate::controller::{self, Controller};
use crate::port::ControllerAccess;
use crate::refusal::require_or_hide;
use crate::store::{Catalog, Stored, key, retire_revision};
use crate::tenant::{self, Tenant};

runwarden_kit::mirror! {
    /// What to do when the controller's template has changed since it was mapped.
    #[derive(Default, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum OnDrift = wire::OnDrift {
        /// Launch, and show it.
        #[default]
        Flag,
        /// Do not launch.
        Refuse,
    }
}

/// Runwarden's name for something that may be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// A slug, unique in its tenant.
    pub name: String,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its project.
    pub project: String,
    /// What it is for.
    pub description: String,
    /// The controller it runs on, by name.
    pub controller: String,
    /// The kind of the controller's template.
    pub kind: TemplateKind,
    /// The id of the controller's template.
    pub controller_template_id: i64,
    /// The name of the controller's template when it was mapped.
    pub controller_template_name: String,
    /// JSON Schema 2020-12 of the parameters, canonical JSON: what was written, held to what the controller takes.
    pub parameters_schema: String,
    /// The schema as it was written, where the controller takes less; empty where it is the same.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub written_schema: String,
    /// Values that are always sent, canonical JSON.
    pub fixed: String,
    /// How much of it may run, how long, and how many of its jobs may wait.
    #[serde(flatten)]
    pub limits: TemplateLimits,
    /// What to do on drift.
    pub on_drift: OnDrift,
    /// How its runs learn which request they answer.
    #[serde(default)]
    pub request_info: RequestInfo,
    /// The fingerprint pinned when it was mapped, hex.
    pub fingerprint: String,
    /// The parts behind it, a JSON object.
    pub fingerprint_parts: String,
    /// What has changed on the controller since, in words.
    pub drift: Vec<String>,
    /// When it was mapped.
    pub created_at: Moment,
    /// Grows with every change, and continues the count of a removed one with this name.
    pub revision: i64,
    /// What matters to a launch, hashed.
    pub launch_digest: String,
}

impl Template {
    /// What its schema says that is not checked: it was stored before that was refused, and works as it did.
    pub(crate) fn problems(&self) -> Vec<FieldError> {
        // What does not parse was never stored.
        let written = if self.written_schema.is_empty() { &self.parameters_schema } else { &self.written_schema };
        schema::Schema::stored(written).map(|schema| schema.problems()).unwrap_or_default()
    }
}

/// A template with everything a launch needs.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The template.
    pub template: Template,
    /// The controller it runs on.
    pub controller: Controller,
    /// Its tenant, with share and limits.
    pub tenant: Tenant,
}

/// Manages templates.
#[derive(Clone)]
pub struct Templates {
    catalog: Catalog,
    access: Arc<dyn ControllerAccess>,
}

impl Templates {
    /// Over a catalog, reading controllers' templates by `access`.
    pub fn new(catalog: Catalog, access: Arc<dyn ControllerAccess>) -> Self {
        Self { catalog, access }
    }

    /// Reads a template the caller may see.
    pub async fn get(&self, caller: &Caller, name: &str) -> Result<Template> {
        let tenant = tenant::acting(&self.catalog, caller).await?;
        let found = self.find(&tenant.name, name).await?;
        require_or_hide(caller, Permission::TemplatesRead, &[], &scope(&found.value), "template")?;
        Ok(found.value)
    }

    /// Lists the templates of the projects the caller may see, or of one of them.
    pub async fn list(&self, caller: &Caller, project: &str, page: &PageRequest) -> Result<Page<Template>> {
        let tenant = tenant::acting(&self.catalog, caller).await?;
        let visible = caller.visible(Permission::TemplatesRead);
        if !project.is_empty() {
            slug::check("/project", project)?;
            let known = visible.includes(project)
                && crate::project::find(&self.catalog, &tenant.name, project).await?.is_some();
            if !known {
                return Err(Error::not_found("project"));
            }
        }
        let seen = |template: &Template| {
            visible.includes(&template.project) && (project.is_empty() || template.project == project)
        };
        let listing = Listing::of("templates", Some(tenant.name.as_str())).filter("project", project);
        self.catalog.page(&listing, &key::templates(&tenant.name), page, slug::is_slug, seen).await
    }

    /// Removes a template.
    pub async fn delete(&self, caller: &Caller, name: &str) -> Result<()> {
        let (_, Stored { key, value: template, revision: at }) = self.writable(caller, name).await?;
        let mut change = Change::new();
        change.at(&key, at).delete(&key);
        let removed = key::removed_template(&template.tenant, &template.name);
        retire_revision(&mut change, &removed, template.revision)?;
        for mark in marks(&template) {
            change.delete(mark);
        }
        let details = json!({ "project": template.project, "launch_digest": template.launch_digest });
        let entry = self.catalog.entry(&template.tenant, "template.delete", "template", name).details(&details).build();
        match self.catalog.commit(change, &entry).await? {
            Commit::Done { .. } => Ok(()),
            Commit::Refused { .. } => Err(Error::changed("template")),
        }
    }

    /// What the executor needs to validate and launch.
    pub async fn resolve(&self, tenant: &TenantId, name: &str) -> Result<Resolved> {
        let owner = tenant::find(&self.catalog, tenant).await?.ok_or_else(|| Error::not_found("template"))?;
        let template = self.find(tenant, name).await?.value;
        let controller = controller::find(&self.catalog, tenant, &template.controller).await?;
        let controller = controller.ok_or_else(|| Error::not_found("template"))?.value;
        Ok(Resolved { template, controller, tenant: owner.value })
    }

    async fn find(&self, tenant: &TenantId, name: &str) -> Result<Stored<Template>> {
        slug::check("/name", name)?;
        self.catalog.get(&key::template(tenant, name)).await?.ok_or_else(|| Error::not_found("template"))
    }

    /// A template the caller may change.
    async fn writable(&self, caller: &Caller, name: &str) -> Result<(Tenant, Stored<Template>)> {
        let tenant = tenant::acting(&self.catalog, caller).await?;
        let found = self.find(&tenant.name, name).await?;
        require_or_hide(
            caller,
            Permission::TemplatesWrite,
            &[Permission::TemplatesRead],
            &scope(&found.value),
            "template",
        )?;
        tenant.check_open(caller)?;
        Ok((tenant, found))
    }
}

fn scope(template: &Template) -> Scope {
    Scope::project(&template.tenant, &template.project)
}

/// The marks a template leaves under what it uses.
fn marks(template: &Template) -> [String; 2] {
    let Template { tenant, name, .. } = template;
    [
        format!("{}{name}", key::project_uses(tenant, &template.project)),
        format!("{}{name}", key::controller_uses(tenant, &template.controller)),
    ]
}
