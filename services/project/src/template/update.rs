//! Changing a template. Whatever touches what is sent to the controller is checked against the controller again.

use runwarden_engines::config::{Change, Commit};
use runwarden_kit::caller::Caller;
use runwarden_kit::contract::RequestInfo;
use runwarden_kit::{Error, ErrorReason, Result};
use serde_json::json;

use super::fixed::Fixed;
use super::schema::Schema;
use super::{OnDrift, Template, TemplateLimitsUpdate, Templates, mapping};
use crate::port::Look;
use crate::store::{Stored, put};
use crate::{controller, text};

/// The schema text that means "read it from the survey again".
const IMPORT: &str = "import";

/// What shall change; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct TemplateUpdate {
    /// The schema, or `import`.
    pub parameters_schema: Option<String>,
    /// The fixed values.
    pub fixed: Option<String>,
    /// The description.
    pub description: Option<String>,
    /// How much of it may run, how long, and how many of its jobs may wait.
    pub limits: TemplateLimitsUpdate,
    /// What to do on drift.
    pub on_drift: Option<OnDrift>,
    /// How its runs learn which request they answer.
    pub request_info: Option<RequestInfo>,
    /// Takes the controller's template as it is now.
    pub accept_drift: bool,
}

impl Templates {
    /// Changes a template.
    pub async fn update(&self, caller: &Caller, name: &str, update: TemplateUpdate) -> Result<Template> {
        let (_, Stored { key, value: before, revision: at }) = self.writable(caller, name).await?;
        let mut after = before.clone();
        if let Some(description) = &update.description {
            after.description = text::description(description)?;
        }
        after.limits.set(&update.limits)?;
        after.on_drift = update.on_drift.unwrap_or(after.on_drift);
        after.request_info = update.request_info.unwrap_or(after.request_info);
        let told_anew = after.request_info != before.request_info;
        if update.accept_drift || update.parameters_schema.is_some() || update.fixed.is_some() || told_anew {
            self.map_anew(&mut after, &update).await?;
        }
        if after == before {
            return Ok(before);
        }
        after.revision += 1;
        let mut change = Change::new();
        change.at(&key, at);
        put(&mut change, &key, &after)?;
        let entry = self
            .catalog
            .entry(&after.tenant, "template.update", "template", name)
            .details(&json!({
                "fingerprint": after.fingerprint, "launch_digest": after.launch_digest,
                "launch_changed": after.launch_digest != before.launch_digest, "drift_accepted": update.accept_drift,
                "limits": after.limits, "request_info": after.request_info,
            }))
            .build();
        match self.catalog.commit(change, &entry).await? {
            Commit::Done { .. } => Ok(after),
            Commit::Refused { .. } => Err(Error::changed("template")),
        }
    }

    /// Maps the template to what its controller offers now.
    async fn map_anew(&self, template: &mut Template, update: &TemplateUpdate) -> Result<()> {
        let fixed = Fixed::parse(update.fixed.as_deref().unwrap_or(&template.fixed))?;
        // Before the controller is asked anything.
        let given = match update.parameters_schema.as_deref() {
            Some(IMPORT) => None,
            Some(schema) => Some(Schema::parse(schema)?),
            None if template.written_schema.is_empty() => Some(Schema::stored(&template.parameters_schema)?),
            None => Some(Schema::stored(&template.written_schema)?),
        };
        let controller = controller::find(&self.catalog, &template.tenant, &template.controller).await?;
        let controller = controller.ok_or_else(|| Error::not_found("controller"))?.value;
        let text = fixed.text();
        let look =
            Look { fixed: &text, fingerprint: &template.fingerprint, fingerprint_parts: &template.fingerprint_parts };
        let description =
            self.access.describe(&controller, template.kind, template.controller_template_id, look).await?;
        if !description.drift.is_empty() && !update.accept_drift {
            return Err(Error::new(
                ErrorReason::TemplateDrifted,
                "The controller's template is no longer what was mapped. Look at it, then set accept_drift with this change.",
            ));
        }
        let schema = match given {
            Some(schema) => schema,
            None => Schema::import(&description.offer.survey_schema, &fixed)?,
        };
        mapping::pin(template, description, &schema, &fixed)
    }
}
