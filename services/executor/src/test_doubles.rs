//! Examples that several tests build on.

use serde_json::{Map, json};

use crate::awx::{Target, TemplateKind};
use crate::limits::Limits;
use crate::ports::{Controller, Template};
use crate::store::Room;

/// A template without parameters.
pub(crate) fn template() -> Template {
    Template {
        tenant: "acme".into(),
        name: "deploy".into(),
        project: "web".into(),
        revision: 1,
        controller: Controller {
            tenant: "acme".into(),
            name: "awx".into(),
            revision: 1,
            target: Target { url: "http://127.0.0.1:1".into(), api_root: "/api/v2".into(), ca_pem: String::new() },
            account: 1,
            secret_name: "controllers/awx".into(),
        },
        kind: TemplateKind::Job,
        controller_template: 9,
        schema: json!({"type": "object", "properties": {}, "additionalProperties": false}),
        fixed: Map::new(),
        limits: Limits::default(),
        room: Room::default(),
        max_wait_seconds: 0,
        max_duration_seconds: 0,
        refuse_drift: false,
        fingerprint: "f".into(),
        fingerprint_parts: json!({}),
        drift: Vec::new(),
        launch_digest: "d".into(),
        tenant_disabled: false,
    }
}
