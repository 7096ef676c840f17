//! What matters to a launch, hashed: a job launches only while this is what it was when the job was accepted.

use runwarden_kit::contract::TemplateKind;
use runwarden_kit::json;
use serde_json::json;

use super::fixed::Fixed;
use super::schema::Schema;

/// SHA-256 over the canonical JSON of what matters, hex.
pub(super) fn launch(
    controller: &str,
    kind: TemplateKind,
    id: i64,
    schema: &Schema,
    fixed: &Fixed,
    fingerprint: &str,
) -> String {
    json::digest(&json!({
        "controller": controller,
        "kind": kind.name(),
        "id": id,
        "parameters_schema": schema.value(),
        "fixed": fixed.values(),
        "fingerprint": fingerprint,
    }))
}
