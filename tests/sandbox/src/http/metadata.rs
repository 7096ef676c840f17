//! `OPTIONS`: the actions and fields that the official CLI builds its arguments from.

use serde_json::{Map, Value, json};

use super::filter::{Kind, Schema};
use super::rows::{object, put};
use crate::state::template::TemplateKind;

/// Metadata of a view: what can be read, filtered and, where so, posted.
pub(crate) fn view(name: &str, fields: Option<&Schema>, post: Option<Map<String, Value>>) -> Value {
    let mut actions = json!({});
    if let Some(schema) = fields {
        let readable: Map<String, Value> = schema
            .fields
            .iter()
            .filter(|(field, _)| !field.contains("__"))
            .map(|(field, kind)| ((*field).to_owned(), described(field, *kind)))
            .collect();
        put(&mut actions, "GET", Value::Object(readable));
    }
    if let Some(post) = post {
        put(&mut actions, "POST", Value::Object(post));
    }
    json!({
        "name": name, "description": "", "renders": ["application/json", "text/html"], "parses": ["application/json"], "actions": actions,
        "types": [], "search_fields": ["description", "name"], "related_search_fields": [], "object_roles": [], "max_page_size": 200,
    })
}

fn described(field: &str, kind: Kind) -> Value {
    let name = match kind {
        Kind::Int
            if matches!(
                field,
                "created_by" | "unified_job_template" | "job_template" | "inventory" | "project" | "organization"
            ) =>
        {
            "id"
        }
        Kind::Int => "integer",
        Kind::Text => "string",
        Kind::Time => "datetime",
        Kind::Bool => "boolean",
        Kind::Forbidden => "json",
    };
    json!({"type": name, "label": field, "help_text": "", "filterable": kind != Kind::Forbidden})
}

/// What may be posted to `launch/`.
pub(crate) fn launch_fields(kind: TemplateKind) -> Map<String, Value> {
    kind.prompts()
        .iter()
        .map(|(field, _)| {
            let mut about = match *field {
                "extra_vars" => json!({"type": "json"}),
                "inventory" | "execution_environment" => json!({"type": "id"}),
                "credentials" | "labels" | "instance_groups" => json!({"type": "list_of_ids"}),
                "diff_mode" => json!({"type": "boolean"}),
                "job_type" => json!({"type": "choice", "choices": [["run", "Run"], ["check", "Check"]]}),
                "verbosity" => json!({"type": "choice", "choices": [[0, "0 (Normal)"], [1, "1 (Verbose)"], [2, "2 (More Verbose)"], [3, "3 (Debug)"], [4, "4 (Connection Debug)"], [5, "5 (WinRM Debug)"]]}),
                "forks" | "job_slice_count" | "timeout" => json!({"type": "integer"}),
                _ => json!({"type": "string"}),
            };
            put(&mut about, "required", false.into());
            put(&mut about, "read_only", false.into());
            put(&mut about, "label", (*field).into());
            put(&mut about, "help_text", "".into());
            ((*field).to_owned(), about)
        })
        .collect()
}

/// What may be posted to `bulk/job_launch/`.
pub(crate) fn bulk_fields() -> Map<String, Value> {
    object(json!({
        "name": {"type": "string", "required": false, "help_text": ""},
        "jobs": {"type": "json", "required": true, "help_text": ""},
        "extra_vars": {"type": "json", "required": false, "help_text": ""},
    }))
}

/// What may be posted to `tokens/`.
pub(crate) fn token_fields() -> Map<String, Value> {
    object(json!({
        "description": {"type": "string", "required": false, "help_text": ""},
        "application": {"type": "id", "required": false, "help_text": ""},
        "scope": {"type": "string", "required": false, "help_text": ""},
    }))
}
