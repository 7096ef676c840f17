//! What a launch request comes to: refused, or accepted with some of it dropped. No I/O here.

pub(crate) mod fields;
pub(crate) mod make;
pub(crate) mod survey;
pub(crate) mod variables;

use serde_json::{Map, Value, json};

use crate::state::State;
use crate::state::catalogue;
use crate::state::template::{Template, TemplateKind};

/// A launch that AWX would take.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    /// Prompted fields other than variables, checked and normalised.
    pub(crate) fields: Map<String, Value>,
    /// Variables that got through, before defaults.
    pub(crate) extra_vars: Map<String, Value>,
    /// What was dropped without being an error.
    pub(crate) ignored: Map<String, Value>,
}

/// Judges a request body. The error is the body of the 400 answer.
pub(crate) fn judge(
    state: &State,
    template: &Template,
    body: &Map<String, Value>,
) -> Result<Accepted, Map<String, Value>> {
    let checked = fields::check(state, template.kind, body)?;
    let mut errors = Map::new();
    let mut accepted = Accepted::default();
    let mut ignored_vars = Map::new();
    let sorted = survey::sort(template, checked.extra_vars);
    accepted.extra_vars = sorted.accepted;
    if !sorted.errors.is_empty() {
        errors.insert("variables_needed_to_start".to_owned(), sorted.errors.into());
    }
    for (name, value) in sorted.left {
        if template.asks("extra_vars") {
            accepted.extra_vars.insert(name, value);
        } else if template.extra_vars.get(&name) != Some(&value) {
            ignored_vars.insert(name, value);
        }
    }
    if template.kind == TemplateKind::Workflow && !ignored_vars.is_empty() {
        let names: Vec<&str> = ignored_vars.keys().map(String::as_str).collect();
        let text = format!(
            "Variables {} are not allowed on launch. Check the Prompt on Launch setting on the {} to include Extra Variables.",
            names.join(", "),
            template.kind.label()
        );
        errors.insert("extra_vars".to_owned(), json!([text]));
    }
    if template.kind == TemplateKind::Job {
        refuse_for_good(state, template, &checked.fields, &mut errors);
    }
    for (field, value) in checked.fields {
        let value = without_own(template, &field, value);
        if value.is_null() || value == template.own_value(&field) {
            continue;
        }
        if template.asks(&field) {
            accepted.fields.insert(field, value);
        } else if template.kind == TemplateKind::Workflow {
            errors.insert(field, json!(["Field is not configured to prompt on launch."]));
        } else {
            accepted.ignored.insert(field, value);
        }
    }
    if !ignored_vars.is_empty() {
        accepted.ignored.insert("extra_vars".to_owned(), Value::Object(ignored_vars));
    }
    if template.kind == TemplateKind::Job {
        if template.inventory.is_none() && !accepted.fields.contains_key("inventory") {
            errors.insert(
                "resources_needed_to_start".to_owned(),
                json!(["Job Template inventory is missing or undefined."]),
            );
        }
        let mut missing = missing_passwords(template, body);
        missing.extend(asked_by_credentials(state, &accepted.fields));
        if !missing.is_empty() {
            errors.insert("passwords_needed_to_start".to_owned(), json!(missing));
        }
    }
    if errors.is_empty() { Ok(accepted) } else { Err(errors) }
}

/// What no template of this kind takes, whoever asks.
fn refuse_for_good(state: &State, template: &Template, sent: &Map<String, Value>, errors: &mut Map<String, Value>) {
    let ids = |name: &str| -> Option<Vec<u64>> {
        Some(sent.get(name)?.as_array()?.iter().filter_map(Value::as_u64).collect())
    };
    let row = |id: u64| state.row("credentials", id);
    if let Some(sent) = ids("credentials").filter(|_| template.asks("credentials")) {
        let kinds: Vec<_> = sent.iter().filter_map(|id| row(*id)).map(catalogue::kind_of).collect();
        let left_out = template.credentials.iter().filter(|own| {
            !sent.contains(own) && row(**own).is_some_and(|own| !kinds.contains(&catalogue::kind_of(own)))
        });
        let lacking: Vec<String> = left_out.map(|id| format!("{}-{id}", state.row_name("credentials", *id))).collect();
        if !lacking.is_empty() {
            let text = format!(
                "Removing Machine credential at launch time without replacement is not supported. Provided list lacked credential(s): {}.",
                lacking.join(", ")
            );
            errors.insert("credentials".to_owned(), json!([text]));
        }
    }
    let branch = sent.get("scm_branch").and_then(Value::as_str).unwrap_or_default();
    let overrides = template.project.and_then(|id| state.row("projects", id)).and_then(|row| row.get("allow_override"));
    if template.asks("scm_branch") && !branch.is_empty() && overrides == Some(&Value::Bool(false)) {
        errors.insert("scm_branch".to_owned(), json!(["Project does not allow override of branch."]));
    }
    let slices = sent.get("job_slice_count").and_then(Value::as_i64).unwrap_or(1);
    let inventory = sent.get("inventory").and_then(Value::as_u64).or(template.inventory);
    let hosts = inventory.map_or(0, |id| state.hosts(id).len());
    if template.asks("job_slice_count") && slices > 1 && hosts == 1 {
        let text = "Job inventory does not have enough hosts for slicing";
        errors.insert("job_slice_count".to_owned(), json!([text]));
    }
}

