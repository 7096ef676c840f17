//! How a run task's request becomes the parameters of AAP's template: what that takes of it, and nothing else.

use anyhow::ensure;
use runwarden_proto::project::v1::ControllerTemplate;
use serde_json::{Map, Value, json};

/// What a request says in words. `run_id` is what the replaced program sent.
const FIELDS: [&str; 17] = [
    "run_id",
    "run_app_url",
    "run_created_at",
    "run_created_by",
    "run_message",
    "stage",
    "organization_name",
    "workspace_id",
    "workspace_name",
    "workspace_app_url",
    "workspace_working_directory",
    "configuration_version_id",
    "task_result_id",
    "task_result_enforcement_level",
    "vcs_branch",
    "vcs_commit_url",
    "vcs_repo_url",
];

/// What a template takes.
#[derive(Debug)]
pub(super) struct Mapping {
    /// The schema of its parameters.
    pub(super) schema: Value,
    /// Which fields of the request they are.
    pub(super) fields: Vec<String>,
}

impl Mapping {
    /// Of a template as AAP has it. Beside `run_id`, only what its survey asks for by the name of a field is sent: other
    /// variables would override the playbook's own of the same name.
    ///
    /// # Errors
    /// When its survey requires what no run task has.
    pub(super) fn of(offered: &ControllerTemplate) -> anyhow::Result<Self> {
        let survey: Value = serde_json::from_str(&offered.parameters_schema_json).unwrap_or_default();
        let asked = survey.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut properties = Map::new();
        for field in FIELDS {
            if let Some(question) = asked.get(field).filter(|question| takes_text(question)) {
                properties.insert(field.to_owned(), question.clone());
            }
        }
        if offered.prompts.iter().any(|prompt| prompt == "extra_vars") {
            properties.entry("run_id").or_insert_with(|| json!({"type": "string", "maxLength": 4096}));
        }
        let required: Vec<&str> =
            survey.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let unknown: Vec<&str> = required.iter().filter(|name| !properties.contains_key(**name)).copied().collect();
        ensure!(
            unknown.is_empty(),
            "the survey of job template {} requires {}, which no run task has: give it a default there, or make it optional",
            offered.id,
            unknown.join(", ")
        );
        let fields = properties.keys().cloned().collect();
        let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
        if let (false, Some(schema)) = (required.is_empty(), schema.as_object_mut()) {
            schema.insert("required".to_owned(), json!(required));
        }
        Ok(Self { schema, fields })
    }

    /// The hook's module.
    pub(super) fn module(&self, template: i64) -> String {
        format!(
            "package runwarden.hook\n\n# What job template {template} takes of a run task. Change it as you like: then it is \
             left alone.\n\naccept := true\n\nparameters := {{name: value |\n\tsome name in {}\n\tvalue := \
             input.body[name]\n\tvalue != null\n}}\n\nreference := input.body.run_id\n",
            json!(self.fields)
        )
    }
}

fn takes_text(question: &Value) -> bool {
    question.get("type").is_none_or(|kind| kind == "string")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(prompts: &[&str], survey: &Value) -> ControllerTemplate {
        ControllerTemplate {
            id: 42,
            prompts: prompts.iter().map(|prompt| (*prompt).to_owned()).collect(),
            parameters_schema_json: survey.to_string(),
            ..ControllerTemplate::default()
        }
    }

    #[test]
    fn a_template_gets_run_id_and_what_its_survey_asks_for() {
        let none = json!({});
        let mapping = |prompts: &[&str], survey: &Value| Mapping::of(&offered(prompts, survey));
        assert_eq!(mapping(&["extra_vars"], &none).unwrap().fields, ["run_id"]);
        assert!(mapping(&["limit"], &none).unwrap().fields.is_empty());
        let survey = json!({"properties": {
            "run_id": {"type": "string"}, "workspace_name": {"type": "string", "maxLength": 9}, "size": {"type": "integer"},
        }, "required": ["workspace_name"]});
        let made = mapping(&[], &survey).unwrap();
        assert_eq!(made.fields, ["run_id", "workspace_name"]);
        assert_eq!(made.schema["required"], json!(["workspace_name"]));
        assert_eq!(made.schema["properties"]["workspace_name"]["maxLength"], 9);
        assert!(made.module(42).contains(r#"some name in ["run_id","workspace_name"]"#));
        let needs = json!({"properties": {"size": {"type": "integer"}}, "required": ["size"]});
        assert!(mapping(&["extra_vars"], &needs).unwrap_err().to_string().contains("requires size"));
    }
}
