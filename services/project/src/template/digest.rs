//! What matters to a launch, hashed: a job launches only while this is what it was when the job was accepted.

use runwarden_kit::contract::RequestInfo;
use runwarden_kit::json;
use serde_json::json;

use super::Template;
use super::fixed::Fixed;
use super::schema::Schema;

/// SHA-256 over the canonical JSON of what matters, hex.
pub(super) fn launch(template: &Template, schema: &Schema, fixed: &Fixed, fingerprint: &str) -> String {
    let mut matters = json!({
        "controller": template.controller,
        "kind": template.kind.name(),
        "id": template.controller_template_id,
        "parameters_schema": schema.value(),
        "fixed": fixed.values(),
        "fingerprint": fingerprint,
    });
    // Only where there is something to say: what was mapped before there was any keeps its digest.
    if template.request_info != RequestInfo::None
        && let Some(matters) = matters.as_object_mut()
    {
        matters.insert("request_info".to_owned(), json!(template.request_info));
    }
    json::digest(&matters)
}