/// Of a set, what the template has already counts neither as accepted nor as ignored.
fn without_own(template: &Template, field: &str, value: Value) -> Value {
    if !matches!(field, "credentials" | "labels") {
        return value;
    }
    let (Value::Array(values), Value::Array(own)) = (&value, template.own_value(field)) else { return value };
    let fresh: Vec<Value> = values.iter().filter(|id| !own.contains(id)).cloned().collect();
    if fresh.is_empty() { Value::Null } else { fresh.into() }
}

/// Without `credential_passwords` the whole body doubles as it.
fn missing_passwords<'t>(template: &'t Template, body: &Map<String, Value>) -> Vec<&'t str> {
    let given = match body.get("credential_passwords") {
        Some(Value::Object(map)) => map,
        _ => body,
    };
    template
        .passwords_needed
        .iter()
        .map(String::as_str)
        .filter(|name| given.get(*name).and_then(Value::as_str).is_none_or(str::is_empty))
        .collect()
}

/// The passwords that credentials of the launch's own ask for.
fn asked_by_credentials(state: &State, fields: &Map<String, Value>) -> Option<&'static str> {
    let sent = fields.get("credentials").and_then(Value::as_array)?;
    let mut rows = sent.iter().filter_map(Value::as_u64).filter_map(|id| state.row("credentials", id));
    let asks =
        |row: &Map<String, Value>| row.get("inputs").and_then(|inputs| inputs.get("password")) == Some(&"ASK".into());
    rows.any(asks).then_some("ssh_password")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;
    use serde_json::json;

    fn verdict(id: u64, body: Value) -> Result<Accepted, Value> {
        let state = State::fresh();
        let template = state.templates.get(&id).unwrap().clone();
        judge(&state, &template, body.as_object().unwrap()).map_err(Value::Object)
    }

    #[test]
    fn a_job_template_drops_what_it_does_not_ask_for() {
        let accepted = verdict(9, json!({"extra_vars": {"gw_correlation_id": "c-1"}, "limit": "nohost", "labels": [1], "job_tags": "t", "nonsense": 1})).unwrap();
        assert_eq!(
            Value::Object(accepted.ignored),
            json!({"extra_vars": {"gw_correlation_id": "c-1"}, "limit": "nohost", "labels": [1], "job_tags": "t"})
        );
        assert!(accepted.extra_vars.is_empty() && accepted.fields.is_empty());
    }

    #[test]
    fn a_workflow_template_refuses_what_it_does_not_ask_for() {
        assert_eq!(
            verdict(20, json!({"limit": "x", "extra_vars": {"x": 1}})).unwrap_err(),
            json!({
                "limit": ["Field is not configured to prompt on launch."],
                "extra_vars": ["Variables x are not allowed on launch. Check the Prompt on Launch setting on the Workflow Job Template to include Extra Variables."]
            })
        );
    }

    #[test]
    fn a_missing_inventory_is_named() {
        assert_eq!(
            verdict(18, json!({})).unwrap_err(),
            json!({"resources_needed_to_start": ["Job Template inventory is missing or undefined."]})
        );
    }

    #[test]
    fn what_equals_the_template_is_neither_accepted_nor_ignored() {
        let accepted =
            verdict(27, json!({"extra_vars": {"colour": "green"}, "limit": "", "verbosity": 0, "credentials": [1]}))
                .unwrap();
        assert!(accepted.ignored.is_empty() && accepted.fields.is_empty() && accepted.extra_vars.is_empty());
    }

    #[test]
    fn the_body_doubles_as_passwords_unless_they_are_given_apart() {
        assert!(verdict(26, json!({"ssh_password": "x"})).is_ok());
        assert!(verdict(26, json!({"credential_passwords": {"ssh_password": "x"}})).is_ok());
        assert_eq!(
            verdict(26, json!({"ssh_password": "x", "credential_passwords": {}})).unwrap_err(),
            json!({"passwords_needed_to_start": ["ssh_password"]})
        );
    }
}
